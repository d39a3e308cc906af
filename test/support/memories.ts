import fc from 'fast-check'
import { readInstance } from '../../src/routes/request.ts'
import type { Container, Engine, Instance, Memory, RouteSpec, ServiceMemory, WeaveReport } from '../../src/types.ts'
import { instance, settings } from './worlds.ts'

/** Arbitrary values of what is observed and remembered, as the decoders and `decide` make them. */

const hostile = fc.constantFrom(
  '__proto__',
  'constructor',
  'toString',
  '',
  'a/b',
  'été',
  '\u001b[2J',
  'web\nbackend x',
  '😀',
)

/** Any text that a catalog may hold, strange ones often. */
export const arbitraryText: fc.Arbitrary<string> = fc.oneof(hostile, fc.string({ maxLength: 12 }))

/** The same, but never empty: a name. */
export const arbitraryName = arbitraryText.filter((name) => name !== '')

export function arbitraryMap<T>(
  key: fc.Arbitrary<string>,
  value: fc.Arbitrary<T>,
): fc.Arbitrary<ReadonlyMap<string, T>> {
  return fc
    .uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 4 })
    .map((entries) => new Map(entries))
}

const index = fc.nat(1_000_000)
const octet = fc.integer({ min: 1, max: 254 })
export const arbitraryAddress = fc.tuple(octet, octet).map(([c, d]) => `10.2.${c}.${d}`)

/** `prefix` is what the names of its meta keys begin with. */
export function arbitraryInstance(service: string, prefix: string): fc.Arbitrary<Instance> {
  const parts = fc.record({
    node: arbitraryName,
    nodeAddress: arbitraryAddress,
    id: arbitraryName,
    address: fc.oneof(fc.constant(''), arbitraryAddress, arbitraryText),
    port: fc.integer({ min: -5, max: 70_000 }),
    tags: fc.array(arbitraryText, { maxLength: 3 }),
    meta: arbitraryMap(
      arbitraryText.map((name) => `${prefix}-${name}`),
      arbitraryText,
    ),
    weaveAddress: fc.option(arbitraryAddress),
    health: fc.constantFrom('passing' as const, 'warning' as const, 'critical' as const, 'maintenance' as const),
    weights: fc.record({ passing: fc.nat(300), warning: fc.nat(300) }),
    createIndex: index,
  })
  return parts.map((rest) => ({ ...rest, key: `${rest.node}/${rest.id}`, service }))
}

/** Instances of one service, in order of their keys. */
export function arbitraryInstances(service: string, prefix: string): fc.Arbitrary<readonly Instance[]> {
  return fc
    .uniqueArray(arbitraryInstance(service, prefix), { selector: ({ key }) => key, minLength: 1, maxLength: 3 })
    .map((instances) => instances.sort((a, b) => Buffer.compare(Buffer.from(a.key), Buffer.from(b.key))))
}

export function arbitraryServices(prefix: string): fc.Arbitrary<ReadonlyMap<string, readonly Instance[]>> {
  return fc
    .uniqueArray(arbitraryName, { maxLength: 4 })
    .chain((names) => fc.tuple(...names.map((name) => fc.tuple(fc.constant(name), arbitraryInstances(name, prefix)))))
    .map((entries) => new Map(entries))
}

const hexId = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }).map((number) => number.toString(16).padStart(64, '0'))
const port = fc.integer({ min: 1, max: 65_535 })

export const arbitraryContainer: fc.Arbitrary<Container> = fc
  .record({
    id: hexId,
    name: fc.constantFrom('web-1', '__proto__', 'constructor', 'x_y.z'),
    running: fc.boolean(),
    startedAt: fc.constantFrom('2026-01-01T12:00:00.123456789Z', ''),
    network: fc.oneof(
      fc.constant({ kind: 'own' as const }),
      fc.constant({ kind: 'host' as const }),
      hexId.map((id) => ({ kind: 'container' as const, id })),
    ),
    addresses: fc.uniqueArray(arbitraryAddress, { maxLength: 3 }),
    exposed: fc.array(port, { maxLength: 3 }),
    published: fc.uniqueArray(fc.tuple(port, port, fc.constantFrom('0.0.0.0', '127.0.0.1')), {
      selector: String,
      maxLength: 3,
    }),
  })
  .map(({ exposed, published, ...rest }) => {
    const rows = published.map(([hostPort, containerPort, hostAddress]) => ({ hostAddress, hostPort, containerPort }))
    rows.sort(
      (a, b) =>
        a.hostPort - b.hostPort || a.containerPort - b.containerPort || (a.hostAddress < b.hostAddress ? -1 : 1),
    )
    const ports = [...new Set([...exposed, ...rows.map(({ containerPort }) => containerPort)])].sort((a, b) => a - b)
    return { ...rest, ports, published: rows }
  })

export const arbitraryEngine: fc.Arbitrary<Engine> = fc
  .uniqueArray(arbitraryContainer, { selector: ({ id }) => id, maxLength: 3 })
  .map((containers) => new Map(containers.map((container) => [container.id, container])))

const peerName = fc.constantFrom('0a:00:00:00:00:01', '0a:00:00:00:00:02', '0a:00:00:00:00:03')

export const arbitraryWeave: fc.Arbitrary<WeaveReport> = fc.record({
  domain: fc.constantFrom('', 'weave.local'),
  peers: fc.uniqueArray(
    fc.record({
      name: peerName,
      nickName: arbitraryText,
      addresses: fc.uniqueArray(arbitraryAddress, { maxLength: 2 }).map((addresses) => addresses.sort()),
    }),
    { selector: ({ name }) => name, maxLength: 3 },
  ),
  names: fc.array(
    fc.record({
      hostname: fc.constantFrom('web.weave.local', 'constructor.weave.local'),
      peer: peerName,
      containerId: hexId,
      address: arbitraryAddress,
    }),
    { maxLength: 3 },
  ),
  owned: fc
    .uniqueArray(
      fc.tuple(
        hexId,
        fc.uniqueArray(arbitraryAddress, { minLength: 1, maxLength: 2 }).map((list) => list.sort()),
      ),
      { selector: ([id]) => id, maxLength: 3 },
    )
    .map((entries) => new Map(entries.sort(([a], [b]) => (a < b ? -1 : 1)))),
})

const arbitraryOption = fc.constantFrom(
  ...[
    'strip',
    'add=/v1',
    'host=wp.internal',
    'timeout=30s',
    'rawpath',
    'redirect=301,https://$host$path',
    'priority=7',
  ],
  ...[
    'balance=leastconn',
    'balance=source',
    'sticky',
    'sticky=NAME',
    'maxconn=100',
    'proto=h2c',
    'drain=5s',
    'linger=2d',
  ],
)

/** As they are read from their texts, which is how a memory file is read back. */
const arbitraryRoute: fc.Arbitrary<RouteSpec> = fc
  .record({
    host: fc.constantFrom('', 'shop.example.com', '*.example.com', 'x_y.example.com'),
    path: fc.constantFrom('/', '/api', '/a/b$', '/a*', '/a/*'),
    options: fc.uniqueArray(arbitraryOption, { maxLength: 4, selector: (option) => option.split('=')[0] }),
    createIndex: index,
  })
  .map(({ host, path, options, createIndex }) => {
    const tags = [`heddle.route=${[host + path, ...options].join(' ')}`]
    const [read] = readInstance(instance('any', 'any', { tags }), settings.expose).routes
    if (read?.kind !== 'understood') throw new Error(`expected a route in ${tags}`)
    return { ...read.spec, createIndex }
  })

const arbitraryServiceMemory: fc.Arbitrary<ServiceMemory> = fc.record({
  routes: fc
    .uniqueArray(arbitraryRoute, { selector: ({ id }) => id, maxLength: 3 })
    .map((routes) => new Map(routes.map((route) => [route.id, route]))),
  options: arbitraryMap(fc.constantFrom('balance', 'timeout', '__proto__'), arbitraryText),
  lingeringSince: fc.option(index),
  disagreeingSince: fc.option(index),
  draining: arbitraryMap(arbitraryName, index),
  bindings: arbitraryMap(
    arbitraryName,
    fc.record({
      container: hexId,
      name: arbitraryName,
      startedAt: arbitraryText,
      port: index,
      address: arbitraryAddress,
      createIndex: index,
    }),
  ),
})

/** Meta keys of its instances begin with `prefix`. */
export function arbitraryMemory(prefix: string): fc.Arbitrary<Memory> {
  return fc.record({
    catalog: arbitraryServices(prefix).map((services) => ({ services })),
    engines: arbitraryMap(arbitraryName, arbitraryEngine),
    weave: fc.option(arbitraryWeave),
    owners: arbitraryMap(arbitraryName, arbitraryName),
    services: arbitraryMap(arbitraryName, arbitraryServiceMemory),
  })
}

/** Memories as they follow each other: what a step leaves as it was keeps its identity. */
export const arbitraryMemories: fc.Arbitrary<readonly Memory[]> = fc
  .tuple(
    arbitraryMemory('heddle'),
    fc.array(fc.tuple(arbitraryMemory('heddle'), fc.array(fc.nat(9), { minLength: 5, maxLength: 5 })), {
      maxLength: 6,
    }),
  )
  .map(([first, steps]) => {
    const memories = [first]
    for (const [news, kinds] of steps) memories.push(stepped(memories.at(-1) ?? first, news, kinds))
    return memories
  })

/** Of each part, by the number for it: kept, without its first entry, with those of `news`, or as they are in `news`. */
function stepped(before: Memory, news: Memory, [a = 0, b = 0, c = 0, d = 0, e = 0]: readonly number[]): Memory {
  const engines = mixed(before.engines, news.engines, b)
  const [node, engine] = [...before.engines][0] ?? []
  const [other] = news.engines.values()
  const isMixed = b > 5 && node !== undefined && engine !== undefined && other !== undefined
  return {
    catalog: { services: mixed(before.catalog.services, news.catalog.services, a) },
    engines: isMixed ? new Map(engines).set(node, mixed(engine, other, b)) : engines,
    weave: c > 5 ? news.weave : before.weave,
    owners: mixed(before.owners, news.owners, d),
    services: mixed(before.services, news.services, e),
  }
}

function mixed<V>(before: ReadonlyMap<string, V>, news: ReadonlyMap<string, V>, kind: number): ReadonlyMap<string, V> {
  if (kind < 4) return before
  if (kind < 6) return new Map([...before].slice(1))
  return kind < 9 ? new Map([...before, ...news]) : news
}
