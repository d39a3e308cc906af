import { describe, expect, it } from 'vitest'
import { shop, watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'
import { type Fault, fakeConsul } from '../support/fake-consul.ts'

const json = { 'Content-Type': 'application/json', 'X-Consul-Index': '7' }

/** A way to answer wrongly, and what is said of it. */
const faults: readonly (readonly [string, Fault, RegExp])[] = [
  ['nothing', () => true, /no answer within/],
  [
    'half a header',
    (_asked, response) => response.socket?.write('HTTP/1.1 200 OK\r\nX-Co') === true,
    /no answer within/,
  ],
  [
    'a body that stops',
    (_asked, response) => response.writeHead(200, { ...json, 'Content-Length': '1000' }).write('[{"Node":'),
    /no answer within/,
  ],
  [
    'a body that is cut short',
    (_asked, response) => {
      response.writeHead(200, { ...json, 'Content-Length': '1000' }).write('[')
      setTimeout(() => response.destroy(), 5)
      return true
    },
    /cut short|aborted/,
  ],
  ['no answer but the end', (_asked, response) => response.destroy() !== undefined, /socket hang up|ECONNRESET/],
  ['invalid JSON', (_asked, response) => response.writeHead(200, json).end('[{]') !== undefined, /JSON/],
  ['an empty body', (_asked, response) => response.writeHead(200, json).end() !== undefined, /expected/],
  ['another document', (_asked, response) => response.writeHead(200, json).end('{"a":1}') !== undefined, /expected/],
  ['a number', (_asked, response) => response.writeHead(200, json).end('7') !== undefined, /expected/],
  [
    'a page of a proxy',
    (_asked, response) =>
      response.writeHead(200, { 'Content-Type': 'text/html' }).end('<html>Log in</html>') !== undefined,
    /expected/,
  ],
  [
    'bytes without a type',
    (_asked, response) => response.writeHead(200, { 'X-Consul-Index': '7' }).end('[]{}') !== undefined,
    /expected/,
  ],
  [
    'a redirect',
    (_asked, response) => response.writeHead(301, { Location: '/v1/elsewhere' }).end() !== undefined,
    /status 301: Moved Permanently/,
  ],
  [
    'no content',
    (_asked, response) => response.writeHead(204, json).end() !== undefined,
    /expected status 200, got 204/,
  ],
  [
    'a lost leader',
    (_asked, response) =>
      response
        .writeHead(500, { 'Content-Type': 'text/plain', 'X-Consul-Index': '1' })
        .end('No cluster leader\u001b[2J') !== undefined,
    /status 500: No cluster leader\\u001b/,
  ],
  [
    'a page of errors',
    (_asked, response) =>
      response.writeHead(502, { 'Content-Type': 'text/html' }).end('<html>nginx/1.2</html>') !== undefined,
    /status 502: Bad Gateway$/,
  ],
]

/** An instance that is alone in its partition, whichever way those are cut. */
const alone = (name: string, port = 80) => shop('a', { node: name, service: name, port })
const quick = { wait: 250, margin: 250 }

describe.each(['nodes', 'services'] as const)('watching by %s,', (watch) => {
  const listing = watch === 'nodes' ? '/catalog/nodes' : '/catalog/services'

  it('whatever is answered for one partition makes that stale, and no other, until it is answered well', async () => {
    const consul = await fakeConsul()
    consul.register(alone('good'))
    for (const [name] of faults) consul.register(alone(name))
    const source = watchConsul(consul, { watch }, quick)
    await source.fresh()
    const before = source.value().partitions
    consul.setFault((asked, response) => {
      const found = faults.find(([name]) => asked.path.endsWith(`/${encodeURIComponent(name)}`))
      return found?.[1](asked, response) === true
    })
    consul.cut()
    for (const [name, , why] of faults) {
      await eventually(() =>
        expect(source.partition(name), name).toMatchObject({ evidence: 'stale', why: expect.stringMatching(why) }),
      )
    }
    for (const name of ['good', ...faults.map(([each]) => each)]) consul.register(alone(name, 81))
    await eventually(() =>
      expect(source.partition('good')).toMatchObject({ evidence: 'fresh', why: null, value: [{ port: 81 }] }),
    )
    const changed = source.names().filter((name) => source.partition(name).value !== before.get(name)?.value)
    expect(changed).toEqual(['good'])
    expect(source.status()).toMatchObject({ state: 'stale', partitions: { total: 16, stale: 15 } })
    expect(source.status().errors).toBeGreaterThanOrEqual(15)
    consul.setFault(null)
    await source.fresh()
    await eventually(() =>
      expect(source.names().map((name) => source.partition(name).value[0]?.port)).toEqual(Array(16).fill(81)),
    )
    expect(source.status()).toMatchObject({ error: null, partitions: { total: 16, stale: 0 } })
    expect(consul.asked('/elsewhere')).toEqual([])
  })

  it('whatever is answered for the listing takes nothing away', async () => {
    const cases = faults.map(async ([name, fault, why]) => {
      const consul = await fakeConsul()
      consul.register(alone('good'))
      const source = watchConsul(consul, { watch }, quick)
      await source.fresh()
      consul.setFault((asked, response) => asked.path === listing && fault(asked, response))
      consul.cut()
      await eventually(() => {
        expect(source.status().error, name).toMatch(why)
        expect(source.status().error, name).toMatch(new RegExp(`^${listing.slice(1)}: `))
      })
      consul.register(alone('good', 81))
      await eventually(() => expect(source.partition('good').value).toMatchObject([{ port: 81 }]))
      expect(source.status(), name).toMatchObject({ state: 'stale', partitions: { total: 1 } })
      consul.setFault(null)
      await source.fresh()
    })
    await Promise.all(cases)
  })

  it('an agent that is away at first is found when it comes', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    consul.setFault((_asked, response) => response.destroy() !== undefined)
    const source = watchConsul(consul, { watch })
    await eventually(() => expect(source.status().errors).toBeGreaterThan(0))
    expect(source.reports.every(({ value, status }) => value === null && status.state === 'waiting')).toBe(true)
    expect(source.status()).toMatchObject({ at: null, error: expect.stringMatching(/hang up|ECONNRESET/) })
    consul.setFault(null)
    await source.fresh()
    expect(source.health()).toEqual({ 'host1/a': 'passing' })
  })

  it('is waiting until every partition has spoken, well or badly', async () => {
    const consul = await fakeConsul()
    consul.register(alone('good'))
    consul.register(alone('bad'))
    consul.setFault(({ path }) => path.endsWith('/bad'))
    const source = watchConsul(consul, { watch }, { margin: 300 })
    await eventually(() => expect(source.value().partitions.size).toBe(2))
    const [first] = source.reports.filter(({ value }) => value !== null)
    expect(first?.value?.partitions.get('bad')).toMatchObject({ evidence: 'stale', value: [], at: 0 })
    expect(first?.value?.partitions.get('good')).toMatchObject({ evidence: 'fresh', value: [{ id: 'a' }] })
    expect(first?.status).toMatchObject({ state: 'stale', at: expect.any(Number) })
  })
})

it('waits for what can not be read as long as it has patience, not until the next answer', async () => {
  const consul = await fakeConsul()
  consul.register(alone('good'))
  consul.register(alone('bad'))
  consul.setFault(({ path }, response) => path.endsWith('/bad') && response.writeHead(500).end() !== undefined)
  // the next attempt is minutes away
  const begun = performance.now()
  const source = watchConsul(consul, {}, { random: () => 1000, patience: 700 })
  await eventually(() => expect(source.value().partitions.size).toBe(2))
  expect(performance.now() - begun).toBeGreaterThan(650)
  expect(source.partition('good')).toMatchObject({ evidence: 'fresh', value: [{ id: 'a' }] })
})

describe('errors', () => {
  it('are told by where they were met', async () => {
    const consul = await fakeConsul()
    consul.setFault((_asked, response) => response.writeHead(503).end() !== undefined)
    const source = watchConsul(consul)
    await eventually(() => expect(source.status().error).toBe('catalog/nodes: status 503: Service Unavailable'))
  })

  it('are made of a body without end, after 32 MiB of it', async () => {
    const consul = await fakeConsul()
    consul.register(shop('a'))
    const source = watchConsul(consul, {}, { random: () => 1 })
    await source.fresh()
    let sent = 0
    consul.setFault(({ path }, response) => {
      if (path !== '/health/node/host1') return false
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(1024 * 1024, ' '))) sent += 1
      }
      response.writeHead(200, json).on('drain', more)
      more()
      return true
    })
    // without a check, so that only the services wake up
    consul.register({ node: 'host1', id: 'b', service: 'shop' })
    await eventually(() => expect(source.partition('host1').why).toMatch(/the answer is larger than 32 MiB/))
    expect(sent).toBeLessThan(40)
    expect(source.partition('host1').value).toHaveLength(1)
    consul.setFault(null)
    await source.fresh()
  })

  it('are not made of an answer that takes the whole wait', async () => {
    const consul = await fakeConsul()
    // the fake answers after 17/16 of the wait, as a real one may
    const source = watchConsul(consul, {}, { wait: 2400, margin: 145 })
    consul.register(shop('a'))
    await eventually(() => expect(consul.blocked()).toContain('/catalog/nodes'))
    const before = consul.asked('/catalog/nodes').length
    await eventually(() => expect(consul.asked('/catalog/nodes').length).toBeGreaterThan(before))
    expect(source.status()).toMatchObject({ state: 'fresh', errors: 0 })
  })

  it('of a refused connection are errors like any other', async () => {
    const source = watchConsul({ address: 'http://127.0.0.1:1' })
    await eventually(() => expect(source.status().error).toMatch(/^catalog\/nodes: .*ECONNREFUSED/))
  })
})
