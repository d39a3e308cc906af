import { printMatch } from '../routes/grammar.ts'
import { changedKeys } from '../same.ts'
import type { Backend, Model, ModelDiff, Route, Server } from '../types.ts'

type Changes = ModelDiff['routes']

/**
 * What a person would say has changed from one model to the next: routes as `host/path -> service`, servers as
 * `backend/address:port`, backends by id, each list in byte order. Provenance (which instance, which proof) is no change.
 * A match that another service takes over is one route removed and one added. Null: there was nothing before.
 *
 * Costs about as much as what differs: whatever kept its identity is passed over.
 */
export function diffModels(before: Model | null, after: Model): ModelDiff {
  const old = before ?? { routes: [], backends: new Map<string, Backend>() }
  const routes = changedRoutes(old.routes, after.routes)
  const backends = changedBackends(old.backends, after.backends)
  return {
    routes: changesOf(routes.before, routes.after, isSameRoute),
    servers: changesOf(serversOf(backends.before), serversOf(backends.after), isSameServer),
    backends: changesOf(backends.before, backends.after, isSameBackend),
  }
}

interface Sides<T> {
  readonly before: ReadonlyMap<string, T>
  readonly after: ReadonlyMap<string, T>
}

/** As people read it; of two routes with the same text the match is the same. */
function printRoute(route: Route): string {
  return `${printMatch(route.match)} -> ${route.service}`
}

/** Both sides without the routes that are the same object on both. */
function changedRoutes(before: readonly Route[], after: readonly Route[]): Sides<Route> {
  if (before === after) return { before: new Map(), after: new Map() }
  // most changes leave all others where they were
  const old = before.filter((route, place) => route !== after[place])
  const fresh = after.filter((route, place) => route !== before[place])
  return { before: routesBeside(old, fresh), after: routesBeside(fresh, old) }
}

function routesBeside(routes: readonly Route[], others: readonly Route[]): ReadonlyMap<string, Route> {
  const known = new Set(others)
  return new Map(routes.filter((route) => !known.has(route)).map((route) => [printRoute(route), route]))
}

/** Both sides without the backends that are the same object on both. */
function changedBackends(before: Model['backends'], after: Model['backends']): Sides<Backend> {
  const changed = changedKeys(before, after)
  return { before: only(before, changed), after: only(after, changed) }
}

function only(backends: Model['backends'], ids: ReadonlySet<string>): Model['backends'] {
  const some = new Map<string, Backend>()
  for (const id of ids) {
    const backend = backends.get(id)
    if (backend !== undefined) some.set(id, backend)
  }
  return some
}

function serversOf(backends: Model['backends']): ReadonlyMap<string, Server> {
  const servers = new Map<string, Server>()
  for (const [id, backend] of backends)
    for (const server of backend.servers) servers.set(`${id}/${server.name}`, server)
  return servers
}

function changesOf<T>(
  before: ReadonlyMap<string, T>,
  after: ReadonlyMap<string, T>,
  isSame: (a: T, b: T) => boolean,
): Changes {
  const added: string[] = []
  const changed: string[] = []
  for (const [key, value] of after) {
    const old = before.get(key)
    if (old === undefined) added.push(key)
    else if (!isSame(old, value)) changed.push(key)
  }
  const removed = [...before.keys()].filter((key) => !after.has(key))
  return { added: added.sort(), removed: removed.sort(), changed: changed.sort() }
}

function isSameRoute(a: Route, b: Route): boolean {
  return (
    a.backend === b.backend &&
    (a.lingersUntil === null) === (b.lingersUntil === null) &&
    (a.rewrite === b.rewrite || JSON.stringify(printable(a)) === JSON.stringify(printable(b)))
  )
}

/** The rewrite in one order of keys, whoever built it. */
function printable({ rewrite }: Route): readonly unknown[] {
  const { strip, add, host, timeout, rawpath, redirect } = rewrite
  const location = redirect?.location.map((part) => ('literal' in part ? [part.literal] : [part.variable, '$']))
  return [strip, add, host, timeout, rawpath, redirect?.code, location]
}

function isSameServer(a: Server, b: Server): boolean {
  return a === b || (a.weight === b.weight && a.state === b.state && a.backup === b.backup)
}

function isSameBackend(a: Backend, b: Backend): boolean {
  return (
    a.service === b.service &&
    (a.section === b.section ||
      (a.section.balance === b.section.balance &&
        a.section.sticky === b.section.sticky &&
        a.section.maxconn === b.section.maxconn &&
        a.section.proto === b.section.proto))
  )
}
