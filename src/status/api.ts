import type { Proof, State } from '../control/state.ts'
import type { Loads } from '../haproxy/loads.ts'
import { printMatch } from '../routes/grammar.ts'
import { printDuration } from '../routes/options/values.ts'
import type { SourceStatus } from '../sources/source.ts'
import type {
  Backend,
  BackendId,
  Decision,
  Endpoint,
  ModelDiff,
  Ms,
  Problem,
  Redirect,
  RevisionRecord,
  Route,
  Running,
  Server,
} from '../types.ts'
import { countsOf, fateOf, serversByInstance, takesRequests } from './counts.ts'
import { liveServerOf } from './live-servers.ts'
import type { RevisionDiffView, RevisionView, RouteView, ServiceView, StateEvent, StatusView } from './views.ts'

/** Pure projections of `State` into the objects that API, page and commands answer with. */

export function routeViewOf(route: Route, decision: Decision, running: Running | null): RouteView {
  const backend = route.backend === null ? undefined : decision.model.backends.get(route.backend)
  const servers = backend?.servers ?? []
  const { redirect } = route.rewrite
  return {
    host: route.match.host,
    path: route.match.path,
    match: route.match.kind,
    service: route.service,
    options: optionsView(route, backend),
    instances: servers.map(serverView),
    up: servers.filter(takesRequests).length,
    all: decision.endpoints.get(route.service)?.length ?? 0,
    owner: decision.memory.owners.get(printMatch(route.match)) ?? route.service,
    backend: route.backend,
    section: sectionView(route.backend, running),
    redirect: redirect === null ? null : printRedirect(redirect),
    lingersUntil: printTimeOrNull(route.lingersUntil),
    isCurrent: route.from.isCurrent,
    text: route.from.text,
    problems: countsOf(decision).problemsByService.get(route.service) ?? 0,
  }
}

/** Null: HAProxy calls it as we do. */
export function sectionView(backend: BackendId | null, running: Running | null): string | null {
  return backend === null ? null : (running?.seats?.get(backend) ?? null)
}

export function serverView(server: Server): RouteView['instances'][number] {
  return {
    id: server.instance.id,
    node: server.instance.node,
    address: server.address,
    port: server.port,
    source: server.source,
    state: server.state,
    weight: server.weight,
    backup: server.backup,
  }
}

function optionsView({ rewrite, priority }: Route, backend: Backend | undefined): RouteView['options'] {
  const section = backend?.section
  return {
    ...(rewrite.strip !== null && { strip: rewrite.strip }),
    ...(rewrite.add !== null && { add: rewrite.add }),
    ...(rewrite.host !== null && { host: rewrite.host }),
    ...(rewrite.redirect !== null && { redirect: printRedirect(rewrite.redirect) }),
    ...(rewrite.timeout !== null && { timeout: printDuration(rewrite.timeout) }),
    ...(rewrite.rawpath && { rawpath: true }),
    ...(section !== undefined && section.balance !== 'roundrobin' && { balance: section.balance }),
    ...(section !== undefined && section.sticky !== null && { sticky: section.sticky }),
    ...(section !== undefined && section.maxconn !== null && { maxconn: section.maxconn }),
    ...(section !== undefined && section.proto !== 'http' && { proto: section.proto }),
    ...(priority !== 0 && { priority }),
  }
}

function printRedirect({ code, location }: Redirect): string {
  const url = location.map((part) => ('literal' in part ? part.literal : `$${part.variable}`)).join('')
  return `${code},${url}`
}

type InstanceView = ServiceView['instances'][number]

/** What a decision has about one service. */
export interface ServiceParts {
  readonly name: string
  readonly routes: readonly Route[]
  readonly backends: readonly Backend[]
  readonly endpoints: readonly Endpoint[]
  readonly problems: readonly Problem[]
}

/** `loads` are those that HAProxy has told of. */
export function serviceViewOf(
  { name, routes, backends, endpoints, problems }: ServiceParts,
  running: Running | null,
  loads: Loads['sections'],
): ServiceView {
  const servers = serversByInstance(backends)
  return {
    name,
    backends: backends.map(({ id }) => ({ backend: id, section: sectionView(id, running) })),
    routes: routes.map(({ match, lingersUntil }) => ({
      host: match.host,
      path: match.path,
      match: match.kind,
      lingersUntil: printTimeOrNull(lingersUntil),
    })),
    instances: endpoints.map((endpoint) => ({
      ...instanceView(endpoint, servers),
      live: running === null ? null : liveServerOf(endpoint, backends, running, loads),
    })),
    problems: [...problems],
  }
}

function instanceView(endpoint: Endpoint, servers: ReadonlyMap<string, Server>): Omit<InstanceView, 'live'> {
  const { state, source, server, why } = fateOf(endpoint, servers)
  const isReachable = endpoint.kind === 'reachable'
  return {
    id: endpoint.instance.id,
    node: endpoint.instance.node,
    health: endpoint.instance.health,
    state,
    address: isReachable ? endpoint.address : null,
    port: isReachable ? endpoint.port : null,
    source,
    weight: server?.weight ?? null,
    isCorrected: isReachable && endpoint.isCorrected,
    why,
  }
}

/** `now` is what ages count up to: a state stays the newest for as long as nothing changes. */
export function statusView(state: State, now: Ms): StatusView {
  const { services, routes, backends, instances, problems } = countsOf(state.decision)
  return {
    ready: state.ready.isReady,
    reason: state.ready.reason,
    decided: state.decision !== null,
    revision: state.proof === null ? null : proofView(state.proof),
    wanted: state.candidate && { hash: state.candidate.hash, routesHash: state.candidate.routesHash },
    pending: state.plan && {
      steps: state.plan.steps.length,
      leaving: state.plan.leaving.length,
      reload: [...state.plan.reload],
    },
    sources: Object.fromEntries([...state.sources].map(([name, source]) => [name, sourceView(source, now)])),
    holds: [],
    haproxy: state.haproxy,
    counts: { services, routes, backends, instances, problems },
    notices: Object.fromEntries(state.notices),
    version: state.version,
    startedAt: printTime(state.startedAt),
    at: printTime(state.at),
  }
}

function proofView({ number, hash, routesHash, at }: Proof): NonNullable<StatusView['revision']> {
  return { number, hash, routesHash, provenAt: printTime(at) }
}

function sourceView({ at, ...source }: SourceStatus, now: Ms): StatusView['sources'][string] {
  return { ...source, ageSeconds: ageSeconds(at, now) }
}

/** With one decimal; never negative, whatever the clock does. Null: it has not spoken. */
export function ageSeconds(at: Ms | null, now: Ms): number | null {
  return at === null ? null : Math.max(0, Math.round((now - at) / 100) / 10)
}

/** What event streams carry: enough to know that there is more to fetch. */
export function stateEventOf(state: State): StateEvent {
  const { services, routes, backends, instances, problems } = countsOf(state.decision)
  return {
    ready: state.ready.isReady,
    reason: state.ready.reason,
    revision: state.proof && { number: state.proof.number, hash: state.proof.hash },
    sources: Object.fromEntries([...state.sources].map(([name, source]) => [name, source.state])),
    counts: { services, routes, backends, instances, problems },
  }
}

/** Oldest first, as the journal has them. */
export function revisionsView(state: State): readonly RevisionView[] {
  return state.history.map(recordView)
}

/** Null: the number isn't in the history, or not any more. */
export function revisionView(state: State, number: number): RevisionView | null {
  const record = recordOf(state, number)
  return record === null ? null : recordView(record)
}

export function revisionDiffView(state: State, number: number): RevisionDiffView | null {
  const record = recordOf(state, number)
  if (record === null) return null
  const { routes, servers, backends } = record.diff
  return {
    number: record.number,
    hash: record.hash,
    routes: copyOf(routes),
    servers: copyOf(servers),
    backends: copyOf(backends),
  }
}

function recordOf(state: State, number: number): RevisionRecord | null {
  return state.history.findLast((record) => record.number === number) ?? null
}

function recordView(record: RevisionRecord): RevisionView {
  const { routes, servers, backends } = record.diff
  return {
    number: record.number,
    hash: record.hash,
    routesHash: record.routesHash,
    at: printTime(record.at),
    action: record.action,
    reasons: [...record.reasons],
    cause: record.cause.join(', '),
    changes: { routes: sizesOf(routes), servers: sizesOf(servers), backends: sizesOf(backends) },
    samples: [routes, servers, backends].flatMap(samplesOf).slice(0, mostSamples),
  }
}

function sizesOf({ added, removed, changed }: ModelDiff['routes']): RevisionView['changes']['routes'] {
  return { added: added.length, removed: removed.length, changed: changed.length }
}

/** Of a revision, in a list of revisions. */
const mostSamples = 4

function samplesOf({ added, removed, changed }: ModelDiff['routes']): readonly string[] {
  const some = (sign: string, texts: readonly string[]) => texts.slice(0, mostSamples).map((text) => `${sign} ${text}`)
  return [...some('+', added), ...some('-', removed), ...some('~', changed)]
}

function copyOf({ added, removed, changed }: ModelDiff['routes']): RevisionDiffView['routes'] {
  return { added: [...added], removed: [...removed], changed: [...changed] }
}

function printTime(at: Ms): string {
  return new Date(at).toISOString()
}

function printTimeOrNull(at: Ms | null): string | null {
  return at === null ? null : printTime(at)
}
