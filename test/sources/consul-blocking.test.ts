import { describe, expect, it } from 'vitest'
import { shop, watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'
import { type Asked, type FakeConsul, fakeConsul } from '../support/fake-consul.ts'

const nodes = '/catalog/nodes'
const host1 = '/catalog/node/host1'

/** Makes the index of every answer what `index` says. */
function tamperIndex(consul: FakeConsul, index: (asked: Asked) => string | null): void {
  consul.setTamper((asked, answer) => {
    const { 'X-Consul-Index': _, ...rest } = answer.headers
    const next = index(asked)
    return { ...answer, headers: next === null ? rest : { ...rest, 'X-Consul-Index': next } }
  })
}

const gaps = (asked: readonly Asked[]) => asked.slice(1).map(({ at }, position) => at - (asked[position]?.at ?? 0))
const isResync = ({ index, query }: Asked) => index === null && query.has('consistent') && !query.has('wait')
const isBlocking = ({ index, query }: Asked) => index !== null && query.has('wait') && !query.has('consistent')

describe('a blocking query', () => {
  it.each(['nodes', 'services'] as const)('by %s goes consistently and without index first, then on', async (watch) => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, { watch })
    await source.fresh()
    const paths = watch === 'nodes' ? [nodes, host1] : ['/catalog/services', '/health/service/shop']
    for (const path of paths) {
      await eventually(() => expect(consul.asked(path).length).toBeGreaterThan(1))
      const [first, ...later] = consul.asked(path)
      expect(first).toSatisfy(isResync)
      expect(later.every(isBlocking)).toBe(true)
    }
  })

  it('blocks at the index it was told, digit by digit, for as long as it was told to', async () => {
    const consul = await fakeConsul({ firstIndex: 2n ** 64n - 100n })
    consul.register(shop('a'))
    await watchConsul(consul, {}, { wait: 7000 }).fresh()
    await eventually(() => expect(consul.blocked()).toContain(host1))
    expect(consul.asked(host1).at(-1)).toMatchObject({ index: String(2n ** 64n - 99n) })
    consul.register(shop('a', { port: 8001 }))
    await eventually(() => expect(consul.asked(host1).at(-1)).toMatchObject({ index: String(2n ** 64n - 98n) }))
    expect(consul.asked(host1).at(-1)?.query.get('wait')).toBe('7000ms')
  })

  it('blocks for half as long the first time, more or less by chance: else all of them would end their waits at once', async () => {
    const waitWith = async (random: number) => {
      const consul = await fakeConsul()
      consul.register(shop('a'))
      await watchConsul(consul, {}, { wait: 7000, random: () => random }).fresh()
      await eventually(() => expect(consul.blocked()).toContain(host1))
      return consul.asked(host1).at(-1)?.query.get('wait')
    }
    expect([await waitWith(0), await waitWith(0.5), await waitWith(1)]).toEqual(['3500ms', '5250ms', '7000ms'])
  })

  it('that is woken is issued again at once', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    await eventually(() => expect(consul.blocked()).toContain(host1))
    const before = consul.asked(host1).length
    for (let count = 0; count < 5; count += 1) {
      consul.register(shop('a', { port: 8000 + count }))
      await eventually(() => expect(source.partition('host1').value[0]?.port).toBe(8000 + count), { every: 2 })
    }
    await eventually(() => expect(consul.blocked()).toContain(host1))
    const again = consul.asked(host1).slice(before)
    expect(again.filter(isBlocking)).toHaveLength(5)
    expect((again.at(-1)?.at ?? 0) - (again[0]?.at ?? 0)).toBeLessThan(1500)
  })

  it('that comes to the end of its wait goes on from the same index, in its own time', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, {}, { wait: 50 })
    await eventually(() => expect(consul.asked(nodes).length).toBeGreaterThan(3))
    const later = consul.asked(nodes).slice(1)
    expect(new Set(later.map(({ index }) => index)).size).toBe(1)
    expect(later.every(isBlocking)).toBe(true)
    expect(Math.min(...gaps(later))).toBeGreaterThan(300)
    expect(source.reports.every(({ status }) => status.errors === 0)).toBe(true)
  })
})

describe('an index', () => {
  it('that is missing, zero, no number or too large is not waited on, and makes no busy loop', async () => {
    const strange = [null, '0', '-5', 'abc', '12abc', '12.5', '0x10', String(2n ** 64n + 1n), '9'.repeat(400)]
    const cases = strange.map(async (index) => {
      const consul = await fakeConsul()
      consul.register(shop('a'))
      tamperIndex(consul, () => index)
      const source = watchConsul(consul)
      await source.fresh()
      await eventually(() => expect(consul.asked(nodes).length).toBe(2))
      expect(consul.asked(nodes).every(isResync), String(index)).toBe(true)
      expect(Math.min(...gaps(consul.asked(nodes)))).toBeGreaterThan(300)
      // per query one, and what completes its pair
      expect(consul.requests.length).toBeLessThan(12)
      expect(source.partition('host1').value).toHaveLength(1)
    })
    await Promise.all(cases)
  })

  it('that does not move though the answer comes at once makes no busy loop', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.setFault(({ index, path }, response) => {
      if (index === null || path !== nodes) return false
      response.writeHead(200, { 'Content-Type': 'application/json', 'X-Consul-Index': index })
      return response.end('[{"Node":"host1"}]') !== undefined
    })
    await watchConsul(consul).fresh()
    await eventually(() => expect(consul.asked(nodes).length).toBe(3))
    expect(gaps(consul.asked(nodes))[1]).toBeGreaterThan(300)
  })

  it('is of no use after an error: the next query is consistent and has none', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    await eventually(() => expect(consul.blocked()).toContain(nodes))
    consul.setTamper((_asked, answer) => ({
      ...answer,
      status: 500,
      headers: { 'Content-Type': 'text/plain', 'X-Consul-Index': '1' },
      body: 'rpc error getting client: failed to get conn',
    }))
    const before = consul.asked(nodes).length
    consul.register(shop('b', { node: 'host2' }))
    await eventually(() => expect(consul.asked(nodes).length).toBeGreaterThan(before + 3))
    expect(consul.asked(nodes).slice(before).every(isResync)).toBe(true)
    expect(source.status().error).toMatch(/status 500: rpc error getting client/)
    consul.setTamper(null)
    await eventually(() => expect(source.names()).toEqual(['host1', 'host2']))
    await source.fresh()
    await eventually(() => expect(consul.blocked()).toContain(nodes))
    // the 1 that came with the errors is nowhere
    expect(consul.requests.some(({ index }) => index === '1')).toBe(false)
  })

  it('is of no use after a connection that broke', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul)
    await source.fresh()
    await eventually(() => expect(consul.blocked().length).toBe(3))
    const before = consul.requests.length
    consul.cut()
    const after = () => consul.requests.slice(before)
    for (const path of [nodes, host1, '/health/node/host1']) {
      const first = await eventually(() => {
        const found = after().find((asked) => asked.path === path)
        if (found === undefined) throw new Error(`expected ${path} to be asked again`)
        return found
      })
      expect(first).toSatisfy(isResync)
    }
    await source.fresh()
    expect(source.status().errors).toBeGreaterThan(0)
  })

  it('that fell is doubtful, takes nothing away, and the next query makes sure', async () => {
    const consul = await fakeConsul({ firstIndex: 100n })
    consul.register(shop('a'))
    consul.register(shop('b', { node: 'host2' }))
    const source = watchConsul(consul, {}, { wait: 300 })
    await source.fresh()
    await eventually(() => expect(consul.blocked()).toContain(nodes))
    const before = consul.asked(nodes).length
    consul.rewind(5n)
    consul.deregister('host2')
    await eventually(() => expect(source.names()).toEqual(['host1']))
    const doubtful = source.reports.filter((report) => report.value?.partitions.get('host2')?.evidence === 'doubtful')
    expect(doubtful.at(-1)?.value?.partitions.get('host2')).toMatchObject({
      value: [{ id: 'b' }],
      why: expect.stringMatching(/^the index fell from 102 to 6$/),
    })
    expect(consul.asked(nodes)[before]).toSatisfy(isResync)
    await source.fresh()
  })

  it('is compared beyond the numbers that JavaScript can tell apart', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const [high, low] = [2n ** 53n + 1n, 2n ** 53n]
    tamperIndex(consul, ({ path, index }) => (path === nodes ? String(index === null ? high : low) : '20'))
    const source = watchConsul(consul, {}, { wait: 50 })
    const why = /the index fell from 9007199254740993 to 9007199254740992/
    await eventually(() => expect(source.reports.some(({ status }) => why.test(status.error ?? ''))).toBe(true))
  })
})

describe('the backoff', () => {
  it('is kept to while the agent answers errors', async () => {
    const consul = await fakeConsul()
    consul.setFault((_asked, response) => response.writeHead(500).end() !== undefined)
    watchConsul(consul, {}, { random: () => 0.4 })
    await eventually(() => expect(consul.requests.length).toBe(4))
    const [first = 0, second = 0, third = 0] = gaps(consul.requests)
    expect(first).toBeGreaterThan(95)
    expect(second).toBeGreaterThan(195)
    expect(third).toBeGreaterThan(395)
  })
})
