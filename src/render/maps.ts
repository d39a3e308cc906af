import { safeServiceName } from '../model/backend-id.ts'
import { pathPolicy } from '../model/odd-paths.ts'
import { sameItems } from '../same.ts'
import type { Model, Redirect, RedirectVariable, RenderSettings, Route } from '../types.ts'
import { digest } from './revision.ts'
import { checkedBackendId } from './server-line.ts'

/** Map files by what they hold. The names are relative: see `default-path config` in the template. */
export const mapFiles = {
  routes: 'routes.map',
  hosts: 'hosts.map',
  state: 'state.map',
  revision: 'revision.map',
  /** Empty on disk: which backend sits in which spare section of the running worker. */
  seats: 'seats.map',
} as const

/** Of one map file, in byte order of keys. */
type Entries = ReadonlyMap<string, string>

const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const hostName = new RegExp(`^${label}(?:\\.${label})*$`)
const pathText = /^\/[A-Za-z0-9._~/-]*$/
const urlText = /^[A-Za-z0-9._~:/?#@!&()*+,=%-]*$/

function checked(what: string, text: string, pattern: RegExp): string {
  if (!pattern.test(text)) throw new Error(`expected ${what}, got ${JSON.stringify(text).slice(0, 80)}`)
  return text
}

/** A host pattern as map keys spell it, to be looked up with the labels before it cut off: `*.example.com` is `example.com*`. */
export function hostKey(pattern: string): string {
  if (pattern === '*') return '*'
  if (pattern.startsWith('*.')) return `${checked('a host', pattern.slice(2), hostName)}*`
  return checked('a host', pattern, hostName)
}

/**
 * Entries of routes.map, in byte order of keys. The frontend asks for the longest key that `host + path + ?` begins
 * with, and since no path of a request holds a `?`, one lookup serves all kinds of matches:
 *
 * | match | keys |
 * | --- | --- |
 * | `/p` whole segments | `host/p/` and `host/p?`; of `/` only `host/` |
 * | `/p$` exactly | `host/p?` |
 * | `/p*` raw | `host/p` |
 *
 * Two matches can want the same key. Then the exact one has it; and at equal length the raw `/p/*` has what lies below
 * `/p/`, whole segments keep `/p` itself.
 *
 * Value: `backend|service`, and for a rewrite or redirect on: `|flags|strip|add|host|timeout ms|code|literal|kind|literal|
 * kind|literal|kind|literal`, without the empty fields at the end. Flag `r` is rawpath; kinds are `h`, `p`, `q` for
 * `$host`, `$path`, `$query`.
 */
export function routeEntries({ routes }: Model): Entries {
  const maps = mapsOf(routes)
  maps.routes ??= entriesOf(routes)
  return maps.routes
}

function entriesOf(routes: readonly Route[]): Entries {
  const entries = new Map<string, string>()
  for (const route of routes) if (route.match.kind === 'prefix') setAll(entries, routeMembers(route))
  for (const route of routes) if (route.match.kind !== 'prefix') setAll(entries, routeMembers(route))
  return inByteOrder(entries)
}

/** What was made of the newest routes so far. */
interface RouteMaps {
  readonly made: readonly Route[]
  routes: Entries | null
  readonly hosts: Map<RenderSettings['paths'], Entries>
}
let newest: RouteMaps = { made: [], routes: null, hosts: new Map() }

/** Most changes leave all routes as they are, or only say otherwise where they come from: then the maps are the same. */
function mapsOf(routes: readonly Route[]): RouteMaps {
  if (newest.made === routes) return newest
  const { made } = newest
  const isSame = made.length === routes.length && routes.every((route, at) => isSameInMaps(route, made[at]))
  newest = isSame ? { ...newest, made: routes } : { made: routes, routes: null, hosts: new Map() }
  return newest
}

function isSameInMaps(a: Route, b: Route | undefined): boolean {
  if (a === b || b === undefined) return a === b
  const [one, other] = [routeMembers(a), routeMembers(b)]
  return one.value === other.value && sameItems(one.keys, other.keys)
}

function setAll(entries: Map<string, string>, { keys, value }: RouteMembers): void {
  for (const key of keys) entries.set(key, value)
}

interface RouteMembers {
  readonly keys: readonly string[]
  readonly value: string
}

const membersOf = new WeakMap<Route, RouteMembers>()

function routeMembers(route: Route): RouteMembers {
  const known = membersOf.get(route)
  if (known !== undefined) return known
  const members = { keys: keysOf(route), value: valueFor(route) }
  membersOf.set(route, members)
  return members
}

function keysOf({ match }: Route): readonly string[] {
  const host = hostKey(match.host)
  const path = checked('a path', match.path, pathText)
  switch (match.kind) {
    case 'exact':
      return [`${host}${path}?`]
    case 'raw':
      return [`${host}${path}`]
    case 'prefix':
      return path === '/' ? [`${host}/`] : [`${host}${path}/`, `${host}${path}?`]
  }
}

function valueFor(route: Route): string {
  const { rewrite } = route
  const fields = [backendOf(route), safeServiceName(route.service), rewrite.rawpath ? 'r' : '']
  if (route.backend === null) {
    if (rewrite.redirect === null) throw new Error(`expected a backend or a redirect for ${route.match.host}`)
    fields.push('', '', '', '', ...redirectFields(rewrite.redirect))
  } else {
    fields.push(
      rewrite.strip === null ? '' : checked('a path to strip', rewrite.strip, pathText),
      rewrite.add === null ? '' : checked('a path to add', rewrite.add, pathText),
      rewrite.host === null ? '' : checked('a host name', rewrite.host, hostName),
      rewrite.timeout === null ? '' : checked('a timeout', String(rewrite.timeout), /^[1-9]\d{0,9}$/),
    )
  }
  return fields.join('|').replace(/\|+$/, '')
}

/** The value of an entry of routes.map, `backend|service|...`, with another first field. */
export function withFirstField(value: string, change: (field: string) => string): string {
  const bar = value.indexOf('|')
  return bar === -1 ? change(value) : `${change(value.slice(0, bar))}${value.slice(bar)}`
}

/** A redirect of a service that has left is no answer any more, though its match stays taken while it lingers. */
function backendOf(route: Route): string {
  if (route.backend !== null) return checkedBackendId(route.backend)
  return route.lingersUntil === null ? ':redirect' : ':none'
}

const kinds: Readonly<Record<RedirectVariable, string>> = { host: 'h', path: 'p', query: 'q' }

/** Code, then literals and kinds in turn, as the template takes them apart. */
function redirectFields({ code, location }: Redirect): readonly string[] {
  const fields = [String(code), '']
  for (const part of location) {
    if ('variable' in part) fields.push(kinds[part.variable], '')
    else fields.push(`${fields.pop() ?? ''}${checked('literal text of a URL', part.literal, urlText)}`)
  }
  if (fields.length > 8) throw new Error('expected at most three variables in a redirect')
  return fields
}

/** Entries of hosts.map: `strict` or `plain` for every host pattern with routes (see `pathPolicy`). */
export function hostEntries({ routes }: Model, paths: RenderSettings['paths']): Entries {
  const { hosts } = mapsOf(routes)
  const known = hosts.get(paths)
  if (known !== undefined) return known
  const entries = new Map<string, string>()
  for (const [pattern, policy] of pathPolicy(routes, paths)) entries.set(hostKey(pattern), policy)
  const sorted = inByteOrder(entries)
  hosts.set(paths, sorted)
  return sorted
}

/**
 * Entries of state.map: `alive` while at least one route can be answered. The monitor asks for it, so taking the edge
 * out of service is deleting the entry.
 */
export function stateEntries(model: Model): Entries {
  const isAlive = model.routes.some((route) => {
    if (route.backend === null) return route.lingersUntil === null
    const servers = model.backends.get(route.backend)?.servers ?? []
    return servers.some((server) => server.state === 'ready' && server.weight > 0)
  })
  return new Map(isAlive ? [['alive', '1']] : [])
}

interface Text {
  readonly text: string
  readonly digest: string
}
const texts = new WeakMap<Entries, Text>()

/** The text of a map file: a key, a space and a value a line. */
export function mapText(entries: Entries): string {
  return textOf(entries).text
}

/** Of the text of a map file. */
export function mapDigest(entries: Entries): string {
  return textOf(entries).digest
}

function textOf(entries: Entries): Text {
  const known = texts.get(entries)
  if (known !== undefined) return known
  const lines: string[] = []
  for (const [key, value] of entries) lines.push(`${key} ${value}\n`)
  const text = lines.join('')
  const made = { text, digest: digest([text]) }
  texts.set(entries, made)
  return made
}

function inByteOrder(entries: Entries): Entries {
  // Keys are ASCII, so the order of code units is the order of bytes.
  const sorted = new Map<string, string>()
  for (const key of [...entries.keys()].sort()) sorted.set(key, entries.get(key) ?? '')
  return sorted
}
