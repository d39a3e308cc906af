import { bindingOf } from '../addresses/identity.ts'
import { problem } from '../problems.ts'
import { printMatch } from '../routes/grammar.ts'
import { readInstance } from '../routes/request.ts'
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
  Unreachable,
} from '../types.ts'
import {
  type Asked,
  chooseServiceOptions,
  collectRoutes,
  effectiveOptions,
  type Requests,
  rankInstances,
  readRequests,
} from './asked.ts'
import { backendIdOf } from './backend-id.ts'
import { seatInstances, serversOf, spareUnreachable } from './servers.ts'

/** A rolling deployment is over by then. */
const longestDisagreement: Ms = 10 * 60_000

/** A route that a service would have, if nobody has a better claim to its match. */
export interface Claim {
  readonly key: MatchKey
  readonly route: Route
  readonly standing: Asked['standing']
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
 * What a registered service asks for. Pure: `endpoints` are those of `instances`, in the same order, `unreachable` those among
 * them. A text that is not understood takes nothing away that `memory` still knows.
 */
export function decideService(
  service: string,
  instances: readonly Instance[],
  endpoints: readonly Endpoint[],
  unreachable: ReadonlyMap<string, Unreachable>,
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
  const spared = spareUnreachable(seating.seats, unreachable)
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
    const drain = drains.get(id) ?? options.drain
    backends.set(id, {
      id,
      service,
      section,
      servers: serversOf(seating.seats, draining, drain, spared.out, at),
      drain,
    })
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
      ...spared.problems,
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
    if (spec.rewrite.redirect === null) {
      const drain = Math.max(backends.get(id)?.drain ?? 0, spec.drain ?? options.drain)
      backends.set(id, { id, service, section, servers: [], drain })
    }
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
