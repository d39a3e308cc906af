import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { bindingOf } from '../../src/addresses/identity.ts'
import { addressBook, resolveEndpoints } from '../../src/addresses/resolve.ts'
import { entriesField, field, textField } from '../../src/sources/field.ts'
import { decodeWeaveReport } from '../../src/sources/weave.ts'
import type {
  Binding,
  Container,
  Endpoint,
  Engine,
  Instance,
  ModelSettings,
  PublishedPort,
  WeaveReport,
} from '../../src/types.ts'
import { container, engine, fixture, idOf, recorded } from '../support/containers.ts'
import { type InstanceParts, instance, settings } from '../support/worlds.ts'

interface Known {
  readonly engines?: Readonly<Record<string, Engine>>
  /** Nodes whose engine does not answer now. */
  readonly stale?: readonly string[]
  readonly weave?: WeaveReport | null
  readonly settings?: Partial<ModelSettings['weave']>
  readonly bindings?: ReadonlyMap<string, Binding>
}

function resolveAll(instances: readonly Instance[], known: Known = {}): readonly Endpoint[] {
  const engines = new Map(Object.entries(known.engines ?? {}))
  const complete = new Set([...engines.keys()].filter((node) => !known.stale?.includes(node)))
  const services = new Map([['web', instances]])
  const input = { engines, complete, weave: known.weave ?? null, catalog: { services } }
  const book = addressBook(input, { ...settings.weave, ...known.settings }, 'heddle')
  return resolveEndpoints(instances, book, known.bindings ?? new Map())
}

function resolveOne(one: Instance, known: Known = {}): Endpoint {
  const [endpoint] = resolveAll([one], known)
  if (endpoint === undefined) throw new Error('expected one endpoint')
  return endpoint
}

/** `10.2.1.0:8080 catalog`, `dead`, or the code of the problem: what matters of an endpoint, in one line. */
function show(endpoint: Endpoint): string {
  if (endpoint.kind === 'dead') return 'dead'
  if (endpoint.kind === 'unresolved') return endpoint.problem.code
  return `${endpoint.address}:${endpoint.port} ${endpoint.source}${endpoint.isCorrected ? ' corrected' : ''}`
}

function remember(...endpoints: readonly Endpoint[]): ReadonlyMap<string, Binding> {
  return new Map(
    endpoints.flatMap((endpoint) => {
      const binding = bindingOf(endpoint, undefined)
      return binding === undefined ? [] : [[endpoint.instance.key, binding]]
    }),
  )
}

/** A port that is open on every address of the host. */
function everywhere(hostPort: number, containerPort: number): PublishedPort {
  return { hostAddress: '0.0.0.0', hostPort, containerPort }
}

function web(parts: InstanceParts = {}, id = 'web'): Instance {
  return instance('web', id, parts)
}

describe('the address in the catalog', () => {
  it.each<[string, InstanceParts, string]>([
    ['in the weave range', { address: '10.2.1.5' }, '10.2.1.5:8080 catalog'],
    ['that ends in .0', { address: '10.2.1.0' }, '10.2.1.0:8080 catalog'],
    ['that ends in .255', { address: '10.2.1.255' }, '10.2.1.255:8080 catalog'],
    ['left out: that of the node', { address: '', nodeAddress: '10.2.1.6' }, '10.2.1.6:8080 catalog'],
    ['outside the range', { address: '192.0.2.7' }, 'no-address'],
    ['of another private network', { address: '172.17.0.2' }, 'no-address'],
    ['of the bridge', { address: '10.2.0.1' }, 'address-not-allowed'],
    ['loopback', { address: '127.0.0.1' }, 'address-not-allowed'],
    ['link-local', { address: '169.254.169.254' }, 'address-not-allowed'],
    ['of nobody', { address: '0.0.0.0' }, 'address-not-allowed'],
    ['multicast', { address: '224.0.0.1' }, 'address-not-allowed'],
    ['broadcast', { address: '255.255.255.255' }, 'address-not-allowed'],
    ['the broadcast address of the range', { address: '10.2.255.255' }, 'address-not-allowed'],
    ['a name', { address: 'web.example.com' }, 'bad-address'],
    ['with leading zeros', { address: '10.2.01.5' }, 'bad-address'],
    ['an injection', { address: '127.0.0.1 check\n server evil 10.0.0.1' }, 'bad-address'],
    ['IPv6', { address: '::ffff:10.2.1.5' }, 'bad-address'],
    ['with port 0', { port: 0 }, 'bad-port'],
    ['with a negative port', { port: -5 }, 'bad-port'],
    ['with a port too high', { port: 70_000 }, 'bad-port'],
    ['with half a port', { port: 80.5 }, 'bad-port'],
  ])('%s', (_case, parts, expected) => {
    expect(show(resolveOne(web(parts)))).toBe(expected)
  })

  it('is shown without control characters when it is refused', () => {
    const endpoint = resolveOne(web({ address: '10.2.1.5\u001b[2J\n' }))
    expect(endpoint).toMatchObject({ kind: 'unresolved', problem: { subject: '10.2.1.5\\u001b[2J\\u000a' } })
  })

  it('of a UDP port of registrator is not served', () => {
    expect(show(resolveOne(web({}, 'host1:dns:53:udp')))).toBe('bad-port')
  })
})

describe('registrator beside the recorded engine', () => {
  const engines = {
    host1: engine(
      recorded('running'),
      recorded('running_web2'),
      recorded('hostnet'),
      recorded('peer'),
      container('a1', 'multi', {
        addresses: ['10.2.1.3'],
        published: [{ hostAddress: '0.0.0.0', hostPort: 18100, containerPort: 8080 }],
      }),
    ),
  }
  /** Services as a mode of registrator wrote them. */
  function registered(mode: string): readonly Instance[] {
    return entriesField(fixture(`registrator/agent_services_${mode}.json`)).map(([id, service]) => {
      const port = Number(field(service, 'Port'))
      const address = textField(service, 'Address')
      return instance(textField(service, 'Service'), id, { node: 'vm', nodeAddress: '192.0.2.1', address, port })
    })
  }
  function answers(mode: string): Readonly<Record<string, string>> {
    const endpoints = resolveAll(registered(mode), { engines: { vm: engines.host1 } })
    return Object.fromEntries(endpoints.map((endpoint) => [endpoint.instance.id, show(endpoint)]))
  }

  it('-internal registers what is right', () => {
    expect(answers('internal')).toEqual({
      'vm:api-1:8080': 'container-gone',
      'vm:multi:8080': '10.2.1.3:8080 catalog',
      'vm:multi:8081:udp': 'bad-port',
      'vm:web-1:8080': '10.2.1.0:8080 catalog',
      'vm:web-2:8080': '10.2.1.1:8080 catalog',
    })
  })

  it.each(['default', 'ip'])('mode %s registers host and host port: the container is found by its name', (mode) => {
    expect(answers(mode)).toEqual({
      'vm:api-1:8080': 'container-gone',
      'vm:multi:8080': '10.2.1.3:8080 docker',
      'vm:multi:8081:udp': 'bad-port',
      'vm:web-1:8080': '10.2.1.0:8080 docker',
      'vm:web-2:8080': '10.2.1.1:8080 docker',
    })
  })

  it('-useIpFromLabel registers a weave address with a host port: both are put right', () => {
    expect(answers('label')).toMatchObject({ 'vm:multi:8080': '10.2.1.3:8080 docker corrected' })
  })

  it('without Docker, what -internal registered is believed and the other modes are problems', () => {
    expect(resolveAll(registered('internal')).map(show)).toContain('10.2.1.2:8080 catalog')
    expect(new Set(resolveAll(registered('default')).map(show))).toEqual(new Set(['address-not-allowed', 'bad-port']))
  })
})

describe('what Docker knows of an instance', () => {
  const one = container('a1', 'web-1', { addresses: ['10.2.1.5'] })

  it('the container is named with the endpoint', () => {
    const endpoint = resolveOne(web({ address: '10.2.1.5' }, 'host1:web-1:8080'), { engines: { host1: engine(one) } })
    expect(endpoint).toMatchObject({ container: { id: idOf('a1'), startedAt: one.startedAt } })
  })

  it('a container that was started again with another address is found there', () => {
    const known = { engines: { host1: engine({ ...one, addresses: ['10.2.1.9'] }) } }
    expect(show(resolveOne(web({ address: '10.2.1.5' }, 'host1:web-1:8080'), known))).toBe(
      '10.2.1.9:8080 docker corrected',
    )
  })

  it('its address of several is the one in the weave range', () => {
    const several = { ...one, addresses: ['172.17.0.2', '10.2.0.9', '10.2.1.8', '10.2.1.7'] }
    const known = { engines: { host1: engine(several) } }
    expect(show(resolveOne(web({ address: '192.0.2.1' }, 'host1:web-1:8080'), known))).toBe('10.2.1.8:8080 docker')
    expect(
      show(resolveOne(web({ address: '' }, 'host1:onuser:8080'), { engines: { host1: engine(recorded('onuser')) } })),
    ).toBe('10.2.1.0:8080 docker')
  })

  it('a container without an address in the range yet is not served with another one', () => {
    const known = { engines: { host1: engine({ ...one, addresses: ['172.17.0.2'] }) } }
    expect(show(resolveOne(web({ address: '192.0.2.1' }, 'host1:web-1:8080'), known))).toBe('no-address')
    expect(show(resolveOne(web({ address: '10.2.1.5' }, 'host1:web-1:8080'), known))).toBe('10.2.1.5:8080 catalog')
  })

  it('a container in the network of another one has its address', () => {
    const peer = container('b2', 'peer', { network: { kind: 'container', id: one.id }, ports: [9090] })
    const known = { engines: { host1: engine(one, peer) } }
    expect(show(resolveOne(web({ address: '10.2.1.5', port: 9090 }, 'host1:peer:9090'), known))).toBe(
      '10.2.1.5:9090 catalog',
    )
    expect(show(resolveOne(web({ address: '192.0.2.1', port: 9090 }, 'host1:peer:9090'), known))).toBe(
      '10.2.1.5:9090 docker',
    )
    const down = { engines: { host1: engine({ ...one, running: false, addresses: [] }, peer) } }
    expect(show(resolveOne(web({ address: '10.2.1.5' }, 'host1:peer:9090'), down))).toBe('dead')
  })

  it('a container in the network of another one that was started again since is cut off', () => {
    const base = container('a1', 'base', { addresses: ['10.2.1.3'], startedAt: '2026-01-02T00:00:00Z' })
    const peer = (startedAt: string) =>
      container('b2', 'peer', { startedAt, network: { kind: 'container', id: base.id } })
    const at = (startedAt: string) =>
      show(
        resolveOne(web({ address: '10.2.1.3' }, 'host1:peer:8080'), {
          engines: { host1: engine(base, peer(startedAt)) },
        }),
      )
    expect(at('2026-01-02T00:00:01Z')).toBe('10.2.1.3:8080 catalog')
    expect(at('2026-01-01T00:00:00Z')).toBe('dead')
  })

  it('networks that go round in a circle end', () => {
    const a = container('a1', 'a', { network: { kind: 'container', id: idOf('b2') } })
    const b = container('b2', 'b', { network: { kind: 'container', id: idOf('a1') } })
    const known = { engines: { host1: engine(a, b) } }
    expect(show(resolveOne(web({ address: '192.0.2.1' }, 'host1:a:8080'), known))).toBe('no-address')
  })

  it('a container in the network of its host is served only where the policy allows', () => {
    const known = { engines: { host1: engine(recorded('hostnet')) } }
    const onHost = web({ address: '', port: 8080 }, 'host1:hostnet:8080')
    expect(resolveOne(onHost, known)).toMatchObject({
      problem: { code: 'no-address', reason: expect.stringMatching(/network of its host/) },
    })
    expect(show(resolveOne(onHost, { ...known, settings: { fallback: 'node' } }))).toBe('192.0.2.1:8080 node')
  })

  it.each<[string, InstanceParts]>([
    ['a meta key with its id', { meta: { container_id: idOf('a1') } }],
    ['a meta key with the id as Docker prints it', { meta: { 'container-id': idOf('a1').slice(0, 12) } }],
    ['a meta key with its name', { meta: { 'docker-id': 'web-1' } }],
    ['a tag of Marathon', { tags: ['marathon-task:web.1234'] }],
  ])('it is found by %s', (_case, parts) => {
    const task = container('c3', 'mesos-web.1234', { addresses: ['10.2.1.5'] })
    const containers = 'tags' in parts ? engine(task) : engine(one)
    expect(show(resolveOne(web({ address: '192.0.2.1', ...parts }), { engines: { host1: containers } }))).toBe(
      '10.2.1.5:8080 docker',
    )
  })

  it('the ServiceID of mesos-consul names no container', () => {
    const namesake = container('a1', 'web', { addresses: ['10.2.1.9'] })
    const known = { engines: { host1: engine(namesake) } }
    const task = web({ address: '10.2.1.5', port: 31000 }, 'mesos-consul:192.0.2.1:web:31000')
    expect(show(resolveOne(task, known))).toBe('10.2.1.5:31000 catalog')
  })
})

describe('a published host port', () => {
  const published = [{ hostAddress: '0.0.0.0', hostPort: 31000, containerPort: 8080 }]
  const task = container('a1', 'mesos-1', { addresses: ['10.2.1.5'], published })
  const known = { engines: { host1: engine(task) } }

  it.each<[string, InstanceParts, string]>([
    ['with the address of the node', { address: '192.0.2.1', port: 31000 }, '10.2.1.5:8080 docker'],
    ['without an address', { address: '', port: 31000 }, '10.2.1.5:8080 docker'],
    ['with the address of the bridge', { address: '10.2.0.1', port: 31000 }, '10.2.1.5:8080 docker'],
    ['with a loopback address', { address: '127.0.0.1', port: 31000 }, '10.2.1.5:8080 docker'],
    ['with the address of the container (mesos-consul)', { address: '10.2.1.5', port: 31000 }, '10.2.1.5:8080 catalog'],
    ['on another node', { address: '', port: 31000, node: 'host2' }, 'no-address'],
    ['with the address of some other machine', { address: '198.51.100.7', port: 31000 }, 'no-address'],
    ['that nobody publishes', { address: '', port: 31001 }, 'no-address'],
  ])('registered %s', (_case, parts, expected) => {
    expect(show(resolveOne(web(parts), known))).toBe(expected)
  })

  it('published on the loopback address of the host is not what was registered with another', () => {
    const local = { ...task, published: [{ hostAddress: '127.0.0.1', hostPort: 31000, containerPort: 8080 }] }
    const engines = { host1: engine(local) }
    expect(show(resolveOne(web({ address: '192.0.2.1', port: 31000 }), { engines }))).toBe('no-address')
  })

  it('published by two containers on different addresses of the host is ambiguous', () => {
    const other = container('b2', 'mesos-2', { addresses: ['10.2.1.6'], published })
    const engines = { host1: engine(task, other) }
    expect(show(resolveOne(web({ address: '', port: 31000 }), { engines }))).toBe('ambiguous-address')
  })

  it('that the container listens on as well is taken for its own', () => {
    const same = { ...task, ports: [8080, 31000] }
    const engines = { host1: engine(same) }
    expect(show(resolveOne(web({ address: '10.2.1.5', port: 31000 }), { engines }))).toBe('10.2.1.5:31000 catalog')
  })
})

describe('an address that went to another container', () => {
  const gone = container('a1', 'web-1', { running: false })
  const thief = container('b2', 'thief', { addresses: ['10.2.1.5'] })
  const named = web({ address: '10.2.1.5' }, 'host1:web-1:8080')
  const unnamed = web({ address: '10.2.1.5' }, 'web')

  it('is not used for a container that was stopped', () => {
    expect(show(resolveOne(named, { engines: { host1: engine(gone, thief) } }))).toBe('dead')
  })

  it('is not used for a container that was removed', () => {
    expect(show(resolveOne(named, { engines: { host1: engine(thief) } }))).toBe('container-gone')
  })

  it('is not used for a container whose engine is not known', () => {
    expect(
      show(resolveOne({ ...named, node: 'host2', id: 'host2:web-1:8080' }, { engines: { host1: engine(thief) } })),
    ).toBe('address-reused')
  })

  it('is not used for a container that runs without an address', () => {
    const waiting = { ...gone, running: true }
    expect(show(resolveOne(named, { engines: { host1: engine(waiting, thief) } }))).toBe('address-reused')
  })

  it('gives way to the address its container has now', () => {
    const moved = { ...gone, running: true, addresses: ['10.2.1.9'] }
    expect(show(resolveOne(named, { engines: { host1: engine(moved, thief) } }))).toBe('10.2.1.9:8080 docker corrected')
  })

  it('is noticed on another host too', () => {
    const moved = { ...gone, running: true, addresses: ['172.17.0.2'] }
    const engines = { host1: engine(moved), host2: engine(thief) }
    expect(show(resolveOne(named, { engines }))).toBe('address-reused')
  })

  it('is told from the first by what was remembered, when nothing names the container', () => {
    const first = container('a1', 'some-name', { addresses: ['10.2.1.5'] })
    const before = resolveOne(unnamed, { engines: { host1: engine(first) } })
    expect(before).toMatchObject({ container: { id: first.id } })
    const bindings = remember(before)
    const later = (...containers: readonly Container[]) =>
      show(resolveOne(unnamed, { engines: { host1: engine(...containers) }, bindings }))
    expect(later({ ...first, running: false, addresses: [] }, thief)).toBe('dead')
    expect(later({ ...first, addresses: ['10.2.1.9'] }, thief)).toBe('10.2.1.9:8080 docker corrected')
    expect(later({ ...first, addresses: ['10.2.1.9'], startedAt: 'later' })).toBe('10.2.1.9:8080 docker corrected')
    expect(later(thief)).toBe('container-gone')
    expect(later(first)).toBe('10.2.1.5:8080 catalog')
  })

  it('is the new container of an instance that was registered anew', () => {
    const first = container('a1', 'some-name', { addresses: ['10.2.1.5'] })
    const bindings = remember(resolveOne(unnamed, { engines: { host1: engine(first) } }))
    const engines = { host1: engine({ ...first, running: false, addresses: [] }, thief) }
    const anew = resolveOne({ ...unnamed, createIndex: 200 }, { engines, bindings })
    expect(anew).toMatchObject({ kind: 'reachable', container: { id: thief.id } })
  })

  it('is remembered also while it is refused', () => {
    const first = container('a1', 'some-name', { addresses: ['10.2.1.5'] })
    const bindings = remember(resolveOne(unnamed, { engines: { host1: engine(first) } }))
    const refused = resolveOne(unnamed, { engines: { host1: engine(thief) }, bindings })
    const binding = bindings.get(unnamed.key)
    expect(bindingOf(refused, binding)).toBe(binding)
  })

  it('a host port that went to another container is not followed to it', () => {
    const published = [{ hostAddress: '0.0.0.0', hostPort: 32768, containerPort: 8080 }]
    const first = container('a1', 'some-name', { addresses: ['10.2.1.5'], published })
    const onHost = web({ address: '', port: 32768 })
    const bindings = remember(resolveOne(onHost, { engines: { host1: engine(first) } }))
    const engines = { host1: engine({ ...first, running: false, published: [] }, { ...thief, published }) }
    expect(show(resolveOne(onHost, { engines, bindings }))).toBe('dead')
    // registered again by the same id, without having been deregistered
    const next = container('c3', 'next', {
      addresses: ['10.2.1.6'],
      published: [{ hostAddress: '0.0.0.0', hostPort: 32769, containerPort: 8080 }],
    })
    const replaced = { engines: { host1: engine({ ...first, running: false, published: [] }, next) }, bindings }
    expect(show(resolveOne({ ...onHost, port: 32769 }, replaced))).toBe('10.2.1.6:8080 docker')
  })
})

describe('a container that was made again under its name, without being registered anew', () => {
  const published = [{ hostAddress: '0.0.0.0', hostPort: 8081, containerPort: 8080 }]
  const first = container('a1', 'shop', { addresses: ['10.2.1.5'], published })
  const buried = { ...first, running: false, addresses: [], published: [] }
  const next = container('b2', 'shop', { addresses: ['10.2.1.9'], published, startedAt: '2026-01-02T00:00:00Z' })

  it.each([
    ['by the host port it publishes', web({ address: '', port: 8081 }), next, '10.2.1.9:8080 docker'],
    ['by its address', web({ address: '10.2.1.5' }), { ...next, addresses: ['10.2.1.5'] }, '10.2.1.5:8080 catalog'],
  ])('is found %s', (_how, registered, successor, expected) => {
    const bindings = remember(resolveOne(registered, { engines: { host1: engine(first) } }))
    expect(bindings.size).toBe(1)
    for (const known of [engine(buried, successor), engine(successor)]) {
      const found = resolveOne(registered, { engines: { host1: known }, bindings })
      expect(show(found)).toBe(expected)
      expect(remember(found).get(registered.key)).toMatchObject({ container: successor.id })
    }
  })

  it.each<[string, InstanceParts, Partial<Container>]>([
    ['which has nothing that is registered', {}, {}],
    ['whose host port is what was registered as its own', {}, { published: [everywhere(8080, 8080)] }],
    ['in the network of its host', {}, { network: { kind: 'host' }, addresses: [] }],
    ['that has the address and another port', {}, { addresses: ['10.2.1.5'], ports: [9090], published: [] }],
    [
      'that publishes another port by it',
      { address: '', port: 8081 },
      { ports: [9090], published: [everywhere(8081, 9090)] },
    ],
    [
      'whose port is open on another address',
      { address: '', port: 8081 },
      { published: [{ ...everywhere(8081, 8080), hostAddress: '127.0.0.1' }] },
    ],
  ])('is not one of that name %s', (_case, parts, other) => {
    const registered = web({ address: '10.2.1.5', ...parts })
    const bindings = remember(resolveOne(registered, { engines: { host1: engine(first) } }))
    expect(bindings.size).toBe(1)
    const engines = { host1: engine(buried, { ...next, ...other }) }
    expect(show(resolveOne(registered, { engines, bindings }))).toBe('dead')
  })

  it('in the network of its host is found by the port, registered with the address of the host', () => {
    const onHost = { ...next, network: { kind: 'host' }, addresses: [], published: [] } as const
    const registered = web({ address: '', port: 8080 })
    const known = { settings: { fallback: 'node' } } as const
    const publishing = { ...first, addresses: [], published: [everywhere(8080, 8080)] }
    const bindings = remember(resolveOne(registered, { ...known, engines: { host1: engine(publishing) } }))
    const found = resolveOne(registered, { ...known, engines: { host1: engine(buried, onHost) }, bindings })
    expect(found).toMatchObject({ kind: 'reachable', address: '192.0.2.1', container: { id: next.id } })
  })
})

describe('a container that was bound', () => {
  const one = container('a1', 'web-1', { addresses: ['10.2.1.5'] })
  const renamed = { ...one, name: 'old' }
  const namesake = container('b2', 'web-1', { addresses: ['10.2.1.9'], startedAt: '2026-01-02T00:00:00Z' })
  const named = web({ address: '10.2.1.5' }, 'host1:web-1:8080')
  const tasked = web({ address: '10.2.1.5', tags: ['marathon-task:web-1'] }, 'task')

  it.each([
    ['that runs', namesake],
    ['that was stopped', { ...namesake, running: false, addresses: [] }],
  ])('and has what is registered comes before one of its name %s', (_case, other) => {
    for (const registered of [named, tasked]) {
      const bindings = remember(resolveOne(registered, { engines: { host1: engine(one) } }))
      const engines = { host1: engine(renamed, other) }
      expect(resolveOne(registered, { engines, bindings })).toMatchObject({
        address: '10.2.1.5',
        container: { id: one.id },
      })
      expect(resolveOne({ ...registered, createIndex: 200 }, { engines, bindings })).toMatchObject({
        container: { id: one.id },
      })
    }
  })

  it('gives way to the one that has its name, once that is what is registered', () => {
    const bindings = remember(resolveOne(named, { engines: { host1: engine(one) } }))
    const anew = resolveOne(
      { ...named, address: '10.2.1.9' },
      { engines: { host1: engine(renamed, namesake) }, bindings },
    )
    expect(anew).toMatchObject({ kind: 'reachable', container: { id: namesake.id } })
  })

  it('gives way to the one that publishes the port registered since, though it shares the address of the host', () => {
    const onHost = container('a1', 'any', { network: { kind: 'host' } })
    const meant = web({ address: '', meta: { container_id: onHost.id } })
    const known = { settings: { fallback: 'node' } } as const
    const bindings = remember(resolveOne(meant, { ...known, engines: { host1: engine(onHost) } }))
    expect(bindings.size).toBe(1)
    const next = { ...namesake, published: [everywhere(31000, 8080)] }
    const anew = web({ address: '', port: 31000 })
    expect(show(resolveOne(anew, { ...known, engines: { host1: engine(onHost, next) }, bindings }))).toBe(
      '10.2.1.9:8080 docker',
    )
  })

  it('comes before one of its name that does not run, wherever it moves', () => {
    const bindings = remember(resolveOne(named, { engines: { host1: engine(one) } }))
    const engines = { host1: engine({ ...renamed, addresses: ['10.2.1.7'] }, { ...namesake, running: false }) }
    expect(show(resolveOne(named, { engines, bindings }))).toBe('10.2.1.7:8080 docker corrected')
  })

  it('keeps a port that Docker does not know, wherever it moves', () => {
    const registered = web({ address: '10.2.1.5', port: 9999 })
    const bindings = remember(resolveOne(registered, { engines: { host1: engine(one) } }))
    const engines = { host1: engine({ ...one, addresses: ['10.2.1.9'] }) }
    expect(show(resolveOne(registered, { engines, bindings }))).toBe('10.2.1.9:9999 docker corrected')
  })
})

describe('a container found by its name alone', () => {
  const other = container('b2', 'web-1', { addresses: ['10.2.1.9'] })

  it.each([
    ['where it is registered elsewhere', '10.2.1.5'],
    ['where the address of its host is registered', '192.0.2.1'],
  ])('is not served by a port that it has not, %s', (_case, address) => {
    const registered = web({ address, port: 9090 }, 'host1:web-1:9090')
    expect(show(resolveOne(registered, { engines: { host1: engine(other) } }))).toBe('bad-port')
    expect(show(resolveOne(registered, { engines: { host1: engine({ ...other, ports: [] }) } }))).toBe(
      `10.2.1.9:9090 docker${address === '10.2.1.5' ? ' corrected' : ''}`,
    )
  })

  it('is not served for the one before it, whose address it was given, by a port that it has not', () => {
    const registered = web({ address: '10.2.1.5', port: 9090 }, 'host1:web-1:9090')
    const first = container('a1', 'web-1', { addresses: ['10.2.1.5'], ports: [9090] })
    const bindings = remember(resolveOne(registered, { engines: { host1: engine(first) } }))
    const engines = { host1: engine({ ...other, addresses: ['10.2.1.5'] }) }
    expect(show(resolveOne(registered, { engines, bindings }))).toBe('bad-port')
    expect(show(resolveOne(registered, { engines }))).toBe('10.2.1.5:9090 catalog')
  })
})

describe('what looks like an id of registrator', () => {
  const redis = container('a1', 'redis', { addresses: ['10.2.1.3'] })
  const own = container('b2', 'redis-prod-17', { addresses: ['10.2.1.5'] })
  const engines = { host1: engine(redis, own) }

  it('names no container that has something else than what is registered', () => {
    expect(show(resolveOne(web({ address: '10.2.1.5' }, 'prod:redis:8080'), { engines }))).toBe('10.2.1.5:8080 catalog')
    expect(show(resolveOne(web({ address: '10.2.1.5' }, 'prod:api:8080'), { engines }))).toBe('10.2.1.5:8080 catalog')
  })

  it.each<[string, Partial<Container>]>([
    ['publishes the port, registered with the address of a container', { published: [everywhere(8080, 8080)] }],
    ['uses the network of its host, whose address is not registered', { addresses: [], network: { kind: 'host' } }],
  ])('names no container that only %s', (_case, parts) => {
    const known = { engines: { host1: engine({ ...redis, ...parts }, own) } }
    const both = ['prod:redis:8080', 'prod:api:8080'].map((id) => web({ address: '10.2.1.5' }, id))
    expect(resolveAll(both, known).map(show)).toEqual(['10.2.1.5:8080 catalog', '10.2.1.5:8080 catalog'])
  })

  it('names no container that has the address and another port', () => {
    const one = web({ address: '10.2.1.3', port: 9999 }, 'prod:redis:9999')
    const another = web({ address: '10.2.1.5' }, 'prod:api:8080')
    expect(resolveAll([one, another], { engines }).map(show)).toEqual([
      '10.2.1.3:9999 catalog',
      '10.2.1.5:8080 catalog',
    ])
  })

  it('names its container by the port of the host that leads to it', () => {
    const published = { engines: { host1: engine({ ...redis, published: [everywhere(31000, 8080)] }) } }
    const onHost = web({ address: '192.0.2.1', port: 31000 }, 'vm7:redis:8080')
    expect(show(resolveOne(onHost, published))).toBe('10.2.1.3:8080 docker')
    const moved = web({ address: '192.0.2.1', port: 31999 }, 'vm7:redis:8080')
    expect(resolveAll([onHost, { ...moved, key: 'moved' }], published).map(show)).toEqual([
      '10.2.1.3:8080 docker',
      '10.2.1.3:8080 docker',
    ])
  })

  it('binds nobody to what an engine that does not answer said last', () => {
    const silent = resolveOne(web({ address: '10.2.1.3' }, 'prod:redis:8080'), { engines, stale: ['host1'] })
    expect(silent).toMatchObject({ kind: 'reachable', address: '10.2.1.3', container: null })
    const moved = engine({ ...redis, addresses: ['10.2.1.9'] }, { ...own, addresses: ['10.2.1.3'] })
    const later = resolveOne(silent.instance, { engines: { host1: moved }, bindings: remember(silent) })
    expect(later).toMatchObject({ kind: 'reachable', address: '10.2.1.3', container: { id: own.id } })
  })

  it('names its container where both say the same, and proves its host part', () => {
    const one = web({ address: '10.2.1.3' }, 'vm7:redis:8080')
    const moved = web({ address: '10.2.1.77' }, 'vm7:redis-prod-17:8080')
    const [found, corrected] = resolveAll([one, moved], { engines })
    expect(found).toMatchObject({ kind: 'reachable', container: { id: redis.id } })
    expect(corrected && show(corrected)).toBe('10.2.1.5:8080 docker corrected')
  })
})

describe('a ServiceID that begins with the host name of a container', () => {
  const id = idOf('0123456789ab')
  const own = container(id, 'shop-17', { addresses: ['10.2.1.5'] })
  const shop = container('a1', 'shop', { addresses: ['10.2.1.3'] })
  const registered = web({ address: '10.2.1.5' }, '0123456789ab:shop:8080')

  it.each([
    ['alone', engine(own)],
    ['beside one of the name that it gave its service', engine(own, shop)],
  ])('which has what is registered is of that container, %s', (_case, containers) => {
    expect(resolveOne(registered, { engines: { host1: containers } })).toMatchObject({
      address: '10.2.1.5',
      container: { id },
    })
  })

  it('and no other: not of one that has the address now', () => {
    const thief = container('b2', 'thief', { addresses: ['10.2.1.5'] })
    const engines = { host1: engine({ ...own, addresses: ['10.2.1.9'] }, thief) }
    expect(show(resolveOne(registered, { engines }))).toBe('address-reused')
  })

  it('is of the container that it names, where registrator in that container writes of others what is so', () => {
    const registrator = container(id, 'registrator', { addresses: ['10.2.1.8'] })
    const engines = { host1: engine(registrator, shop, container('c3', 'blog', { addresses: ['10.2.1.7'] })) }
    const both = [registered, web({ address: '10.2.1.7' }, '0123456789ab:blog:8080')]
    expect(resolveAll(both, { engines }).map(show)).toEqual(['10.2.1.3:8080 docker corrected', '10.2.1.7:8080 catalog'])
  })

  it('and a port that Docker does not know is served, where its container has the name and the address', () => {
    const engines = { host1: engine({ ...own, addresses: [] }, { ...shop, addresses: ['10.2.1.5'] }) }
    expect(show(resolveOne({ ...registered, id: '0123456789ab:shop:9999', port: 9999 }, { engines }))).toBe(
      '10.2.1.5:9999 catalog',
    )
  })

  it('is of no container, where it only looks like that', () => {
    const engines = { host1: engine(shop, container('b2', 'shop-18', { addresses: ['10.2.1.5'] })) }
    expect(show(resolveOne(registered, { engines }))).toBe('10.2.1.5:8080 catalog')
    expect(show(resolveOne({ ...registered, address: '10.2.1.77' }, { engines }))).toBe('10.2.1.77:8080 catalog')
  })

  it('gives the port of the container with an address given for heddle, though no engine tells', () => {
    const tagged = { ...registered, address: '192.0.2.1', port: 32768, weaveAddress: '10.2.1.7' }
    expect(show(resolveOne(tagged))).toBe('10.2.1.7:8080 weave-address')
  })
})

describe('what is known only in part', () => {
  const published = [{ hostAddress: '0.0.0.0', hostPort: 18080, containerPort: 8080 }]
  const other = container('b2', 'other', { addresses: ['10.2.1.6'], published })

  it('a host port that another container has now is not a container that its engine has not told of', () => {
    const onHost = web({ address: '', port: 18080 }, 'host1:web-1:8080')
    expect(show(resolveOne(onHost, { engines: { host1: engine(other) }, stale: ['host1'] }))).toBe('no-address')
  })

  it('an engine that is asked under another name than its node is believed about a container of that name', () => {
    const engines = { elsewhere: engine(container('a1', 'web-1', { addresses: ['10.2.1.5'] })) }
    expect(show(resolveOne(web({ address: '10.2.1.5' }, 'host1:web-1:8080'), { engines }))).toBe(
      '10.2.1.5:8080 catalog',
    )
  })

  it('a remembered container may be on another host, whose engine does not answer', () => {
    const bindings = remember(resolveOne(web({ address: '10.2.1.6' }), { engines: { host1: engine(other) } }))
    const engines = { host1: engine(), host2: engine() }
    const later = (stale: readonly string[]) =>
      show(resolveOne(web({ address: '10.2.1.6' }), { engines, stale, bindings }))
    expect(later(['host2'])).toBe('10.2.1.6:8080 catalog')
    expect(later([])).toBe('container-gone')
  })

  it('a container that moved, registered with a host port it has no more, has the port of its ServiceID', () => {
    const moved = container('a1', 'web-1', { addresses: ['10.2.1.9'], ports: [8080, 9090] })
    const labelled = web({ address: '10.2.1.77', port: 32768 }, 'host1:web-1:8080')
    expect(show(resolveOne(labelled, { engines: { host1: engine(moved) } }))).toBe('10.2.1.9:8080 docker corrected')
  })
})

describe('the word of an engine that does not answer', () => {
  const one = container('a1', 'web-1', { addresses: ['10.2.1.5'] })
  const named = web({ address: '10.2.1.5' }, 'host1:web-1:8080')

  it('a death it saw counts whatever Consul says', () => {
    const engines = { host1: engine({ ...one, running: false }) }
    expect(show(resolveOne({ ...named, health: 'passing' }, { engines, stale: ['host1'] }))).toBe('dead')
  })

  it('a container it did not know may exist', () => {
    expect(show(resolveOne(named, { engines: { host1: engine() }, stale: ['host1'] }))).toBe('10.2.1.5:8080 catalog')
  })

  it('a newer address it knew goes on to be used', () => {
    const engines = { host1: engine({ ...one, addresses: ['10.2.1.9'] }) }
    const known = resolveOne(named, { engines })
    const later = resolveOne(named, { engines, stale: ['host1'], bindings: remember(known) })
    expect(show(later)).toBe('10.2.1.9:8080 docker corrected')
  })

  it('gives way to what was registered since', () => {
    const engines = { host1: engine(one) }
    const bindings = remember(resolveOne(named, { engines }))
    const anew = { ...named, address: '10.2.1.9', createIndex: 200 }
    expect(show(resolveOne(anew, { engines, stale: ['host1'], bindings }))).toBe('10.2.1.9:8080 catalog')
    const stopped = { host1: engine({ ...one, running: false }) }
    expect(show(resolveOne(anew, { engines: stopped, stale: ['host1'], bindings }))).toBe('10.2.1.9:8080 catalog')
  })

  it('stands beside what was registered since, when both say the same', () => {
    const engines = { host1: engine(one) }
    const bindings = remember(resolveOne(named, { engines }))
    const anew = resolveOne({ ...named, createIndex: 200 }, { engines, stale: ['host1'], bindings })
    expect(anew).toMatchObject({ kind: 'reachable', address: '10.2.1.5', container: null })
  })

  it('is still the best that is known for an address that only Docker gave', () => {
    const engines = { host1: engine(one) }
    const onHost = web({ address: '192.0.2.1', port: 18080 }, 'host1:web-1:8080')
    const bindings = remember(resolveOne(onHost, { engines }))
    const anew = { ...onHost, createIndex: 200 }
    expect(show(resolveOne(anew, { engines, stale: ['host1'], bindings }))).toBe('10.2.1.5:8080 docker')
  })
})

describe('what an engine that does not answer said last', () => {
  const old = container('a1', 'old', { addresses: ['10.2.1.5'] })
  const published = [{ hostAddress: '0.0.0.0', hostPort: 31000, containerPort: 8080 }]

  it.each([
    ['address', web({ address: '10.2.1.5' }, 'task'), old],
    ['host port', web({ address: '', port: 31000 }, 'task'), { ...old, published }],
  ])('of an %s binds nobody to a container that may be gone', (_what, registered, seen) => {
    const silent = resolveOne(registered, { engines: { host1: engine(seen) }, stale: ['host1'] })
    expect(silent).toMatchObject({ kind: 'reachable', container: null })
    const next = { ...container('b2', 'new', seen), id: idOf('b2'), name: 'new' }
    const buried = { ...seen, running: false, addresses: [], published: [] }
    const later = resolveOne(registered, { engines: { host1: engine(buried, next) }, bindings: remember(silent) })
    expect(later).toMatchObject({ kind: 'reachable', container: { id: next.id } })
  })
})

describe('a port of the host, registered with the address of the container', () => {
  it('is the container port that it was, after a restart with another one', () => {
    const publish = (hostPort: number) => [{ hostAddress: '0.0.0.0', hostPort, containerPort: 8080 }]
    const one = container('a1', 'task', { addresses: ['10.2.1.1'], published: publish(31000) })
    const registered = web({ address: '10.2.1.1', port: 31000 }, 'mesos-consul:1:t:1:2')
    const before = resolveOne(registered, { engines: { host1: engine(one) } })
    expect(show(before)).toBe('10.2.1.1:8080 catalog')
    const again = engine({ ...one, startedAt: '2026-01-02T00:00:00Z', published: publish(31001) })
    expect(show(resolveOne(registered, { engines: { host1: again }, bindings: remember(before) }))).toBe(
      '10.2.1.1:8080 catalog',
    )
  })
})

describe('a ServiceID whose container does not exist', () => {
  const other = container('b2', 'other', { addresses: ['10.2.1.6'] })
  const engines = { host1: engine(other) }
  const ghost = (host: string) => web({ address: '10.2.1.5' }, `${host}:web-1:8080`)

  it.each(['host1', 'vm7', '0123456789ab'])(
    'of host %s is dropped once the host part is known as a registrator',
    (host) => {
      const witness = web({ address: '10.2.1.6' }, `${host}:other:8080`)
      const [endpoint] = resolveAll([ghost(host), witness], { engines })
      expect(endpoint && show(endpoint)).toBe('container-gone')
    },
  )

  it('counts with the first label of the name of its node', () => {
    const known = { engines: { 'host1.example.com': engine(other) } }
    expect(show(resolveOne({ ...ghost('host1'), node: 'host1.example.com' }, known))).toBe('container-gone')
  })

  it.each(['app', '0123456789ab'])('of host %s is kept while nothing shows that registrator wrote it', (host) => {
    expect(show(resolveOne(ghost(host), { engines }))).toBe('10.2.1.5:8080 catalog')
  })

  it('is kept when only a container in the network of the host bears the host part out', () => {
    const onHost = container('c3', 'consul', { network: { kind: 'host' }, ports: [8500] })
    const witness = web({ address: '', port: 8500 }, 'prod:consul:8500')
    const [endpoint] = resolveAll([ghost('prod'), witness], { engines: { host1: engine(other, onHost) } })
    expect(endpoint && show(endpoint)).toBe('10.2.1.5:8080 catalog')
  })

  it('is kept when another node proves its host part', () => {
    const elsewhere = web({ node: 'host2', address: '10.2.1.6' }, 'vm7:other:8080')
    const [endpoint] = resolveAll([ghost('vm7'), elsewhere], { engines: { ...engines, host2: engine(other) } })
    expect(endpoint && show(endpoint)).toBe('10.2.1.5:8080 catalog')
  })

  it('two hosts may have containers of one name', () => {
    const known = {
      engines: {
        host1: engine(container('a1', 'web-1', { addresses: ['10.2.1.5'] })),
        host2: engine(container('a2', 'web-1', { addresses: ['10.2.2.5'] })),
      },
    }
    const both = ['host1', 'host2'].map((node) => web({ node, address: '192.0.2.1' }, `${node}:web-1:8080`))
    expect(resolveAll(both, known).map(show)).toEqual(['10.2.1.5:8080 docker', '10.2.2.5:8080 docker'])
  })
})

describe('an address given for heddle', () => {
  it('is the weave tagged address, or the meta key', () => {
    expect(show(resolveOne(web({ address: '192.0.2.1', weaveAddress: '10.2.1.7' })))).toBe(
      '10.2.1.7:8080 weave-address',
    )
    expect(show(resolveOne(web({ address: '192.0.2.1', meta: { 'heddle-address': '10.2.1.8' } })))).toBe(
      '10.2.1.8:8080 weave-address',
    )
  })

  it('does not replace an address that is in the range already', () => {
    expect(show(resolveOne(web({ address: '10.2.1.5', weaveAddress: '10.2.1.7' })))).toBe('10.2.1.5:8080 catalog')
  })

  it.each([
    ['127.0.0.1', 'address-not-allowed'],
    ['10.2.0.1', 'address-not-allowed'],
    ['10.3.0.1', 'no-address'],
    ['evil.example.com', 'bad-address'],
  ])('%s is refused like any other', (address, code) => {
    expect(show(resolveOne(web({ address: '192.0.2.1', meta: { 'heddle-address': address } })))).toBe(code)
  })

  it('is not used when it belongs to another container', () => {
    const engines = {
      host1: engine(container('a1', 'web-1'), container('b2', 'thief', { addresses: ['10.2.1.7'] })),
    }
    const tagged = web({ address: '192.0.2.1', weaveAddress: '10.2.1.7' }, 'host1:web-1:8080')
    expect(show(resolveOne(tagged, { engines }))).toBe('address-reused')
  })

  it('goes with the port of the container, though the port of the host was registered', () => {
    const published = [{ hostAddress: '0.0.0.0', hostPort: 18080, containerPort: 8080 }]
    const engines = { host1: engine(container('a1', 'web-1', { addresses: ['10.2.1.7'], published })) }
    const tagged = web({ address: '192.0.2.1', port: 18080, weaveAddress: '10.2.1.7' }, 'host1:web-1:8080')
    expect(show(resolveOne(tagged, { engines }))).toBe('10.2.1.7:8080 weave-address')
    expect(show(resolveOne(tagged))).toBe('10.2.1.7:8080 weave-address')
  })
})

const emptyReport: WeaveReport = { domain: 'weave.local', peers: [], names: [], owned: new Map() }

describe('the report of a weave router', () => {
  const range = { cidr: '10.32.0.0/16', reserved: [] }
  const weave = decodeWeaveReport(fixture('weave/report_2peers_tombstones_r1.json'), fixture('weave/ip_list.json'))
  const app = (service: string, parts: InstanceParts = {}) =>
    instance(service, `${service}-x`, { address: '', ...parts })
  const known: Known = { weave, settings: range }

  it('gives the address of a name on the node of the instance', () => {
    expect(show(resolveOne(app('app1'), known))).toBe('10.32.0.1:8080 weave-report')
    expect(show(resolveOne(app('app1', { node: 'host2' }), known))).toBe('10.32.128.0:8080 weave-report')
    expect(show(resolveOne(app('app1', { node: 'other', nodeAddress: '172.31.22.2' }), known))).toBe(
      '10.32.128.0:8080 weave-report',
    )
    expect(show(resolveOne(app('APP1'), known))).toBe('10.32.0.1:8080 weave-report')
  })

  it('does not give one for a node that is no peer', () => {
    expect(show(resolveOne(app('app1', { node: 'host3' }), known))).toBe('no-address')
  })

  it('does not give one for a tombstone', () => {
    expect(show(resolveOne(app('app3'), known))).toBe('no-address')
  })

  it('does not use a left-over name of an address that another container has', () => {
    const reuser = idOf('07d7d3b7915dbc7aa2ef47d7526ff223f8efa908ec2507be7e820713f19345ff')
    const engines = { host1: engine(container(reuser, 'reuse', { addresses: ['10.32.0.2'] })) }
    expect(show(resolveOne(app('app2'), { ...known, engines }))).toBe('address-reused')
  })

  it('does not choose between several names of one address', () => {
    const report = decodeWeaveReport(fixture('weave/report_2peers_tombstones_r1.json'))
    expect(show(resolveOne(app('app2'), { weave: report, settings: range }))).toBe('ambiguous-address')
    expect(show(resolveOne(app('reuse'), { weave: report, settings: range }))).toBe('ambiguous-address')
  })

  it('does not choose between several addresses', () => {
    if (weave === null) throw new Error('expected a report')
    const twice = weave.names.map((name) => ({ ...name, hostname: 'same.weave.local' }))
    expect(show(resolveOne(app('same'), { ...known, weave: { ...weave, names: twice } }))).toBe('ambiguous-address')
  })

  it('gives the address of a container that Docker found without one', () => {
    const id = '83709bdf73abacd02e11a9b31ca2509a9b6668fd8ead4bdd5c60c560c9ac9e8c'
    const published = [{ hostAddress: '0.0.0.0', hostPort: 18080, containerPort: 80 }]
    const engines = { host1: engine(container(id, 'any', { addresses: ['172.17.0.2'], ports: [80], published })) }
    const one = app('anything', { meta: { container_id: id }, port: 18080 })
    expect(show(resolveOne(one, { ...known, engines }))).toBe('10.32.0.1:80 weave-report')
    if (weave === null) throw new Error('expected a report')
    const unnamed = { ...weave, names: [] }
    expect(show(resolveOne(one, { ...known, weave: unnamed, engines }))).toBe('10.32.0.1:80 weave-ip')
  })

  it('does not give the address of another container to one that Docker knows', () => {
    const engines = { host1: engine(container('a1', 'app1', { addresses: ['172.17.0.2'] })) }
    const one = instance('app1', 'host1:app1:8080', { address: '' })
    expect(show(resolveOne(one, { ...known, engines }))).toBe('no-address')
  })

  it('does not let an address be used that the router handed out to another container', () => {
    if (weave === null) throw new Error('expected a report')
    const owned = new Map([[idOf('b2'), ['10.32.7.5']]])
    const leftOver = {
      hostname: 'wa.weave.local',
      peer: weave.peers[0]?.name ?? '',
      containerId: idOf('a1'),
      address: '10.32.7.5',
    }
    const engines = {
      host1: engine(
        container('a1', 'wa', { addresses: ['172.17.0.2'] }),
        container('b2', 'wb', { addresses: ['172.17.0.3'] }),
      ),
    }
    const report = { ...weave, owned, names: [leftOver] }
    const [claimed, named] = ['10.32.7.5', ''].map((address) =>
      show(resolveOne(instance('wa', 'host1:wa:8080', { address }), { ...known, engines, weave: report })),
    )
    expect([claimed, named]).toEqual(['address-reused', 'address-reused'])
    const right = { ...report, owned: new Map([[idOf('a1'), ['10.32.7.5']]]) }
    expect(
      show(resolveOne(instance('wa', 'host1:wa:8080', { address: '10.32.7.5' }), { ...known, engines, weave: right })),
    ).toBe('10.32.7.5:8080 catalog')
  })

  describe('names the container that an address was handed out to', () => {
    const own = idOf('a1')
    const one = instance('wa', 'host1:wa:8080', { address: '10.32.7.5' })
    const nameOf = (name: string) => ({
      hostname: `${name}.weave.local`,
      peer: 'any',
      containerId: own,
      address: '10.32.9.9',
    })
    const found = '10.32.7.5:8080 catalog'
    const bound = remember(
      resolveOne(
        { ...one, id: 'task' },
        {
          settings: range,
          engines: { host1: engine(container('b2', 'other', { addresses: ['10.32.7.5'] })) },
        },
      ),
    )

    it.each<[string, string, InstanceParts & { id?: string }, Known]>([
      ['one that nobody else tells of', found, {}, {}],
      ['one that its silent engine has not told of', found, {}, { engines: { host1: engine() }, stale: ['host1'] }],
      ['one that weave has the name of', found, {}, { weave: { ...emptyReport, names: [nameOf('wa')] } }],
      [
        'one that weave has another name of',
        'address-reused',
        {},
        { weave: { ...emptyReport, names: [nameOf('wb')] } },
      ],
      [
        'one that Docker has another name of',
        'address-reused',
        {},
        { engines: { host1: engine(container('a1', 'wb')) }, stale: ['host1'] },
      ],
      [
        'one that runs on another host',
        'address-reused',
        {},
        { engines: { host1: engine(), host2: engine(container('a1', 'wa')) }, stale: ['host1'] },
      ],
      ['the one that is meant', found, { id: 'any', meta: { container_id: own.slice(0, 12) } }, {}],
      ['another one than is meant', 'address-reused', { id: 'any', meta: { container_id: idOf('b2') } }, {}],
      [
        'another one than was bound',
        'address-reused',
        { id: 'task' },
        { engines: { host1: engine() }, stale: ['host1'], bindings: bound },
      ],
    ])('%s: %s', (_case, expected, parts, known) => {
      const report = { ...(known.weave ?? emptyReport), owned: new Map([[own, ['10.32.7.5']]]) }
      expect(
        show(
          resolveOne(
            { ...one, ...parts, meta: new Map(Object.entries(parts.meta ?? {})) },
            { ...known, settings: range, weave: report },
          ),
        ),
      ).toBe(expected)
    })

    it('which bears out what registrator wrote of it', () => {
      const engines = { host1: engine(container('a1', 'wa', { addresses: ['172.17.0.2'] })) }
      const report = { ...emptyReport, owned: new Map([[own, ['10.32.7.5']]]) }
      const both = [web({ address: '10.32.7.5' }, 'vm7:wa:8080'), web({ address: '10.32.7.6' }, 'vm7:wb:8080')]
      expect(resolveAll(both, { engines, settings: range, weave: report }).map(show)).toEqual([found, 'container-gone'])
    })
  })

  it('absence from it proves nothing against the catalog', () => {
    const listed = instance('web', 'web', { address: '10.32.9.9' })
    expect(show(resolveOne(listed, known))).toBe('10.32.9.9:8080 catalog')
  })
})

describe('an instance that no source finds', () => {
  const atNode = { settings: { fallback: 'node' } } as const

  it.each(['', '192.0.2.1', '10.2.0.1', '127.0.0.1'])(
    'is served by its node and registered port where the policy allows, registered at %s',
    (address) => {
      const one = web({ address, nodeAddress: '192.0.2.1', port: 31000 })
      expect(show(resolveOne(one, atNode))).toBe('192.0.2.1:31000 node')
    },
  )

  it('is not served by a node that it is not registered at, unless that publishes the port', () => {
    const one = web({ address: '198.51.100.7', port: 31000 })
    expect(show(resolveOne(one, atNode))).toBe('no-address')
    expect(show(resolveOne({ ...one, address: 'db.example.com' }, atNode))).toBe('bad-address')
    const published = [{ hostAddress: '198.51.100.7', hostPort: 31000, containerPort: 8080 }]
    const engines = { host1: engine(container('a1', 'any', { published })) }
    expect(show(resolveOne(one, { ...atNode, engines }))).toBe('bad-port')
  })

  it('is bound to the container that publishes the port, which nobody else is served by', () => {
    const published = [{ hostAddress: '0.0.0.0', hostPort: 31000, containerPort: 8080 }]
    const own = container('a1', 'any', { addresses: ['172.30.0.2'], published })
    const one = web({ address: '192.0.2.1', port: 31000 })
    const before = resolveOne(one, { ...atNode, engines: { host1: engine(own) } })
    expect(show(before)).toBe('192.0.2.1:31000 node')
    const buried = { ...own, running: false, addresses: [], published: [] }
    const at = (next: Container) =>
      show(resolveOne(one, { ...atNode, engines: { host1: engine(buried, next) }, bindings: remember(before) }))
    expect(at(container('b2', 'thief', { addresses: ['172.30.0.3'], published }))).toBe('dead')
    expect(at({ ...own, id: idOf('b2') })).toBe('192.0.2.1:31000 node')
  })

  it.each<[string, readonly PublishedPort[], string]>([
    ['the port of the container', [everywhere(8080, 9090), everywhere(31001, 8080)], '192.0.2.1:31001 node'],
    [
      'an address of the host that its node is not known by',
      [{ ...everywhere(31001, 8080), hostAddress: '192.0.2.99' }],
      'bad-port',
    ],
    ['the address of its node', [{ ...everywhere(31001, 8080), hostAddress: '192.0.2.1' }], '192.0.2.1:31001 node'],
  ])(
    'is served by what is published of %s, registered with an address that only its host knows',
    (_case, published, expected) => {
      const own = container('a1', 'pub', { addresses: ['172.30.0.2'], ports: [8080, 9090], published })
      const one = web({ address: '172.30.0.2' }, 'host1:pub:8080')
      expect(show(resolveOne(one, { ...atNode, engines: { host1: engine(own) } }))).toBe(expected)
    },
  )

  it('is served by the port that its container publishes now, and by no other', () => {
    const publish = (hostPort: number) => [{ hostAddress: '0.0.0.0', hostPort, containerPort: 8080 }]
    const own = (hostPort: number) =>
      container('a1', 'pub', { addresses: ['172.17.0.2'], published: publish(hostPort) })
    const thief = container('b2', 'thief', { addresses: ['172.17.0.3'], published: publish(32769) })
    const one = web({ address: '', port: 32769 }, 'host1:pub:8080')
    const at = (...containers: readonly Container[]) =>
      show(resolveOne(one, { ...atNode, engines: { host1: engine(...containers) } }))
    expect(at(own(32769))).toBe('192.0.2.1:32769 node')
    expect(at(own(32770), thief)).toBe('192.0.2.1:32770 node')
    expect(at({ ...own(32770), published: [] }, thief)).toBe('bad-port')
    expect(show(resolveOne(one, { ...atNode, engines: { host1: engine(thief) }, stale: ['host1'] }))).toBe(
      'address-reused',
    )
  })

  it.each([
    ['host1.example.com', 'bad-address'],
    ['127.0.0.1', 'address-not-allowed'],
    ['169.254.169.254', 'address-not-allowed'],
  ])('is not served by a node at %s', (nodeAddress, code) => {
    expect(show(resolveOne(web({ address: '', nodeAddress }), { settings: { fallback: 'node' } }))).toBe(code)
  })

  it('is still not served when its container is known to be dead or gone', () => {
    const known = {
      engines: { host1: engine(container('a1', 'web-1', { running: false })) },
      settings: { fallback: 'node' },
    } as const
    expect(show(resolveOne(web({ address: '' }, 'host1:web-1:8080'), known))).toBe('dead')
    expect(show(resolveOne(web({ address: '' }, 'host1:web-2:8080'), known))).toBe('container-gone')
  })
})

describe('the book', () => {
  const one = container('a1', 'web-1', { addresses: ['10.2.1.5'] })

  it('is the same object while nothing has changed, and another one after', () => {
    const engines = new Map([['host1', engine(one)]])
    const services = new Map([['web', [web({}, 'host1:web-1:8080')]]])
    const input = { engines, complete: new Set(['host1']), weave: null, catalog: { services } }
    const book = addressBook(input, settings.weave, 'heddle')
    expect(addressBook({ ...input, complete: new Set(['host1']) }, settings.weave, 'heddle')).toBe(book)
    expect(addressBook({ ...input, complete: new Set() }, settings.weave, 'heddle')).not.toBe(book)
    expect(addressBook({ ...input, engines: new Map(engines) }, settings.weave, 'heddle')).not.toBe(book)
    expect(addressBook(input, { ...settings.weave }, 'heddle')).not.toBe(book)
  })

  it('is another one when the catalog shows that registrator wrote a ServiceID', () => {
    const ghost = web({ address: '10.2.1.9' }, 'vm7:gone:8080')
    const witness = instance('other', 'vm7:web-1:8080', { address: '10.2.1.5' })
    const engines = new Map([['host1', engine(one)]])
    const bookOf = (...services: readonly Instance[]) => {
      const catalog = { services: new Map(services.map((service) => [service.service, [service]])) }
      return addressBook({ engines, complete: new Set(['host1']), weave: null, catalog }, settings.weave, 'heddle')
    }
    const answer = (book: ReturnType<typeof bookOf>) => resolveEndpoints([ghost], book, new Map()).map(show)
    const alone = bookOf(ghost)
    expect(answer(alone)).toEqual(['10.2.1.9:8080 catalog'])
    expect(bookOf(ghost)).toBe(alone)
    expect(answer(bookOf(ghost, witness))).toEqual(['container-gone'])
    expect(answer(bookOf(ghost))).toEqual(['10.2.1.9:8080 catalog'])
  })

  it('gives the same answers whatever order engines and containers come in, and only allowed addresses', () => {
    const names = fc.constantFrom('web-1', 'web-2', 'thief')
    const addresses = fc.subarray(['10.2.1.1', '10.2.1.2', '10.2.0.1', '172.17.0.2', '127.0.0.1'])
    const containers = fc.uniqueArray(
      fc.record({ digit: fc.integer({ min: 1, max: 9 }), name: names, running: fc.boolean(), addresses }),
      { selector: ({ digit }) => digit, maxLength: 6 },
    )
    const node = fc.constantFrom('host1', 'host2')
    const one = fc.record({
      node,
      id: fc.constantFrom('web', 'host1:web-1:8080', 'host2:web-1:8080', 'x:web-2:8080'),
      address: fc.constantFrom('', '10.2.1.1', '10.2.1.2', '10.2.0.1', '127.0.0.1', 'name', '192.0.2.1'),
    })
    const world = fc.record({ host1: containers, host2: containers, one, stale: fc.subarray(['host1', 'host2']) })
    fc.assert(
      fc.property(world, ({ host1, host2, one, stale }) => {
        const build = (parts: typeof host1) =>
          parts.map(({ digit, name, ...rest }) => container(`${digit}`, name, rest))
        const subject = web({ node: one.node, address: one.address }, one.id)
        const [a, b] = [build(host1), build(host2)]
        const forwards = resolveOne(subject, { engines: { host1: engine(...a), host2: engine(...b) }, stale })
        const backwards = resolveOne(subject, {
          engines: { host2: engine(...b.toReversed()), host1: engine(...a.toReversed()) },
          stale,
        })
        expect(backwards).toEqual(forwards)
        if (forwards.kind === 'reachable') expect(['10.2.1.1', '10.2.1.2']).toContain(forwards.address)
      }),
    )
  })
})
