import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { exposedServices } from '../../src/sources/consul/by-service.ts'
import {
  decodeCheck,
  decodeHealthEntries,
  decodeHealthEntry,
  decodeNodeName,
  decodeNodeServices,
  decodeNodes,
  decodeRegistration,
  decodeServices,
  joinNode,
  keepUnchanged,
  registeredOf,
  sumOfChecks,
} from '../../src/sources/consul/decode.ts'
import type { Health, Instance } from '../../src/types.ts'

const service = {
  ID: 'shop-1',
  Service: 'shop',
  Tags: ['heddle', 'heddle.route=shop.example'],
  Address: '10.2.1.5',
  TaggedAddresses: { weave: { Address: '10.2.1.6', Port: 0 } },
  Meta: { 'heddle-route': 'shop.example', 'heddle-address': '10.2.1.7', secret: 'do-not-keep' },
  Port: 8080,
  Weights: { Passing: 10, Warning: 2 },
  CreateIndex: 17,
  ModifyIndex: 99,
}
const node = { Node: 'host1', Address: '10.2.0.1' }
const entry = { Node: node, Service: service, Checks: [] }

const check = (status: string, more: object = {}) => ({ CheckID: 'c', Status: status, ServiceID: 'shop-1', ...more })
const healthWith = (...checks: readonly object[]) =>
  decodeHealthEntry({ ...entry, Checks: checks }, 'heddle')?.health ?? null

describe('an instance', () => {
  it('is read with all that heddle looks at, and nothing else', () => {
    expect(decodeHealthEntry(entry, 'heddle')).toEqual({
      key: 'host1/shop-1',
      node: 'host1',
      nodeAddress: '10.2.0.1',
      id: 'shop-1',
      service: 'shop',
      address: '10.2.1.5',
      port: 8080,
      tags: ['heddle', 'heddle.route=shop.example'],
      meta: new Map([
        ['heddle-route', 'shop.example'],
        ['heddle-address', '10.2.1.7'],
      ]),
      weaveAddress: '10.2.1.6',
      health: 'passing',
      weights: { passing: 10, warning: 2 },
      createIndex: 17,
    })
  })

  it('may lack all but its identity', () => {
    const bare = { Node: { Node: 'host1' }, Service: { ID: 'a', Service: 'shop' } }
    expect(decodeHealthEntry(bare, 'heddle')).toMatchObject({
      key: 'host1/a',
      nodeAddress: '',
      address: '',
      port: 0,
      tags: [],
      weaveAddress: null,
      health: 'passing',
      weights: { passing: 1, warning: 1 },
      createIndex: 0,
    })
  })

  it.each<[string, object]>([
    ['a node', { ...entry, Node: null }],
    ['a name of its node', { ...entry, Node: { Node: 7 } }],
    ['an id', { ...entry, Service: { ...service, ID: '' } }],
    ['a name', { ...entry, Service: { ...service, Service: null } }],
    ['readable checks', { ...entry, Checks: 'passing' }],
  ])('without %s is not there', (_case, raw) => {
    expect(decodeHealthEntry(raw, 'heddle')).toBeNull()
    expect(decodeHealthEntries([raw, entry], 'heddle')).toHaveLength(1)
  })

  it('with fields of a wrong type is read as if they were missing', () => {
    const wrong = { ...service, Tags: ['heddle', 7, null], Port: '80', Weights: [], Meta: ['x'], TaggedAddresses: 'x' }
    expect(decodeHealthEntry({ ...entry, Service: wrong }, 'heddle')).toMatchObject({
      tags: ['heddle'],
      port: 0,
      weights: { passing: 1, warning: 1 },
      meta: new Map(),
      weaveAddress: null,
    })
  })

  it('is the same by node and by service', () => {
    const checks = [check('warning'), check('critical', { ServiceID: 'other' }), check('passing', { ServiceID: '' })]
    const instance = decodeRegistration(service, { Node: node, Services: {} }, 'heddle')
    if (instance === null) throw new Error('expected it to be read')
    const own = checks.filter(({ ServiceID }) => ServiceID !== 'other')
    expect(joinNode(registeredOf([instance]), sumOfChecks(checks.map(decodeCheck)))).toEqual(
      decodeHealthEntries([{ ...entry, Checks: own }], 'heddle'),
    )
  })

  it('comes in byte order of keys, also beyond the basic plane', () => {
    const ids = ['b', '\u{1f600}', 'a', '\uffee', 'aa', 'é']
    const all = ids.map((ID) => ({ ...entry, Service: { ...service, ID } }))
    const sorted = decodeHealthEntries(all, 'heddle')?.map(({ id }) => id)
    expect(sorted).toEqual(['a', 'aa', 'b', 'é', '\uffee', '\u{1f600}'])
  })
})

describe('health', () => {
  it.each<[Health, readonly object[]]>([
    ['passing', []],
    ['passing', [check('passing'), check('passing')]],
    ['warning', [check('passing'), check('warning')]],
    ['critical', [check('warning'), check('critical'), check('passing')]],
    ['critical', [check('passing'), check('critical', { ServiceID: '' })]],
    ['warning', [check('passing'), check('warning', { ServiceID: '', CheckID: 'serfHealth' })]],
    ['maintenance', [check('critical', { ServiceID: '', CheckID: '_node_maintenance' }), check('warning')]],
    ['maintenance', [check('critical', { CheckID: '_service_maintenance:shop-1' }), check('passing')]],
    // what is broken gets nobody, though maintenance lets sticky users finish; whichever came first
    ['critical', [check('critical', { ServiceID: '', CheckID: '_node_maintenance' }), check('critical')]],
    ['critical', [check('critical'), check('critical', { CheckID: '_service_maintenance:shop-1' })]],
    ['critical', [check('critical', { CheckID: '_service_maintenance:shop-1' }), check('critical')]],
    ['critical', [check('critical', { ServiceID: '' }), check('critical', { CheckID: '_service_maintenance:shop-1' })]],
    ['passing', [check('passing'), check('critical', { ServiceID: 'shop-2' })]],
    // what is not understood does not serve
    ['critical', [check('flying')]],
    ['critical', [check('Passing')]],
    ['critical', [{ ServiceID: 'shop-1' }]],
    ['passing', [null, 7, check('passing')].map((each) => each as object)],
  ])('is %s with these checks: %j', (health, checks) => {
    expect(healthWith(...checks)).toBe(health)
  })

  it('is that of the worst check, in whatever order they come', () => {
    const statuses = fc.array(fc.constantFrom('passing', 'warning', 'critical'), { minLength: 1 })
    fc.assert(
      fc.property(statuses, (all) => {
        const worst = ['critical', 'warning', 'passing'].find((status) => all.some((each) => each === status))
        expect(healthWith(...all.map((status) => check(status)))).toBe(worst)
      }),
    )
  })
})

describe('a list', () => {
  it('of nodes leaves out what has no name', () => {
    expect(decodeNodes([{ Node: 'b' }, { Node: 'a' }, {}, null, 7, { Node: '' }, { Node: [] }])).toEqual(['b', 'a'])
  })

  it('of services has those that are ours by a tag, or all', () => {
    const all = {
      consul: [],
      shop: ['heddle'],
      api: ['x', 'heddle.route=/api'],
      similar: ['heddleish', 'Heddle'],
      __proto__x: ['heddle'],
    }
    expect(exposedServices(all, 'heddle', 'tag')).toEqual(['shop', 'api', '__proto__x'])
    expect(exposedServices(all, 'heddle', 'all')).toEqual(Object.keys(all))
    expect(exposedServices(JSON.parse('{"__proto__": ["heddle"]}'), 'heddle', 'tag')).toEqual(['__proto__'])
  })

  it.each<[string, (body: unknown) => unknown, readonly unknown[]]>([
    ['nodes', decodeNodes, [null, {}, 'x', 7, undefined]],
    ['a check', decodeCheck, [null, [], 'x', 7, undefined]],
    ['instances', (body) => decodeHealthEntries(body, 'heddle'), [null, {}, '<html>', 7, undefined]],
    ['services', decodeServices, [null, [], '<html>', 7, undefined, { error: 'overloaded' }, { errors: [], code: 7 }]],
    ['services of a node', decodeNodeServices, [[], 'x', 7, undefined, {}, { Node: null }, { Node: {}, Services: {} }]],
    [
      'its services',
      decodeNodeServices,
      [
        { Node: node, Services: 'x' },
        { Node: node, Services: [service] },
      ],
    ],
    ['names', decodeNodeName, [null, [], {}, { Config: null }, { Config: { NodeName: 7 } }]],
  ])('of %s is told from another document', (_case, decode, bodies) => {
    for (const body of bodies) expect(decode(body), JSON.stringify(body)).toBeNull()
  })

  it('of the services of a node tells an unknown node from one without services', () => {
    expect(decodeNodeServices(null)).toBe('gone')
    expect(decodeNodeServices({ Node: node, Services: {} })).toMatchObject({ node: 'host1', services: new Map() })
    expect(decodeNodeServices({ Node: node, Services: null })).toMatchObject({ node: 'host1', services: new Map() })
  })

  it('can hold anything at all without an exception', () => {
    fc.assert(
      fc.property(fc.jsonValue(), (body) => {
        decodeNodes(body)
        decodeServices(body)
        decodeNodeName(body)
        const services = [
          decodeRegistration(body, { Node: node }, 'heddle'),
          decodeRegistration(service, body, 'heddle'),
        ]
        const instances = services.filter((instance) => instance !== null)
        joinNode(registeredOf(instances), sumOfChecks([decodeCheck(body)]))
        decodeHealthEntries([body, { Node: node, Service: body }, { Node: body, Service: service }], 'heddle')
      }),
    )
  })
})

describe('what did not change', () => {
  const read = (...changes: readonly object[]): readonly Instance[] =>
    decodeHealthEntries(
      changes.map((change, index) => ({ ...entry, Service: { ...service, ID: `s${index}`, ...change } })),
      'heddle',
    ) ?? []

  it('keeps its array, whatever else of Consul changed', () => {
    const before = read({}, {})
    const after = read({ ModifyIndex: 100 }, { Meta: { ...service.Meta, secret: 'other' } })
    expect(keepUnchanged(before, after)).toBe(before)
  })

  it('keeps its object beside one that did', () => {
    const before = read({}, {}, {})
    const kept = keepUnchanged(before, read({}, { Port: 1 }, {}))
    expect(kept).not.toBe(before)
    expect(kept.map((instance, index) => instance === before[index])).toEqual([true, false, true])
  })

  it.each([
    ['one more', read({}, {}, {})],
    ['one less', read({})],
    ['none', []],
  ])('is another array with %s', (_case, after) => {
    const before = read({}, {})
    expect(keepUnchanged(before, after)).not.toBe(before)
    expect(keepUnchanged(before, after)).toEqual(after)
  })
})
