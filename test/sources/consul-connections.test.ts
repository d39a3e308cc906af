import { afterEach, describe, expect, it, vi } from 'vitest'
import { type Connections, connections } from '../../src/sources/consul/connections.ts'
import { shop, watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'
import { type FakeAnswer, type FakeConsul, fakeConsul } from '../support/fake-consul.ts'

const never = new AbortController().signal

const ok = (body: string): FakeAnswer => ({ status: 200, headers: { 'Content-Type': 'application/json' }, body })

/** `count` nodes, each with one instance of a service of its own or of one for all. */
async function withNodes(count: number, service: (index: number) => string = () => 'shop'): Promise<FakeConsul> {
  const consul = await fakeConsul()
  for (let index = 0; index < count; index += 1) {
    consul.register(shop(`i${index}`, { node: `node${index}`, service: service(index) }))
  }
  return consul
}

describe('connections', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  /** Whether `promise` has been kept by now. */
  const isKept = (promise: Promise<boolean>) => Promise.race([promise, Promise.resolve().then(() => null)])

  it('are given in turn, single reads first', async () => {
    const slots = connections(1, 1000)
    const order: string[] = []
    const take = async (name: string, isUrgent: boolean) => {
      if (await slots.take(isUrgent, never)) order.push(name)
      slots.release()
    }
    expect(await slots.take(false, never)).toBe(true)
    const all = [take('one', false), take('two', false), take('read one', true), take('read two', true)]
    expect(order).toEqual([])
    slots.release()
    await Promise.all(all)
    expect(order).toEqual(['read one', 'read two', 'one', 'two'])
  })

  it('are not given to who has gone away, nor kept for them', async () => {
    const slots = connections(1, 1000)
    const life = new AbortController()
    await slots.take(false, never)
    const gone = slots.take(true, life.signal)
    const patient = slots.take(false, never)
    life.abort()
    expect(await gone).toBe(false)
    expect(await slots.take(true, life.signal)).toBe(false)
    slots.release()
    expect(await isKept(patient)).toBe(true)
  })

  it('are at least one', async () => {
    const slots = connections(0, 1000)
    expect(await isKept(slots.take(false, never))).toBe(true)
    slots.refused()
    slots.release()
    expect(await isKept(slots.take(false, never))).toBe(true)
  })

  it('are held for as long as they like, until three quarters are wanted; then each gets its turn in 10 s', () => {
    const slots = connections(8, 60_000)
    const leave = Array.from({ length: 6 }, () => slots.join())
    expect(slots.wait()).toBe(60_000)
    leave.push(slots.join())
    expect(slots.wait()).toBe(11_428)
    expect(slots.note()).toBeNull()
    while (leave.length < 80) leave.push(slots.join())
    expect(slots.wait()).toBe(1000)
    expect(slots.note()).toBe(
      '80 queries take turns on 8 connections, each about every 10 s; raise consul.maxConnections',
    )
    while (leave.length < 8000) leave.push(slots.join())
    expect(slots.wait()).toBe(250)
    for (const each of leave) each()
    expect(slots.wait()).toBe(60_000)
  })

  it('are fewer after a 429, and one more each minute from then on', async () => {
    vi.useFakeTimers({ toFake: ['performance'] })
    const slots = connections(3, 1000)
    for (const _ of [1, 2, 3]) await slots.take(false, never)
    slots.refused()
    slots.release()
    expect(await isKept(slots.take(false, AbortSignal.abort()))).toBe(false)
    const third = slots.take(false, never)
    expect(await isKept(third)).toBeNull()
    vi.advanceTimersByTime(59_000)
    slots.release()
    expect(await isKept(third)).toBe(true)
    const fourth = slots.take(false, never)
    expect(await isKept(fourth)).toBeNull()
    vi.advanceTimersByTime(2000)
    const fifth = slots.take(false, never)
    expect(await isKept(fourth)).toBe(true)
    vi.advanceTimersByTime(600_000)
    expect(await isKept(fifth)).toBeNull()
  })
})

describe('connections that become more', () => {
  /** How many can be taken now. */
  const free = async (slots: Connections) => {
    let count = 0
    while (await isTaken(slots)) count += 1
    for (let released = 0; released < count; released += 1) slots.release()
    return count
  }
  const isTaken = async (slots: Connections) => {
    const end = new AbortController()
    const taken = slots.take(false, end.signal)
    end.abort()
    return taken
  }

  it('are given to who waits', async () => {
    const slots = connections(2, 1000)
    for (const _ of [1, 2]) await slots.take(false, never)
    const third = slots.take(false, never)
    slots.allow(3)
    expect(await third).toBe(true)
    expect(slots.most()).toBe(3)
  })

  it('stay few after a refusal, and never more than there may be', async () => {
    const slots = connections(8, 1000)
    expect(await free(slots)).toBe(8)
    for (let taken = 0; taken < 6; taken += 1) await slots.take(false, never)
    slots.refused()
    for (let taken = 0; taken < 6; taken += 1) slots.release()
    slots.allow(20)
    expect(await free(slots)).toBe(5)
    slots.allow(3)
    expect(await free(slots)).toBe(3)
  })
})

describe('a source with more queries than connections', () => {
  it('never opens more, and gives every query its turn', async () => {
    const consul = await withNodes(15)
    const source = watchConsul(consul, { maxConnections: 4 }, { wait: 40 })
    await source.fresh()
    expect(source.names()).toHaveLength(15)
    expect(source.note()).toMatch(/^31 queries take turns on 4 connections/)
    // only what may wait counts: single reads complete pairs
    const turns = () => {
      const counts = new Map<string, number>()
      for (const { path, index } of consul.requests) {
        if (index !== null) counts.set(path, (counts.get(path) ?? 0) + 1)
      }
      return [...counts.values()]
    }
    await eventually(() => {
      expect(turns()).toHaveLength(31)
      expect(Math.min(...turns())).toBe(3)
    })
    expect(Math.max(...turns())).toBeLessThanOrEqual(5)
    consul.register(shop('late', { node: 'node14' }))
    await eventually(() => expect(source.health()).toHaveProperty(['node14/late'], 'passing'))
    expect(consul.mostSockets()).toBe(4)
    expect(source.status()).toMatchObject({ state: 'fresh', errors: 0 })
  })

  it('uses one for each query where there are enough', async () => {
    const consul = await withNodes(5)
    const source = watchConsul(consul)
    await source.fresh()
    await eventually(() => expect(consul.blocked()).toHaveLength(11))
    expect(consul.sockets()).toBeLessThanOrEqual(11 + 5)
    expect(source.note()).toBeNull()
  })

  it('works on one connection', async () => {
    const consul = await withNodes(2)
    const source = watchConsul(consul, { maxConnections: 1 }, { wait: 20 })
    await source.fresh()
    consul.register(shop('late', { node: 'node1', status: 'critical' }))
    await eventually(() => expect(source.health()).toHaveProperty(['node1/late'], 'critical'))
    expect(consul.mostSockets()).toBe(1)
  })
})

describe('an agent that refuses connections', () => {
  it('gets fewer, keeps every partition, and the note says what to do', async () => {
    const consul = await withNodes(8)
    const source = watchConsul(consul, {}, { wait: 40 })
    await source.fresh()
    consul.allowConnections(6)
    consul.cut()
    await eventually(() => expect(source.note()).toMatch(/the agent refuses more \(429\): raise its limits/))
    await eventually(() => expect(source.status()).toMatchObject({ state: 'fresh', error: null }))
    const connectionsNow = Number(/on (\d+) connections/.exec(source.note() ?? '')?.[1])
    expect(connectionsNow).toBeLessThanOrEqual(6)
    consul.register(shop('late', { node: 'node7' }))
    await eventually(() => expect(source.health()).toHaveProperty(['node7/late'], 'passing'))
    expect(source.reports.filter(({ value }) => value !== null && value.partitions.size < 8)).toEqual([])
    const why = source.reports.map(({ status }) => status.error).find((error) => error?.includes('429'))
    expect(why).toMatch(/status 429: Your IP is issuing too many concurrent connections/)
  })

  it('is watched by services from then on, if that needs fewer and the way is ours to choose', async () => {
    const consul = await withNodes(10)
    consul.allowConnections(6)
    const source = watchConsul(consul, { watch: 'auto' }, { wait: 300 })
    await eventually(() => expect(source.value().by).toBe('service'))
    await source.fresh()
    expect(source.partition('shop').value).toHaveLength(10)
    // both at a time, not in turn
    await eventually(() => expect([...consul.blocked()].sort()).toEqual(['/catalog/services', '/health/service/shop']))
    expect(source.note()).toBeNull()
    expect(consul.mostSockets()).toBeLessThanOrEqual(6)
  })

  it('leaves what was known, as stale, while the way of watching changes', async () => {
    const consul = await withNodes(10)
    const source = watchConsul(consul, { watch: 'auto' }, { wait: 300 })
    await source.fresh()
    expect(source.value().by).toBe('node')
    await eventually(() => expect(consul.blocked().length).toBeGreaterThan(15))
    consul.allowConnections(6)
    consul.cut()
    await eventually(() => expect(source.value().by).toBe('service'))
    await source.fresh()
    const known = source.reports.slice(source.reports.findIndex(({ value }) => value !== null))
    const counts = known.map(
      ({ value }) => [...(value?.partitions.values() ?? [])].flatMap((each) => each.value).length,
    )
    expect(new Set(counts)).toEqual(new Set([10]))
    const carried = known.filter(({ value }) => value?.by === 'node').at(-1)
    expect([...(carried?.value?.partitions.values() ?? [])].every(({ evidence }) => evidence === 'stale')).toBe(true)
    expect(carried?.status.state).toBe('stale')
  })

  it('is watched as it was told to, when it was told', async () => {
    const consul = await withNodes(4)
    consul.allowConnections(3)
    const source = watchConsul(consul, { watch: 'nodes' }, { wait: 40 })
    await eventually(() => expect(source.status().error).toMatch(/429/))
    await source.fresh()
    expect(source.value().by).toBe('node')
    expect(consul.asked('/catalog/services')).toEqual([])
  })
})

describe('the way of watching', () => {
  it.each([
    ['nodes, if their queries fit', 5, 11, 'one', 'node'],
    ['services, if only theirs do', 5, 10, 'one', 'service'],
    ['whichever needs fewer, if none do: nodes', 2, 3, 'many', 'node'],
    ['whichever needs fewer, if none do: services', 9, 3, 'some', 'service'],
  ] as const)('is chosen: by %s', async (_case, nodes, maxConnections, services, by) => {
    const consul = await withNodes(nodes, (index) => (services === 'one' ? 'shop' : `shop${index % 3}`))
    for (let index = 0; services === 'many' && index < 6; index += 1) {
      consul.register(shop(`m${index}`, { node: 'node0', service: `more${index}` }))
    }
    const source = watchConsul(consul, { watch: 'auto', maxConnections }, { wait: 40 })
    await source.fresh()
    expect(source.value().by).toBe(by)
  })

  const selfWith = (most: unknown) => JSON.stringify({ DebugConfig: { HTTPMaxConnsPerClient: most } })

  it.each<[string, FakeAnswer, 'node' | 'service', number]>([
    ['three quarters of what the agent takes', ok(selfWith(400)), 'node', 300],
    ['what it takes by default, if the token may not see', { status: 403, headers: {}, body: '' }, 'service', 150],
    ['what it takes by default, if it does not say', ok(selfWith('many')), 'service', 150],
    ['enough, if it takes any number', ok(selfWith(0)), 'node', 1024],
    ['few, if the agent takes few', ok(selfWith(20)), 'service', 15],
  ])('is chosen by as many connections as there are: %s', async (_case, self, by, most) => {
    const consul = await withNodes(most === 15 ? 10 : 80)
    consul.setTamper((asked, answer) => (asked.path === '/agent/self' ? self : answer))
    const source = watchConsul(consul, { watch: 'auto', maxConnections: null })
    await source.fresh()
    expect(source.value().by).toBe(by)
    expect(source.note()).toBeNull()
  })

  it('waits for an agent that does not answer yet, to learn how many connections it takes', async () => {
    const consul = await withNodes(80)
    consul.setTamper((asked, answer) => (asked.path === '/agent/self' ? ok(selfWith(400)) : answer))
    consul.setFault((_asked, response) => response.writeHead(503).end() !== undefined)
    const source = watchConsul(consul, { watch: 'auto', maxConnections: null })
    await eventually(() => expect(source.status().errors).toBeGreaterThan(2))
    expect(source.status()).toMatchObject({
      state: 'waiting',
      error: 'agent/self: status 503: Service Unavailable',
    })
    consul.setFault(null)
    await source.fresh()
    expect(source.value().by).toBe('node')
  })

  it('is chosen again and again while the agent does not answer', async () => {
    const consul = await withNodes(2)
    consul.setFault((_asked, response) => response.writeHead(500).end() !== undefined)
    const source = watchConsul(consul, { watch: 'auto' })
    await eventually(() => expect(source.status().errors).toBeGreaterThan(2))
    expect(source.status()).toMatchObject({
      state: 'waiting',
      error: 'catalog/nodes: status 500: Internal Server Error',
    })
    consul.setFault(null)
    await source.fresh()
    expect(source.value().by).toBe('node')
  })
})
