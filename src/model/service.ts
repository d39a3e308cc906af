import { bindingOf } from '../addresses/identity.ts'
import { problem } from '../problems.ts'
import { printMatch } from '../routes/grammar.ts'
import type { Options } from '../routes/options/option.ts'
import { optionTable } from '../routes/options/table.ts'
import { type InstanceRequest, readInstance, type WrittenRoute } from '../routes/request.ts'
import type {
  Backend,
  BackendId,
  Binding,
  Endpoint,
  Instance,
  MatchKey,
  ModelSettings,
  Ms,
  Problem,
  Route,
  RouteSpec,
  SectionOptions,
  ServiceMemory,
} from '../types.ts'
import { backendIdOf } from './backend-id.ts'
import { seatInstances, serversOf } from './servers.ts'

const mostRoutes = 64
const defaultDrain: Ms = 30_000
const defaultLinger: Ms = 24 * 3_600_000
/** A rolling deployment is over by then. */
const longestDisagreement: Ms = 10 * 60_000

/** A route that a service would have, if nobody has a better claim to its match. */
export interface Claim {
  readonly key: MatchKey
  readonly route: Route
  /** `live`: asked for now. `left`: it only stays while no live service claims the match. */
  readonly standing: 'live' | 'left'
}

/** What one service asks for, before other services are looked at. */
export interface ServiceOutcome {
  readonly service: string
  /** In byte order of keys. */
  readonly claims: readonly Claim[]
  /** Every backend that a claim names. */
  readonly backends: ReadonlyMap<BackendId, Backend>
  /** Null: nothing is left to remember. */
  readonly memory: ServiceMemory | null
  readonly problems: readonly Problem[]
  /** The outcome holds until then though nothing else changes; null: for ever. */
  readonly wakeAt: Ms | null
}

type Requests = ReadonlyMap<string, InstanceRequest>

export const noMemory: ServiceMemory = {
  routes: new Map(),
  options: new Map(),
  lingeringSince: null,
  disagreeingSince: null,
  draining: new Map(),
  bindings: new Map(),
}

/** True when any instance carries something of ours. */
export function isExposed(instances: readonly Instance[], expose: ModelSettings['expose']): boolean {
  return instances.some((instance) => readInstance(instance, expose).isExposed)
}

/**
 * What a registered service asks for. Pure: `endpoints` are those of `instances`, in the same order. A text that is
 * not understood takes nothing away that `memory` still knows.
 */
export function decideService(
  service: string,
  instances: readonly Instance[],
  endpoints: readonly Endpoint[],
  memory: ServiceMemory,
  expose: ModelSettings['expose'],
  at: Ms,
): ServiceOutcome {
  const requests = readRequests(instances, expose)
  const ranked = rankInstances(instances, endpoints)
  const asked = collectRoutes(service, ranked, requests, memory)
  const options = chooseServiceOptions(ranked, requests, memory)
  const disagreement = checkAgreement(service, ranked, requests, memory, at)
  const draining = new Map<string, Ms>()
  for (const { key, health } of instances) {
    if (health === 'maintenance') draining.set(key, memory.draining.get(key) ?? at)
  }
  const seating = seatInstances(endpoints, requests)
  const drains = new Map<BackendId, Ms>()
  const sections = new Map<BackendId, SectionOptions>()
  const claims = asked.routes.map(({ spec, instances: askers, standing, isCurrent }): Claim => {
    const section = { ...options.section, ...spec.section }
    const id = backendIdOf(service, section, options.section)
    if (spec.rewrite.redirect === null) {
      sections.set(id, section)
      drains.set(id, Math.max(drains.get(id) ?? 0, spec.drain ?? options.drain))
    }
    const route = routeOf(service, spec, id, options.timeout, { instances: askers, isCurrent, lingersUntil: null })
    return { key: printMatch(spec.match), route, standing }
  })
  const backends = new Map<BackendId, Backend>()
  for (const [id, section] of sections) {
    const servers = serversOf(seating.seats, draining, drains.get(id) ?? options.drain, at)
    backends.set(id, { id, service, section, servers })
  }
  const deadlines = [...draining.values()].flatMap((since) => [...drains.values()].map((drain) => since + drain))
  return {
    service,
    claims,
    backends,
    memory: {
      routes: new Map(asked.routes.map(({ spec }) => [printMatch(spec.match), spec])),
      options: options.texts,
      lingeringSince: null,
      disagreeingSince: disagreement.since,
      draining,
      bindings: bindContainers(endpoints, memory.bindings),
    },
    problems: [
      ...[...requests.values()].flatMap((request) => request.problems),
      ...endpoints.flatMap(endpointProblems),
      ...seating.problems,
      ...asked.problems,
      ...disagreement.problems,
    ],
    wakeAt: earliest([...deadlines, ...disagreement.deadlines].filter((deadline) => deadline > at)),
  }
}

/** What stays of a service whose last instance has been deregistered: its routes, answered with 503, for a while. */
export function lingerService(service: string, memory: ServiceMemory, at: Ms): ServiceOutcome {
  const since = memory.lingeringSince ?? at
  const options = effectiveOptions(memory.options)
  const claims: Claim[] = []
  const backends = new Map<BackendId, Backend>()
  const deadlines: Ms[] = []
  for (const [key, spec] of memory.routes) {
    const until = since + (spec.linger ?? options.linger)
    if (until <= at) continue
    deadlines.push(until)
    const section = { ...options.section, ...spec.section }
    const id = backendIdOf(service, section, options.section)
    if (spec.rewrite.redirect === null) backends.set(id, { id, service, section, servers: [] })
    const from = { instances: [], isCurrent: false, lingersUntil: until }
    claims.push({ key, route: routeOf(service, spec, id, options.timeout, from), standing: 'left' })
  }
  const isSame = memory.lingeringSince === since && claims.length === memory.routes.size
  const left = isSame ? memory : { ...noMemory, ...keepRoutes(memory, claims), lingeringSince: since }
  return {
    service,
    claims,
    backends,
    memory: claims.length === 0 ? null : left,
    problems: [],
    wakeAt: earliest(deadlines),
  }
}

function keepRoutes(memory: ServiceMemory, claims: readonly Claim[]): Pick<ServiceMemory, 'routes' | 'options'> {
  const kept = new Set(claims.map((claim) => claim.key))
  return { routes: new Map([...memory.routes].filter(([key]) => kept.has(key))), options: memory.options }
}

function readRequests(instances: readonly Instance[], expose: ModelSettings['expose']): Requests {
  const requests = new Map<string, InstanceRequest>()
  for (const instance of instances) requests.set(instance.key, readInstance(instance, expose))
  return requests
}

/** Whose word counts first: serving instances before others, newer registrations before older ones. */
function rankInstances(instances: readonly Instance[], endpoints: readonly Endpoint[]): readonly Instance[] {
  const serving = new Set<Instance>()
  for (const { kind, instance } of endpoints) if (kind === 'reachable' && isServing(instance)) serving.add(instance)
  const rank = (instance: Instance) => (serving.has(instance) ? 1 : 0)
  return [...instances].sort(
    (a, b) => rank(b) - rank(a) || b.createIndex - a.createIndex || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0),
  )
}

function isServing(instance: Instance): boolean {
  return instance.health === 'passing' || instance.health === 'warning'
}

interface Asked {
  readonly spec: RouteSpec
  readonly instances: readonly string[]
  readonly standing: Claim['standing']
  readonly isCurrent: boolean
}

/** The union of what the instances ask for, gaps filled with last good versions. In byte order of match keys. */
function collectRoutes(
  service: string,
  ranked: readonly Instance[],
  requests: Requests,
  memory: ServiceMemory,
): { readonly routes: readonly Asked[]; readonly problems: readonly Problem[] } {
  const found = new Map<MatchKey, { spec: WrittenRoute; createIndex: number; instances: string[] }>()
  const broken = new Set<string>()
  let isUnreadable = false
  for (const instance of ranked) {
    for (const request of requests.get(instance.key)?.routes ?? []) {
      if (request.kind === 'bad-option') broken.add(request.id)
      else if (request.kind === 'bad-match') {
        if (request.id === null) isUnreadable = true
        else broken.add(request.id)
      } else {
        const key = printMatch(request.spec.match)
        const known = found.get(key)
        if (known === undefined) {
          found.set(key, { spec: request.spec, createIndex: instance.createIndex, instances: [instance.key] })
        } else {
          known.instances.push(instance.key)
          known.createIndex = Math.min(known.createIndex, instance.createIndex)
        }
      }
    }
  }
  const understood = new Set([...found.values()].map(({ spec }) => spec.id))
  const current = [...found].map(([key, { spec, createIndex, instances }]): readonly [MatchKey, Asked] => [
    key,
    { spec: { ...spec, createIndex }, instances: instances.sort(), standing: 'live', isCurrent: true },
  ])
  const former: [MatchKey, Asked][] = []
  for (const [key, spec] of memory.routes) {
    if (found.has(key)) continue
    if (broken.has(spec.id) && !understood.has(spec.id)) {
      former.push([key, { spec, instances: [], standing: 'live', isCurrent: false }])
    } else if (isUnreadable) {
      former.push([key, { spec, instances: [], standing: 'left', isCurrent: false }])
    }
  }
  const beyond = current.sort(byMatch).slice(mostRoutes)
  const problems = beyond.slice(0, 1).map(([subject]) => {
    const reason = `the service asks for more than ${mostRoutes} routes; those from ${subject} on are set aside`
    return problem('too-many-routes', { service, subject, reason })
  })
  // former ones where there is room, so that a text which can't be read takes no place from what is asked for
  const routes = [...current, ...former.sort(byMatch)].slice(0, mostRoutes).sort(byMatch)
  return { routes: routes.map(([, asked]) => asked), problems }
}

function byMatch([a]: readonly [MatchKey, unknown], [b]: readonly [MatchKey, unknown]): number {
  return a < b ? -1 : a > b ? 1 : 0
}

interface EffectiveOptions {
  readonly section: SectionOptions
  readonly timeout: Ms | null
  readonly drain: Ms
  readonly linger: Ms
  /** As written, by key, of those that are set: what to remember. */
  readonly texts: ReadonlyMap<string, string>
}

const flagText = ''

/** Service options of the first-ranked instance; one that is not understood keeps its last good value. */
function chooseServiceOptions(
  ranked: readonly Instance[],
  requests: Requests,
  memory: ServiceMemory,
): EffectiveOptions {
  const reference = ranked[0]
  const written = reference === undefined ? undefined : requests.get(reference.key)?.service
  const texts = new Map<string, string>()
  for (const [key, { text, options }] of written ?? []) {
    const known = memory.options.get(key)
    if (options !== null) texts.set(key, text)
    else if (known !== undefined) texts.set(key, known)
  }
  return effectiveOptions(texts)
}

/** `texts` come from the catalog or from a memory file: what can't be read is left out. */
function effectiveOptions(texts: ReadonlyMap<string, string>): EffectiveOptions {
  let options: Options = {}
  for (const [key, text] of texts) {
    const parsed = optionTable.get(key)?.parse(text === flagText ? null : text, null)
    if (parsed?.kind === 'value') options = { ...options, ...parsed.value }
  }
  return {
    section: {
      balance: options.balance ?? 'roundrobin',
      sticky: options.sticky ?? null,
      maxconn: options.maxconn ?? null,
      proto: options.proto ?? 'http',
    },
    timeout: options.timeout ?? null,
    drain: options.drain ?? defaultDrain,
    linger: options.linger ?? defaultLinger,
    texts,
  }
}

function routeOf(
  service: string,
  spec: RouteSpec,
  backend: BackendId,
  timeout: Ms | null,
  from: { readonly instances: readonly string[]; readonly isCurrent: boolean; readonly lingersUntil: Ms | null },
): Route {
  return {
    match: spec.match,
    service,
    backend: spec.rewrite.redirect === null ? backend : null,
    rewrite: { ...spec.rewrite, timeout: spec.rewrite.timeout ?? timeout },
    priority: spec.priority,
    lingersUntil: from.lingersUntil,
    from: {
      text: spec.text,
      instances: from.instances,
      createIndex: spec.createIndex,
      isCurrent: from.isCurrent,
    },
  }
}

function checkAgreement(
  service: string,
  ranked: readonly Instance[],
  requests: Requests,
  memory: ServiceMemory,
  at: Ms,
): { readonly since: Ms | null; readonly problems: readonly Problem[]; readonly deadlines: readonly Ms[] } {
  const newest = ranked[0]
  const signature = newest === undefined ? undefined : requests.get(newest.key)?.signature
  const other = ranked.find((instance) => requests.get(instance.key)?.signature !== signature)
  if (newest === undefined || other === undefined) return { since: null, problems: [], deadlines: [] }
  const since = memory.disagreeingSince ?? at
  if (at < since + longestDisagreement) return { since, problems: [], deadlines: [since + longestDisagreement] }
  const reason = `${newest.key} and ${other.key} ask for different routes or options for more than 10 minutes`
  return { since, problems: [problem('disagreement', { service, subject: service, reason })], deadlines: [] }
}

function endpointProblems(endpoint: Endpoint): readonly Problem[] {
  if (endpoint.kind === 'unresolved') return [endpoint.problem]
  if (endpoint.kind === 'dead' || !endpoint.isCorrected) return []
  const { instance } = endpoint
  const reason = `Docker says the container is at ${endpoint.address}:${endpoint.port} now`
  const subject = `${instance.address}:${instance.port}`
  return [problem('stale-catalog', { service: instance.service, instance: instance.key, subject, reason })]
}

/** Remembers which container was behind each registered instance, also while it can't be seen. */
function bindContainers(
  endpoints: readonly Endpoint[],
  before: ReadonlyMap<string, Binding>,
): ReadonlyMap<string, Binding> {
  const bindings = new Map<string, Binding>()
  for (const endpoint of endpoints) {
    const { key } = endpoint.instance
    const binding = bindingOf(endpoint, before.get(key))
    if (binding !== undefined) bindings.set(key, binding)
  }
  return bindings
}

/** Null when there is none. */
export function earliest(times: readonly Ms[]): Ms | null {
  // not by spreading them: there may be more than a call takes
  return times.reduce<Ms | null>((least, time) => (least === null || time < least ? time : least), null)
}
