import type { State } from '../../src/control/state.ts'
import { emptyMemory } from '../../src/model/decide.ts'
import { problem } from '../../src/problems.ts'
import { printMatch } from '../../src/routes/grammar.ts'
import type {
  Backend,
  Decision,
  Endpoint,
  Instance,
  Match,
  Ms,
  Problem,
  RevisionRecord,
  Rewrite,
  Route,
  Running,
  RunningServer,
  SectionOptions,
  Server,
} from '../../src/types.ts'

/** States as the loop publishes them: what is not given is that of a small site where all is well. */

/** The moment at which every state here was reached. */
export const stateTime: Ms = Date.UTC(2026, 0, 31, 12, 0, 0)

export const plainRewrite: Rewrite = {
  strip: null,
  add: null,
  host: null,
  timeout: null,
  rawpath: false,
  redirect: null,
}
export const plainSection: SectionOptions = { balance: 'roundrobin', sticky: null, maxconn: null, proto: 'http' }

export function instanceOf(service: string, more: Partial<Instance> = {}): Instance {
  const id = more.id ?? `${service}-1`
  const node = more.node ?? 'host1'
  return {
    key: `${node}/${id}`,
    node,
    nodeAddress: '192.168.0.1',
    id,
    service,
    address: '10.2.1.5',
    port: 8080,
    tags: ['heddle'],
    meta: new Map(),
    weaveAddress: null,
    health: 'passing',
    weights: { passing: 1, warning: 1 },
    createIndex: 10,
    ...more,
  }
}

export function reachable(
  instance: Instance,
  more: { source?: Server['source']; isCorrected?: boolean } = {},
): Endpoint {
  return {
    kind: 'reachable',
    instance,
    address: instance.address,
    port: instance.port,
    source: more.source ?? 'catalog',
    isCorrected: more.isCorrected ?? false,
    container: null,
  }
}

export function dead(instance: Instance, why: string): Endpoint {
  return { kind: 'dead', instance, why }
}

export function unresolved(instance: Instance, why: Problem): Endpoint {
  return { kind: 'unresolved', instance, problem: why }
}

export function serverOf(instance: Instance, more: Partial<Server> = {}): Server {
  return {
    name: `${instance.address}:${instance.port}`,
    address: instance.address,
    port: instance.port,
    weight: 1,
    state: 'ready',
    backup: false,
    instance: { key: instance.key, id: instance.id, node: instance.node },
    source: 'catalog',
    ...more,
  }
}

export function backendOf(service: string, servers: readonly Server[], more: Partial<Backend> = {}): Backend {
  return { id: service, service, section: plainSection, servers, drain: 30_000, ...more }
}

export function routeOf(service: string, match: Partial<Match>, more: Partial<Route> = {}): Route {
  const whole: Match = { host: '*', path: '/', kind: 'prefix', ...match }
  return {
    match: whole,
    service,
    backend: service,
    rewrite: plainRewrite,
    priority: 0,
    lingersUntil: null,
    from: { text: printMatch(whole), instances: [`host1/${service}-1`], createIndex: 10, isCurrent: true },
    ...more,
  }
}

export interface DecisionParts {
  readonly routes?: readonly Route[]
  readonly backends?: readonly Backend[]
  readonly problems?: readonly Problem[]
  readonly endpoints?: Readonly<Record<string, readonly Endpoint[]>> | ReadonlyMap<string, readonly Endpoint[]>
  readonly owners?: ReadonlyMap<string, string>
}

export function decisionOf({
  routes = [],
  backends = [],
  problems = [],
  endpoints = {},
  owners,
}: DecisionParts): Decision {
  return {
    model: { routes, backends: new Map(backends.map((backend) => [backend.id, backend])) },
    memory: {
      ...emptyMemory,
      owners: owners ?? new Map(routes.map((route) => [printMatch(route.match), route.service])),
    },
    problems,
    endpoints: endpoints instanceof Map ? endpoints : new Map(Object.entries(endpoints)),
    wakeAt: null,
    isSettled: true,
  }
}

export function recordOf(number: number, more: Partial<RevisionRecord> = {}): RevisionRecord {
  const none = { added: [], removed: [], changed: [] }
  return {
    number,
    hash: number.toString(16).padStart(12, '0'),
    routesHash: `a${number.toString(16).padStart(11, '0')}`,
    at: stateTime - 60_000,
    action: 'runtime',
    reasons: [],
    cause: ['catalog'],
    diff: { routes: none, servers: none, backends: none },
    ...more,
  }
}

/** A site that runs what is wanted of it, with nothing exposed unless `more` says so. */
export function stateOf(more: Partial<State> = {}): State {
  return {
    version: '0.1.0',
    startedAt: stateTime - 3_600_000,
    at: stateTime,
    sources: new Map([
      [
        'consul',
        {
          state: 'fresh',
          at: stateTime - 1500,
          error: null,
          errors: 0,
          partitions: { total: 3, stale: 0 },
          note: null,
        },
      ],
      [
        'templates',
        { state: 'fresh', at: stateTime, error: null, errors: 0, partitions: { total: 1, stale: 0 }, note: null },
      ],
    ]),
    decision: decisionOf({}),
    candidate: null,
    plan: { steps: [], leaving: [], reload: [] },
    running: null,
    proof: { number: 7, hash: '0f1e2d3c4b5a', routesHash: 'a0b1c2d3e4f5', at: stateTime - 30_000 },
    haproxy: {
      process: 'attach',
      isConnected: true,
      version: '2.6.12-1+deb12u4',
      pid: 4242,
      oldWorkers: 0,
      spares: { free: 19, taken: 1 },
      reloads: { success: 1, failure: 0 },
      error: null,
    },
    history: [],
    ready: { isReady: true, reason: 'revision 7 runs' },
    notices: new Map(),
    ...more,
  }
}

/** Before any source has spoken. */
export function startingState(): State {
  return stateOf({
    sources: new Map([
      [
        'consul',
        {
          state: 'waiting',
          at: null,
          error: 'connection refused',
          errors: 4,
          partitions: { total: 0, stale: 0 },
          note: null,
        },
      ],
    ]),
    decision: null,
    plan: null,
    proof: null,
    ready: { isReady: false, reason: 'waiting for consul' },
  })
}

/** A shop: two services with routes of several kinds, and instances of every fate. */
export function shopState(more: Partial<State> = {}): State {
  const web1 = instanceOf('web', { id: 'web-1', address: '10.2.1.5' })
  const web2 = instanceOf('web', { id: 'web-2', node: 'host2', address: '10.2.2.6', health: 'maintenance' })
  const web3 = instanceOf('web', { id: 'web-3', node: 'host2', address: '10.2.2.7', health: 'critical' })
  const web4 = instanceOf('web', { id: 'web-4', node: 'host3', address: '192.168.0.3' })
  const web5 = instanceOf('web', { id: 'web-5', node: 'host3', address: '10.2.3.9' })
  const api1 = instanceOf('api', { id: 'api-1', node: 'host1', address: '10.2.1.8', port: 9000 })
  const noAddress = problem('no-address', {
    service: 'web',
    instance: web4.key,
    subject: '192.168.0.3',
    reason: 'outside of 10.2.0.0/16 and no container is known',
  })
  const sticky = { ...plainSection, balance: 'leastconn', sticky: 'SRV', maxconn: 50 } as const
  const decision = decisionOf({
    routes: [
      routeOf('old', { host: 'old.example.com' }, { lingersUntil: stateTime + 3_600_000 }),
      routeOf(
        'api',
        { host: 'shop.example.com', path: '/api' },
        {
          backend: 'api:1a2b3c',
          priority: 5,
          rewrite: { ...plainRewrite, strip: '/api', timeout: 30_000, rawpath: true },
        },
      ),
      routeOf('web', { host: 'shop.example.com', path: '/', kind: 'prefix' }),
      routeOf(
        'web',
        { host: 'shop.example.com', path: '/old', kind: 'exact' },
        {
          backend: null,
          rewrite: {
            ...plainRewrite,
            redirect: {
              code: 301,
              location: [{ literal: 'https://' }, { variable: 'host' }, { literal: '/new' }, { variable: 'query' }],
            },
          },
        },
      ),
    ],
    backends: [
      backendOf('web', [serverOf(web1), serverOf(web2, { state: 'drain', source: 'docker' })]),
      backendOf('api', [serverOf(api1, { weight: 10 })], { id: 'api:1a2b3c', section: sticky }),
      backendOf('old', []),
    ],
    problems: [
      problem('conflict', { service: 'api', subject: 'shop.example.com/', reason: 'web has it already' }),
      noAddress,
    ],
    endpoints: {
      api: [reachable(api1)],
      web: [
        reachable(web1),
        reachable(web2, { source: 'docker', isCorrected: true }),
        reachable(web3),
        unresolved(web4, noAddress),
        dead(web5, 'Docker saw container 4f3c die'),
      ],
    },
  })
  const servers = { added: ['web/10.2.1.5:8080'], removed: [], changed: [] }
  const none = { added: [], removed: [], changed: [] }
  return stateOf({
    decision,
    history: [
      recordOf(5, { action: 'reload', reasons: ['new-backend web'], cause: ['start'] }),
      recordOf(6, { action: 'rejected', reasons: ['haproxy -c: no'], cause: ['templates'] }),
      recordOf(7, {
        hash: '0f1e2d3c4b5a',
        cause: ['catalog', 'docker'],
        diff: { routes: none, servers, backends: none },
      }),
    ],
    ...more,
  })
}

/** The shop in a HAProxy that has what is wanted, but for api, which is heavier there, in a spare section. */
export function runningState(more: Partial<State> = {}): State {
  const servers = (...all: readonly [string, RunningServer['state'], number][]) =>
    new Map(
      all.map(([name, state, weight]): [string, RunningServer] => [name, { state, weight, address: name, words: '' }]),
    )
  const running: Running = {
    pid: 4242,
    version: '2.6.12-1+deb12u4',
    structure: '000000000000',
    revision: '0f1e2d3c4b5a',
    seats: new Map([['api:1a2b3c', ':spare3']]),
    closed: new Set(),
    servers: new Map([
      // the last one is leaving
      ['web', servers(['10.2.1.5:8080', 'ready', 1], ['10.2.2.6:8080', 'drain', 1], ['10.2.2.7:8080', 'maint', 1])],
      ['api:1a2b3c', servers(['10.2.1.8:9000', 'ready', 20])],
    ]),
    maps: new Map(),
  }
  return shopState({ running, ...more })
}

/** `services` services with one route and `instances` instances each; names may be anything. */
export function wideState(services: number, instances: number, nameOf = (index: number) => `service-${index}`): State {
  const routes: Route[] = []
  const backends: Backend[] = []
  const endpoints = new Map<string, readonly Endpoint[]>()
  for (let index = 0; index < services; index += 1) {
    const name = nameOf(index)
    const all = Array.from({ length: instances }, (_, copy) =>
      instanceOf(name, {
        id: `${name}-${copy}`,
        node: `host${copy}`,
        address: `10.2.${copy + 1}.${index % 256}`,
        port: 1024 + (index % 60_000),
      }),
    )
    routes.push(routeOf(name, { host: `s${String(index).padStart(5, '0')}.example.com` }))
    backends.push(
      backendOf(
        name,
        all.map((instance) => serverOf(instance)),
      ),
    )
    endpoints.set(
      name,
      all.map((instance) => reachable(instance)),
    )
  }
  return stateOf({ decision: decisionOf({ routes, backends, endpoints }) })
}
