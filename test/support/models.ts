import fc from 'fast-check'
import { backendIdOf } from '../../src/model/backend-id.ts'
import { parseMatch, printMatch } from '../../src/routes/grammar.ts'
import type {
  Backend,
  Balance,
  Match,
  Model,
  RenderSettings,
  Rewrite,
  Route,
  SectionOptions,
  Server,
} from '../../src/types.ts'

/** Builders of models as `decide` makes them, and arbitraries of valid ones. */

export const noRewrite: Rewrite = { strip: null, add: null, host: null, timeout: null, rawpath: false, redirect: null }
export const ownSection: SectionOptions = { balance: 'roundrobin', sticky: null, maxconn: null, proto: 'http' }

export const renderSettings: RenderSettings = {
  bind: [':80'],
  acceptProxy: [],
  trustedProxies: [],
  monitor: null,
  maxconn: null,
  timeouts: {
    connect: 2_000,
    client: 60_000,
    server: 60_000,
    httpRequest: 10_000,
    httpKeepAlive: 75_000,
    queue: 10_000,
    tunnel: 3_600_000,
    clientFin: 10_000,
  },
  hardStopAfter: 900_000,
  maxOldWorkers: 4,
  spares: null,
  paths: 'auto',
  headerNames: 'keep',
  accessLog: true,
  log: 'stdout',
  statsBind: '127.0.0.1:8404',
  statsSocket: '/run/haproxy/stats.sock',
  socketGid: null,
  user: null,
  group: null,
  chroot: null,
}

/** `10.2.1.5:8080` */
export function server(name: string, change: Partial<Server> = {}): Server {
  const [address = '', port = ''] = name.split(':')
  return {
    name,
    address,
    port: Number(port),
    weight: 1,
    state: 'ready',
    backup: false,
    instance: { key: `host1/${name}`, id: name, node: 'host1' },
    source: 'catalog',
    ...change,
  }
}

export function backend(
  service: string,
  servers: readonly (string | Server)[],
  section: Partial<SectionOptions> = {},
): Backend {
  const options = { ...ownSection, ...section }
  return {
    id: backendIdOf(service, options, ownSection),
    service,
    section: options,
    servers: servers.map((one) => (typeof one === 'string' ? server(one) : one)),
    drain: 30_000,
  }
}

/** `text` as a tag has it, `shop.example.com/api`; `target` a backend, or a service's name for a redirect. */
export function route(
  text: string,
  target: Backend | string,
  rewrite: Partial<Rewrite> = {},
  change: Partial<Route> = {},
): Route {
  return {
    match: matchOf(text),
    service: typeof target === 'string' ? target : target.service,
    backend: typeof target === 'string' ? null : target.id,
    rewrite: { ...noRewrite, ...rewrite },
    priority: 0,
    lingersUntil: null,
    from: { text, instances: ['host1/1'], createIndex: 1, isCurrent: true },
    ...change,
  }
}

export function matchOf(text: string): Match {
  const parsed = parseMatch(text)
  if (parsed.kind === 'wrong') throw new Error(`${text}: ${parsed.reason}`)
  return parsed.value
}

export function model(backends: readonly Backend[], routes: readonly Route[]): Model {
  return {
    routes: [...routes].sort((a, b) => (printMatch(a.match) < printMatch(b.match) ? -1 : 1)),
    backends: new Map(backends.map((one) => [one.id, one])),
  }
}

// ---------------------------------------------------------------------------------------------- arbitraries

/** Names that are legal in Consul and near something that HAProxy reads in its own way; the last three need a safe name. */
const services = [
  'web',
  'from',
  'global',
  'DEFAULT',
  '.',
  '-',
  '_',
  '0',
  'a.b',
  'ünï',
  'a b\n  server x',
  'x:0123456789abcdef01234567',
]

/** Few, so that matches meet. */
const hosts = ['', 'a.test', '*.test', 'b.a.test', '*.a.test', 'x_y.b.a.test', '*.x.y.z.b.a.test']
const paths = ['', '/a', '/a/', '/a/b', '/ab', '/a/b/c', '/~x', '/A.b-c_d']
const marks = ['', '$', '*']

export const anyMatch: fc.Arbitrary<Match> = fc
  .tuple(fc.constantFrom(...hosts), fc.constantFrom(...paths), fc.constantFrom(...marks))
  .map(([host, path, mark]) => matchOf(path === '' ? `${host}/${mark === '*' ? '' : mark}` : `${host}${path}${mark}`))

const anySection: fc.Arbitrary<SectionOptions> = fc.record({
  balance: fc.constantFrom<Balance>('roundrobin', 'leastconn', 'first', 'source'),
  sticky: fc.option(fc.constantFrom('SRV', 'my-Cookie_1'), { nil: null }),
  maxconn: fc.option(fc.integer({ min: 1, max: 1_000_000 }), { nil: null }),
  proto: fc.constantFrom('http' as const, 'h2c' as const),
})

const anyServer: fc.Arbitrary<Server> = fc
  .record({
    last: fc.integer({ min: 0, max: 255 }),
    port: fc.integer({ min: 1, max: 65_535 }),
    weight: fc.integer({ min: 0, max: 256 }),
    state: fc.constantFrom('ready' as const, 'drain' as const, 'maint' as const),
    backup: fc.boolean(),
  })
  .map(({ last, port, ...rest }) => server(`10.2.1.${last}:${port}`, rest))

const anyRewrite = (match: Match): fc.Arbitrary<Rewrite> =>
  fc.record({
    strip: fc.constantFrom(null, ...wholePrefixes(match.path)),
    add: fc.constantFrom(null, '/v1', '/v1/x'),
    host: fc.constantFrom(null, 'inner.test'),
    timeout: fc.constantFrom(null, 1, 30_000, 24 * 86_400_000),
    rawpath: fc.boolean(),
    redirect: fc.constant(null),
  })

function wholePrefixes(path: string): readonly string[] {
  const trimmed = path.replace(/\/$/, '')
  return [...trimmed.matchAll(/\/[^/]+(?=\/|$)/g)].map((found) => trimmed.slice(0, found.index + found[0].length))
}

const anyRedirect: fc.Arbitrary<Rewrite['redirect']> = fc.record({
  code: fc.constantFrom(301, 302, 303, 307, 308),
  location: fc.constantFrom(
    [
      { literal: 'https://' },
      { variable: 'host' as const },
      { variable: 'path' as const },
      { variable: 'query' as const },
    ],
    [{ literal: '/new' }, { variable: 'path' as const }, { literal: '#end' }],
    [{ literal: 'http://other.test/?from=' }, { variable: 'host' as const }],
  ),
})

/** Any model that `decide` could make, with few hosts and paths, so that matches meet. */
export const anyModel: fc.Arbitrary<Model> = fc
  .uniqueArray(
    fc.record({
      service: fc.constantFrom(...services),
      section: fc.option(anySection, { nil: null }),
      servers: fc.uniqueArray(anyServer, { maxLength: 4, selector: ({ name }) => name }),
    }),
    { maxLength: 6, selector: ({ service, section }) => JSON.stringify([service, section]) },
  )
  .map((made) => made.map(({ service, section, servers }) => backend(service, servers, section ?? {})))
  .chain((backends) =>
    fc
      .uniqueArray(anyMatch, { maxLength: 12, selector: printMatch })
      .chain((matches) =>
        fc.tuple(...matches.map((match) => anyRoute(match, backends))).map((routes) => model(backends, routes)),
      ),
  )

function anyRoute(match: Match, backends: readonly Backend[]): fc.Arbitrary<Route> {
  const text = printMatch(match)
  const lingersUntil = fc.constantFrom(null, null, 1_700_000_000_000)
  const redirect = fc
    .tuple(fc.constantFrom(...services), anyRedirect, lingersUntil)
    .map(([service, to, until]) => route(text, service, { redirect: to }, { lingersUntil: until }))
  if (backends.length === 0) return redirect
  const toBackend = fc
    .tuple(fc.constantFrom(...backends), anyRewrite(match), lingersUntil)
    .map(([target, rewrite, until]) => route(text, target, rewrite, { lingersUntil: until }))
  return fc.oneof({ weight: 4, arbitrary: toBackend }, { weight: 1, arbitrary: redirect })
}
