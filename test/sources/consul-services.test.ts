import { describe, expect, it } from 'vitest'
import { shop, watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'
import { type FakeConsul, fakeConsul } from '../support/fake-consul.ts'

const byService = { watch: 'services' } as const
const listing = '/catalog/services'
const listings = (consul: FakeConsul) => consul.asked(listing)

describe('a service', () => {
  it('is one partition, if it is exposed', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { node: 'host2', status: 'warning' }))
    consul.register(shop('c', { service: 'api', tags: ['heddle.route=/api'], status: 'critical' }))
    consul.register(shop('d', { service: 'db', tags: ['primary'] }))
    const source = watchConsul(consul, byService)
    await source.fresh()
    expect(source.value().by).toBe('service')
    expect(source.names()).toEqual(['api', 'shop'])
    expect(source.health()).toEqual({ 'host1/a': 'passing', 'host2/b': 'warning', 'host1/c': 'critical' })
    expect(consul.asked('/health/service/db')).toEqual([])
    expect(source.reports.filter(({ value }) => value !== null)).toHaveLength(1)
  })

  it('needs no tag where all are exposed', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a', { tags: [] }))
    const source = watchConsul(consul, { ...byService, exposeBy: 'all' })
    await source.fresh()
    expect(source.names()).toEqual(['shop'])
  })

  it('is followed from its answer on, without the list', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, byService)
    await source.fresh()
    const asked = listings(consul).length
    consul.register(shop('b', { status: 'critical' }))
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'passing', 'host1/b': 'critical' }), {
      every: 2,
    })
    consul.setCheck('host1', { id: 'check:b', service: 'b', status: 'passing' })
    await eventually(() => expect(source.health()).toMatchObject({ 'host1/b': 'passing' }), { every: 2 })
    consul.setCheck('host1', { id: '_node_maintenance', service: '', status: 'critical' })
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'maintenance', 'host1/b': 'maintenance' }))
    consul.deregister('host1', 'b')
    await eventually(() => expect(source.health()).toEqual({ 'host1/a': 'maintenance' }))
    expect(source.healthsOf('host1/b')).toEqual(['critical', 'passing', 'maintenance'])
    expect(listings(consul).length - asked).toBeLessThanOrEqual(1)
  })

  it('that is new is found, and left when its last instance is gone', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, byService)
    await source.fresh()
    consul.register(shop('b', { service: 'api' }))
    consul.register(shop('c', { service: 'web' }))
    await eventually(() => expect(source.names()).toEqual(['api', 'shop', 'web']))
    consul.deregister('host1', 'b')
    await eventually(() => expect(source.names()).toEqual(['shop', 'web']))
    // one that asks for nothing any more has not left
    consul.register(shop('c', { service: 'web', tags: [] }))
    await eventually(() => expect(source.partition('web').value).toMatchObject([{ id: 'c', tags: [] }]))
    consul.deregister('host1', 'c')
    await eventually(() => expect(source.names()).toEqual(['shop']))
    const followed = () => consul.blocked().filter((path) => path !== listing)
    await eventually(() => expect(followed()).toEqual(['/health/service/shop']))
  })

  it('is fetched by its very name, whatever that is', async () => {
    const names = [
      'a/b',
      'we b',
      '100%',
      '%2e%2f',
      'kö\u{1f600}',
      '?x=y&z#',
      '..',
      '+',
      "it's",
      '__proto__',
      '$&{service}',
    ]
    const consul = await fakeConsul()
    for (const service of names) consul.register(shop(`of ${service}`, { service }))
    const source = watchConsul(consul, byService)
    await source.fresh()
    expect(source.names()).toEqual([...names].sort())
    for (const name of names) expect(source.partition(name)).toMatchObject({ value: [{ service: name }] })
    const asked = new Set(consul.requests.map(({ path }) => path))
    expect(asked).toEqual(new Set([listing, ...names.map((name) => `/health/service/${encodeURIComponent(name)}`)]))
  })

  it('that Consul can list but not be asked for disturbs no other', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { service: 'we\nb' }))
    const source = watchConsul(consul, byService)
    await eventually(() => expect(source.partition('shop')).toMatchObject({ evidence: 'fresh', value: [{ id: 'a' }] }))
    expect(source.partition('we\nb')).toMatchObject({
      evidence: 'stale',
      value: [],
      at: 0,
      why: 'health/service: status 400: Bad Request',
    })
    consul.register(shop('a', { port: 81 }))
    await eventually(() => expect(source.partition('shop').value).toMatchObject([{ port: 81 }]))
    expect(source.status()).toMatchObject({ state: 'stale', partitions: { total: 2, stale: 1 } })
    consul.deregister('host1', 'b')
    await source.fresh()
    expect(source.names()).toEqual(['shop'])
  })

  it('that cannot be written as a path is stale, and nothing more', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { service: '\ud800' }))
    const source = watchConsul(consul, byService)
    await eventually(() => expect(source.partition('shop').evidence).toBe('fresh'))
    expect(source.partition('\ud800')).toMatchObject({ evidence: 'stale', why: expect.stringMatching(/URI malformed/) })
  })

  it('keeps its array when only the output of a check changed, and reports nothing', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, byService)
    await source.fresh()
    const before = source.value()
    const reports = source.reports.length
    const path = '/health/service/shop'
    for (const output of ['one', 'two', 'three']) {
      await eventually(() => expect(consul.blocked()).toContain(path), { every: 2 })
      const asked = consul.asked(path).length
      consul.setCheck('host1', { id: 'check:a', service: 'a', status: 'passing', output })
      await eventually(() => expect(consul.asked(path).length).toBeGreaterThan(asked), { every: 2 })
    }
    expect(source.value()).toBe(before)
    expect(source.reports.length).toBe(reports)
  })

  it('keeps its array beside one that changed', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { service: 'api' }))
    const source = watchConsul(consul, byService)
    await source.fresh()
    const before = source.partition('shop')
    consul.register(shop('b', { service: 'api', port: 81 }))
    await eventually(() => expect(source.partition('api').value[0]?.port).toBe(81))
    expect(source.partition('shop')).toBe(before)
  })
})

describe('the list of services', () => {
  it('is asked for at most once a second, however much is registered', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, byService)
    await source.fresh()
    await eventually(() => expect(consul.blocked()).toContain(listing))
    const [, blocking] = listings(consul)
    let count = 0
    const churn = setInterval(() => consul.register(shop(`c${count++}`, { service: 'other', tags: [] })), 10)
    await eventually(() => expect(listings(consul).length).toBe(3)).finally(() => clearInterval(churn))
    const last = listings(consul).at(-1)
    expect(count).toBeGreaterThan(20)
    expect((last?.at ?? 0) - (blocking?.at ?? 0)).toBeGreaterThan(800)
  })
})

describe('a list without any service', () => {
  it('is made sure of, one by one', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.register(shop('b', { service: 'api' }))
    const source = watchConsul(consul, byService)
    await source.fresh()
    consul.setTamper(({ path }, answer) => (path === listing ? { ...answer, body: '{}' } : answer))
    consul.deregister('host1', 'b')
    await eventually(() => expect(source.names()).toEqual(['shop']))
    consul.register(shop('a', { port: 81 }))
    await eventually(() => expect(source.partition('shop').value).toMatchObject([{ port: 81 }]))
    expect(source.reports.every(({ value }) => value === null || value.partitions.has('shop'))).toBe(true)
    consul.deregister('host1', 'a')
    await eventually(() => expect(source.names()).toEqual([]))
  })
})

describe('a filter', () => {
  it('is sent where it says what is registered, in the words of that endpoint', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a', { tags: ['heddle', 'blue'] }))
    consul.register(shop('b', { tags: ['heddle', 'green'], status: 'critical' }))
    const services = watchConsul(consul, { ...byService, filter: '"blue" in Service.Tags' })
    const nodes = watchConsul(consul, { watch: 'nodes', filter: '"blue" in Tags' })
    for (const source of [services, nodes]) {
      await source.fresh()
      expect(source.health()).toEqual({ 'host1/a': 'passing' })
    }
    const filtered = consul.requests.filter(({ query }) => query.has('filter')).map(({ path }) => path)
    expect(new Set(filtered)).toEqual(new Set(['/health/service/shop', '/catalog/node/host1']))
  })

  it('that Consul does not understand is an error that says so', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, { ...byService, filter: '"blue" in Tags' })
    await eventually(() => expect(source.status().error).toMatch(/status 500: Failed to create boolean/))
    // nothing is known yet: an empty catalog would take every route away
    expect(source.reports.every(({ value, status }) => value === null && status.state === 'waiting')).toBe(true)
  })
})
