import type { State } from '../control/state.ts'
import { printMatch } from '../routes/grammar.ts'
import type { Backend, Decision, Problem, Route } from '../types.ts'
import { routeViewOf, type ServiceParts } from './api.ts'
import { groupByService } from './counts.ts'
import type { ProblemView, RouteView } from './views.ts'

/** Pure: the lists of a decision, searched and cut into pages. Only what is asked for is projected. */

/** All that these read of a state. */
type Decided = Pick<State, 'decision' | 'running'>

export interface ListQuery {
  /** Exactly this service. */
  readonly service?: string | undefined
  /** Text anywhere in an item, whatever its case. */
  readonly q?: string | undefined
  readonly limit?: number | undefined
  readonly offset?: number | undefined
}

export interface RouteQuery extends ListQuery {
  readonly host?: string | undefined
}

export interface ProblemQuery extends ListQuery {
  readonly code?: string | undefined
}

/** `items` is the asked-for part of the `total` that were found. */
export interface Page<T> {
  readonly items: readonly T[]
  readonly total: number
}

/** Every route, in byte order of matches. */
export function routesView(state: Decided): readonly RouteView[] {
  return findRoutes(state, {}).items
}

/** `q` is looked for in host and path, service, and the servers' addresses, instances and nodes. */
export function findRoutes({ decision, running }: Decided, query: RouteQuery): Page<RouteView> {
  if (decision === null) return nothing
  const { routes, backends } = decision.model
  const host = query.host?.toLowerCase()
  const isMentioned = searchFor(query.q)
  const found = routes.filter(
    (route) =>
      (host === undefined || route.match.host === host) &&
      isOf(route.service, query) &&
      isMentioned(() => textsOfRoute(route, backends.get(route.backend ?? ''))),
  )
  return pageOf(found, query, (route) => routeViewOf(route, decision, running))
}

/** `q` is looked for in the name, hosts and paths, and the instances' addresses, ids and nodes. Views of them are made by `serviceViewOf`. */
export function findServices({ decision }: Decided, query: ListQuery): Page<ServiceParts> {
  if (decision === null) return nothing
  const isMentioned = searchFor(query.q)
  const found = servicesOf(decision).filter(
    (service) => isOf(service.name, query) && isMentioned(() => textsOfService(service)),
  )
  return pageOf(found, query, (service) => service)
}

/** In order of service, code, instance, subject. */
export function problemsView(state: Decided): readonly ProblemView[] {
  return findProblems(state, {}).items
}

export function findProblems({ decision }: Decided, query: ProblemQuery): Page<ProblemView> {
  const isMentioned = searchFor(query.q)
  const found = (decision?.problems ?? []).filter(
    (problem) =>
      isOf(problem.service, query) &&
      (query.code === undefined || query.code === problem.code) &&
      isMentioned(() => textsOfProblem(problem)),
  )
  return pageOf(found, query, (problem) => problem)
}

const nothing = { items: [], total: 0 } as const

function isOf(service: string, query: ListQuery): boolean {
  return query.service === undefined || query.service === service
}

/** Takes the texts to look in; where nothing is looked for they aren't made. */
function searchFor(q = ''): (texts: () => readonly string[]) => boolean {
  const wanted = q.trim().toLowerCase()
  return wanted === '' ? () => true : (texts) => texts().some((text) => text.includes(wanted))
}

function textsOfRoute(route: Route, backend: Backend | undefined): readonly string[] {
  const own = textOf(route, () => [printMatch(route.match), route.service])
  if (backend === undefined) return [own]
  return [
    own,
    textOf(backend, () => backend.servers.flatMap(({ name, instance }) => [name, instance.id, instance.node])),
  ]
}

function textsOfService({ name, routes, endpoints }: ServiceParts): readonly string[] {
  const places = textOf(endpoints, () =>
    endpoints.flatMap((endpoint) => [
      endpoint.instance.id,
      endpoint.instance.node,
      ...(endpoint.kind === 'reachable' ? [`${endpoint.address}:${endpoint.port}`] : []),
    ]),
  )
  return [name.toLowerCase(), ...routes.map((route) => printMatch(route.match).toLowerCase()), places]
}

function textsOfProblem(problem: Problem): readonly string[] {
  const { code, service, instance, subject, reason } = problem
  return [textOf(problem, () => [code, service, instance ?? '', subject, reason])]
}

const texts = new WeakMap<object, string>()

/** In lower case, a line each; kept as long as what it is about, which is the same from decision to decision. */
function textOf(about: object, lines: () => readonly string[]): string {
  const made = texts.get(about) ?? lines().join('\n').toLowerCase()
  texts.set(about, made)
  return made
}

const known = new WeakMap<Decision, readonly ServiceParts[]>()

/** Every service that has instances, routes or problems, in byte order of names. Put together once per decision. */
function servicesOf(decision: Decision): readonly ServiceParts[] {
  const made = known.get(decision) ?? gatherServices(decision)
  known.set(decision, made)
  return made
}

function gatherServices({ model, endpoints, problems }: Decision): readonly ServiceParts[] {
  const routes = groupByService(model.routes)
  const backends = groupByService(model.backends.values())
  const found = groupByService(problems)
  const names = new Set([...endpoints.keys(), ...routes.keys(), ...found.keys()])
  return [...names].sort(byteOrder).map((name) => ({
    name,
    routes: routes.get(name) ?? [],
    backends: backends.get(name) ?? [],
    endpoints: endpoints.get(name) ?? [],
    problems: found.get(name) ?? [],
  }))
}

function byteOrder(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

function pageOf<T, V>(all: readonly T[], { limit, offset = 0 }: ListQuery, view: (item: T) => V): Page<V> {
  const items = all.slice(offset, limit === undefined ? undefined : offset + limit)
  return { items: items.map(view), total: all.length }
}
