import { describe, expect, it } from 'vitest'
import { shop, watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'
import { type Asked, type FakeConsul, fakeConsul } from '../support/fake-consul.ts'

const services = '/catalog/node/host1'
const checks = '/health/node/host1'

/** Does `change` once, just before the next request that fits is looked at. */
function justBefore(consul: FakeConsul, fits: (asked: Asked) => boolean, change: () => void): void {
  consul.setFault((asked) => {
    if (fits(asked)) {
      consul.setFault(null)
      change()
    }
    return false
  })
}

/** The whole source is quiet: all its queries block. */
const quiet = (consul: FakeConsul, queries: number) =>
  eventually(() => expect(consul.blocked()).toHaveLength(queries), { every: 5 })

describe('a node', () => {
  it('is one partition, with all its instances and their health', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a', { nodeAddress: '10.2.0.7', port: 8080 }))
    consul.register(shop('b', { status: 'warning' }))
    consul.register(shop('c', { service: 'api', status: 'critical', tags: [] }))
    consul.register({ node: 'host2', id: 'd', service: 'shop' })
    const source = watchConsul(consul)
    await source.fresh()
    expect(source.value().by).toBe('node')
    expect(source.health()).toEqual({
      'host1/a': 'passing',
      'host1/b': 'warning',
      'host1/c': 'critical',
      'host2/d': 'passing',
    })
    expect(source.partition('host1').value[0]).toMatchObject({ nodeAddress: '10.2.0.7', port: 8080, tags: ['heddle'] })
    expect(source.reports.filter(({ value }) => value !== null)).toHaveLength(1)
    await quiet(consul, 5)
  })

  it('gives its health and its maintenance to all its instances, and takes them back', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { status: 'warning' }))
    const source = watchConsul(consul)
    await source.fresh()
    consul.setCheck('host1', { id: 'serfHealth', service: '', status: 'critical' })
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'critical', 'host1/b': 'critical' }))
    consul.setCheck('host1', { id: 'serfHealth', service: '', status: 'passing' })
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/b': 'warning' }))
    consul.setCheck('host1', { id: '_node_maintenance', service: '', status: 'critical' })
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'maintenance', 'host1/b': 'maintenance' }))
    consul.removeCheck('host1', '_node_maintenance')
    consul.setCheck('host1', { id: '_service_maintenance:b', service: 'b', status: 'critical' })
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/b': 'maintenance' }))
  })

  it('is followed through registrations, changes and deregistrations', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    consul.register(shop('b'))
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/b': 'passing' }))
    consul.register(shop('b', { port: 8081 }))
    await eventually(() => expect(source.partition('host1').value[1]?.port).toBe(8081))
    consul.setCheck('host1', { id: 'check:b', service: 'b', status: 'critical' })
    await eventually(() => expect(source.health()).toMatchObject({ 'host1/b': 'critical' }))
    consul.deregister('host1', 'b')
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing' }))
    consul.deregister('host1', 'a')
    await eventually(() => expect(source.partition('host1')).toMatchObject({ evidence: 'fresh', value: [] }))
  })

  it('that is new is followed, and left when it is deleted', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    consul.register(shop('b', { node: 'host2' }))
    await eventually(() => expect(source.names()).toEqual(['host1', 'host2']))
    consul.deregister('host2')
    await eventually(() => expect(source.names()).toEqual(['host1']))
    await quiet(consul, 3)
    expect(consul.blocked().some((path) => path.endsWith('/host2'))).toBe(false)
    consul.register(shop('c', { node: 'host2' }))
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host2/c': 'passing' }))
    expect(source.healthsOf('host2/b')).toEqual(['passing'])
  })

  it('that is said to be unknown keeps what it had until the list agrees', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { node: 'host2' }))
    const source = watchConsul(consul)
    await source.fresh()
    consul.setFault(({ path }) => path === '/catalog/nodes')
    consul.setTamper((asked, answer) =>
      asked.path === '/catalog/nodes' ? { ...answer, status: 500, body: 'No cluster leader' } : answer,
    )
    consul.deregister('host2')
    await eventually(() => expect(source.partition('host2')).toMatchObject({ evidence: 'stale', value: [{ id: 'b' }] }))
    // whichever of its two queries was woken first
    expect(source.partition('host2').why).toMatch(/^(catalog|health)\/node: the node is listed, but not known$/)
    consul.setFault(null)
    consul.setTamper(null)
    consul.cut()
    await eventually(() => expect(source.names()).toEqual(['host1']))
    await source.fresh()
  })

  it.each(['we/b 100%', 'kö?#x', '..', 'constructor'])('named %j is asked for by that name', async (name) => {
    const consul = await fakeConsul()
    consul.register(shop('a', { node: name }))
    const source = watchConsul(consul)
    await source.fresh()
    expect(source.health()).toEqual({ [`${name}/a`]: 'passing' })
    expect(consul.asked(`/catalog/node/${encodeURIComponent(name)}`).length).toBeGreaterThan(0)
    expect(consul.asked(`/health/node/${encodeURIComponent(name)}`).length).toBeGreaterThan(0)
  })
})

describe('the two answers about a node are of one moment:', () => {
  it('an instance that is registered with a failing check is never seen without it', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    for (const id of ['b', 'c', 'd', 'e']) {
      await quiet(consul, 3)
      consul.register(shop(id, { status: 'critical' }))
      await eventually(() => expect(source.health()).toHaveProperty([`host1/${id}`], 'critical'))
      expect(source.healthsOf(`host1/${id}`)).toEqual(['critical'])
    }
  })

  it('nor one that is registered after the checks were read, and before the services', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('x', { status: 'warning' }))
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    // the checks are read, which lack that of x, then b comes, then it is seen whether x is still registered
    const isSingle = ({ path, index }: Asked) => path === services && index === null
    justBefore(consul, isSingle, () => consul.register(shop('b', { status: 'critical' })))
    consul.removeCheck('host1', 'check:x')
    const wanted = { 'host1/a': 'passing', 'host1/b': 'critical', 'host1/x': 'passing' }
    await eventually(() => expect(source.health()).toEqual(wanted))
    expect(source.healthsOf('host1/b')).toEqual(['critical'])
  })

  it('nor one that takes the place of another with the same id', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a', { status: 'warning' }))
    consul.register({ node: 'host1', id: 'b', service: 'shop', port: 1 })
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    const isSingle = ({ path, index }: Asked) => path === services && index === null
    justBefore(consul, isSingle, () => {
      consul.deregister('host1', 'b')
      consul.register(shop('b', { port: 2, status: 'critical' }))
    })
    consul.removeCheck('host1', 'check:a')
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/b': 'critical' }))
    const seen = source.reports.flatMap(({ value }) => value?.partitions.get('host1')?.value ?? [])
    expect(seen.filter(({ id, port, health }) => id === 'b' && port === 2 && health === 'passing')).toEqual([])
  })

  it('one that leaves with its failing check is never seen as healthy', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { status: 'critical' }))
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    // the services are read with b, then it goes, then the checks are read
    const isSingle = ({ path, index }: Asked) => path === checks && index === null
    justBefore(consul, isSingle, () => consul.deregister('host1', 'b'))
    consul.register({ node: 'host1', id: 'c', service: 'shop' })
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/c': 'passing' }))
    expect(source.healthsOf('host1/b')).toEqual(['critical'])
  })

  it('an instance without checks passes, and is no reason to ask again and again', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    const asked = consul.requests.length
    consul.register({ node: 'host1', id: 'b', service: 'shop' })
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/b': 'passing' }))
    await quiet(consul, 3)
    // the services again, the checks once, and the next blocking query of each
    expect(consul.requests.length - asked).toBeLessThanOrEqual(4)
  })

  it('a check that turns, and an instance that leaves, need no reading of the other half', async () => {
    const consul = await fakeConsul()
    for (const id of ['a', 'b', 'c']) consul.register(shop(id))
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    const asked = consul.requests.length
    consul.setCheck('host1', { id: 'check:a', service: 'a', status: 'critical' })
    await eventually(() => expect(source.health()).toMatchObject({ 'host1/a': 'critical' }))
    await quiet(consul, 3)
    // the next blocking query
    expect(consul.requests.slice(asked).map(({ path }) => path)).toEqual([checks])
    consul.deregister('host1', 'b')
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'critical', 'host1/c': 'passing' }))
  })

  it('a pair of which one half fails is not published', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    consul.setFault(({ path }, response) => path === checks && response.writeHead(500).end() !== undefined)
    // without a check, which would come by the other query
    consul.register({ node: 'host1', id: 'b', service: 'shop' })
    await eventually(() => expect(source.partition('host1')).toMatchObject({ evidence: 'stale', value: [{ id: 'a' }] }))
    consul.setFault(null)
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/b': 'passing' }))
    await source.fresh()
  })
})

describe('what did not change', () => {
  it('is reported no more: a new output of a check is nothing new', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    const reports = source.reports.length
    const before = source.value()
    const others = consul.asked(services).length
    for (const output of ['one', 'two', 'three']) {
      const asked = consul.asked(checks).length
      consul.setCheck('host1', { id: 'check:a', service: 'a', status: 'passing', output })
      await eventually(() => expect(consul.asked(checks).length).toBeGreaterThan(asked), { every: 2 })
      await quiet(consul, 3)
    }
    expect(source.reports.length).toBe(reports)
    expect(source.value()).toBe(before)
    expect(consul.asked(services).length).toBe(others)
  })

  it('keeps its array beside what did, and its object within it', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b'))
    consul.register(shop('c', { node: 'host2' }))
    const source = watchConsul(consul)
    await source.fresh()
    const [one, two] = [source.partition('host1'), source.partition('host2')]
    consul.register(shop('b', { port: 81 }))
    await eventually(() => expect(source.partition('host1').value[1]?.port).toBe(81))
    expect(source.partition('host1').value[0]).toBe(one.value[0])
    expect(source.partition('host1').value).not.toBe(one.value)
    expect(source.partition('host2')).toBe(two)
  })

  it('keeps its array when everything was read anew', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    await quiet(consul, 3)
    const { value } = source.partition('host1')
    consul.cut()
    await eventually(() => expect(source.status().errors).toBeGreaterThanOrEqual(3))
    await source.fresh()
    expect(source.partition('host1').value).toBe(value)
  })
})
