import { framePart } from '../../src/render/parts.ts'
import { wordsOf } from '../../src/render/server-line.ts'
import type {
  Backend,
  Candidate,
  MatchKind,
  Model,
  Rewrite,
  Route,
  Running,
  RunningServer,
  Server,
} from '../../src/types.ts'

/** Small models for the tests of plan and diff: services named by letters, servers by the last byte of their address. */

export const noRewrite: Rewrite = { strip: null, add: null, host: null, timeout: null, rawpath: false, redirect: null }

export function server(last: number, change: Partial<Server> = {}): Server {
  const address = `10.2.1.${last}`
  return {
    name: `${address}:8080`,
    address,
    port: 8080,
    weight: 1,
    state: 'ready',
    backup: false,
    instance: { key: `host1/i${last}`, id: `i${last}`, node: 'host1' },
    source: 'catalog',
    ...change,
  }
}

export function backend(id: string, servers: readonly Server[], section: Partial<Backend['section']> = {}): Backend {
  const defaults = { balance: 'roundrobin', sticky: null, maxconn: null, proto: 'http' } as const
  return { id, service: id, section: { ...defaults, ...section }, servers, drain: 30_000 }
}

export function route(text: string, service: string, change: Partial<Route> = {}): Route {
  const slash = text.indexOf('/')
  const mark = text.at(-1)
  const kind: MatchKind = mark === '$' ? 'exact' : mark === '*' ? 'raw' : 'prefix'
  const path = text.slice(slash, kind === 'prefix' ? undefined : -1)
  return {
    match: { host: slash === 0 ? '*' : text.slice(0, slash), path, kind },
    service,
    backend: service,
    rewrite: noRewrite,
    priority: 0,
    lingersUntil: null,
    from: { text, instances: [], createIndex: 1, isCurrent: true },
    ...change,
  }
}

export function model(backends: readonly Backend[], routes: readonly Route[] = []): Model {
  return { routes, backends: new Map(backends.map((one) => [one.id, one])) }
}

export interface Rendering {
  readonly hash?: string
  /** Stands for everything outside the sections. */
  readonly global?: string
  /** Names of the spare sections. */
  readonly spares?: readonly string[]
}

/** Renders just enough: what the plan looks at. */
export function candidateOf(
  { routes, backends }: Model,
  { hash = 'aaaaaaaaaaaa', global = 'g1', spares = [] }: Rendering = {},
): Candidate {
  const parts = new Map([
    [framePart, global],
    ...spares.map((name): [string, string] => [name, 'spare']),
    ...[...backends].map(([id, { section }]): [string, string] => [id, `${section.balance} ${section.sticky}`]),
  ])
  const entries = routes.map(({ match, service, backend: id }): [string, string] => [
    `${match.host}${match.path}`,
    `${id ?? ':redirect'}|${service}`,
  ])
  return {
    hash,
    routesHash: hash,
    structure: digest(JSON.stringify([...parts].sort())),
    parts,
    shapes: new Set(parts.values()),
    maps: new Map([
      ['hosts.map', new Map(routes.map(({ match }) => [match.host, 'plain']))],
      ['revision.map', new Map([['revision', hash]])],
      ['routes.map', new Map(entries)],
      ['state.map', new Map(routes.length > 0 ? [['alive', '1']] : [])],
    ]),
    files: new Map(),
  }
}

/** As HAProxy has it that was started with it. */
export function runningServer({ section }: Backend, one: Server): RunningServer {
  return { weight: one.weight, state: one.state, address: one.name, words: wordsOf(one, section) }
}

/** The running state that a reload with this model gives. */
export function runningOf(loaded: Model, candidate: Candidate): Running {
  const servers = [...loaded.backends.values()]
    .filter((one) => one.servers.length > 0)
    .map((own) => [own.id, new Map(own.servers.map((one) => [one.name, runningServer(own, one)]))] as const)
  return {
    pid: 1,
    version: '2.6.12',
    structure: candidate.structure,
    revision: candidate.hash,
    seats: new Map(),
    servers: new Map(servers),
    closed: new Set(),
    maps: candidate.maps,
  }
}

function digest(text: string): string {
  let hash = 7n
  for (const character of text) hash = (hash * 131n + BigInt(character.codePointAt(0) ?? 0)) % 2n ** 48n
  return hash.toString(16).padStart(12, '0')
}
