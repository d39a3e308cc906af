import type { AddressSource, Backend, Decision, Endpoint, Server } from '../types.ts'
import type { instanceStates } from './views.ts'

export type InstanceState = (typeof instanceStates)[number]

/** What became of an instance. */
export interface Fate {
  readonly state: InstanceState
  readonly source: AddressSource | null
  /** Null: HAProxy has no server for it. */
  readonly server: Server | null
  /** Why it takes no new requests; null when it does. */
  readonly why: string | null
}

export interface Counts {
  readonly services: number
  readonly routes: number
  readonly backends: number
  readonly instances: { readonly up: number; readonly all: number }
  readonly problems: number
  /** Keys are `state source`, the source being `none` where no address was found. */
  readonly instancesBy: ReadonlyMap<`${InstanceState} ${AddressSource | 'none'}`, number>
  readonly problemsByCode: ReadonlyMap<string, number>
  readonly problemsByService: ReadonlyMap<string, number>
}

export function groupByService<T extends { readonly service: string }>(
  items: Iterable<T>,
): ReadonlyMap<string, readonly T[]> {
  const grouped = new Map<string, T[]>()
  for (const item of items) {
    const others = grouped.get(item.service)
    if (others === undefined) grouped.set(item.service, [item])
    else others.push(item)
  }
  return grouped
}

/** Servers by instance key. An instance in several backends of its service has the same state in each. */
export function serversByInstance(backends: readonly Backend[]): ReadonlyMap<string, Server> {
  return new Map(backends.flatMap((backend) => backend.servers.map((server) => [server.instance.key, server])))
}

/** `servers` are those of the instance's own service; none at all means that nothing routes to it. */
export function fateOf(endpoint: Endpoint, servers: ReadonlyMap<string, Server>): Fate {
  if (endpoint.kind === 'dead') return { state: 'dead', source: null, server: null, why: endpoint.why }
  if (endpoint.kind === 'unresolved')
    return { state: 'unresolved', source: null, server: null, why: endpoint.problem.reason }
  const { source, instance } = endpoint
  const server = servers.get(instance.key) ?? null
  const isHealthy = instance.health === 'passing' || instance.health === 'warning'
  if (server !== null) {
    const why = server.state === 'ready' ? weightless(server) : isHealthy ? 'unreachable' : instance.health
    return { state: server.state, source, server, why }
  }
  if (!isHealthy) return { state: 'maint', source, server, why: instance.health }
  if (servers.size === 0) return { state: 'ready', source, server, why: 'no route leads to it' }
  return { state: 'maint', source, server, why: 'another instance stands for its address and port' }
}

function weightless({ weight }: Server): string | null {
  return weight === 0 ? 'its weight is 0' : null
}

const known = new WeakMap<Decision, Counts>()
const nothing: Counts = {
  services: 0,
  routes: 0,
  backends: 0,
  instances: { up: 0, all: 0 },
  problems: 0,
  instancesBy: new Map(),
  problemsByCode: new Map(),
  problemsByService: new Map(),
}

/** Counted once per decision: every scrape, event and status shares the result. Null counts as nothing. */
export function countsOf(decision: Decision | null): Counts {
  if (decision === null) return nothing
  const counted = known.get(decision) ?? count(decision)
  known.set(decision, counted)
  return counted
}

function count(decision: Decision): Counts {
  const instancesBy = new Map<`${InstanceState} ${AddressSource | 'none'}`, number>()
  const problemsByCode = new Map<string, number>()
  const problemsByService = new Map<string, number>()
  const backends = groupByService(decision.model.backends.values())
  let up = 0
  let all = 0
  for (const [service, endpoints] of decision.endpoints) {
    const servers = serversByInstance(backends.get(service) ?? [])
    for (const endpoint of endpoints) {
      const fate = fateOf(endpoint, servers)
      add(instancesBy, `${fate.state} ${fate.source ?? 'none'}`)
      all += 1
      if (fate.server !== null && takesRequests(fate.server)) up += 1
    }
  }
  for (const problem of decision.problems) {
    add(problemsByCode, problem.code)
    add(problemsByService, problem.service)
  }
  return {
    services: decision.endpoints.size,
    routes: decision.model.routes.length,
    backends: decision.model.backends.size,
    instances: { up, all },
    problems: decision.problems.length,
    instancesBy,
    problemsByCode,
    problemsByService,
  }
}

export function takesRequests(server: Server): boolean {
  return server.state === 'ready' && server.weight > 0
}

function add<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}
