import { rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { createClient } from '../../src/sources/consul/client.ts'
import { readNodeName } from '../../src/sources/consul/source.ts'
import { connection, shop, watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'
import { type FakeConsul, fakeConsul } from '../support/fake-consul.ts'
import { allRights } from '../support/fake-consul-catalog.ts'

const none = { nodes: false, service: () => false }
const onlyNodes = { nodes: true, service: () => false }
const onlyShop = { nodes: true, service: (name: string) => name.startsWith('shop') }
const ways = ['nodes', 'services'] as const

/** A catalog of `shop`, whose id is its name too, and `db`, which is somebody else's. */
async function started(): Promise<FakeConsul> {
  const consul = await fakeConsul()
  consul.register(shop('shop-1'))
  consul.register(shop('db-1', { service: 'db' }))
  return consul
}

const tokensOf = (consul: FakeConsul) => [...new Set(consul.requests.map(({ token }) => token))]

describe.each(ways)('by %s, the catalog', (watch) => {
  const listing = watch === 'nodes' ? '/catalog/nodes' : '/catalog/services'
  const partition = watch === 'nodes' ? 'host1' : 'shop'

  it('of a token of least privilege is fresh, though it is filtered', async () => {
    const consul = await started()
    consul.grant('least', onlyShop)
    const source = watchConsul(consul, { watch, token: 'least' })
    await source.fresh()
    expect(source.health()).toEqual({ 'host1/shop-1': 'passing' })
    consul.register(shop('shop-1', { port: 81 }))
    await eventually(() => expect(source.partition(partition)).toMatchObject({ value: [{ port: 81 }] }))
    expect(source.reports.every(({ status }) => status.error === null)).toBe(true)
  })

  it('that becomes filtered is doubtful, until it is whole again', async () => {
    const consul = await started()
    consul.grant('full', allRights)
    const source = watchConsul(consul, { watch, token: 'full' }, { wait: 200 })
    await source.fresh()
    consul.grant('full', onlyNodes)
    const why = 'the token may see less than before (filtered by ACLs)'
    await eventually(() => expect(source.partition(partition)).toMatchObject({ evidence: 'doubtful', why }))
    // the doubt stays, and so do the names
    const asked = consul.asked(listing).length
    await eventually(() => expect(consul.asked(listing).length).toBeGreaterThan(asked))
    expect(source.partition(partition)).toMatchObject({ evidence: 'doubtful', why })
    expect(source.status()).toMatchObject({ state: 'doubtful', error: why })
    consul.grant('full', allRights)
    await source.fresh()
    expect(source.health()).toEqual({ 'host1/db-1': 'passing', 'host1/shop-1': 'passing' })
  })

  it('is asked anew soon after it was doubtful, however long a query may block', async () => {
    const consul = await started()
    consul.grant('full', allRights)
    const source = watchConsul(consul, { watch, token: 'full' }, { wait: 60_000 })
    await source.fresh()
    consul.grant('full', onlyNodes)
    consul.register(shop('shop-1', { port: 81 }))
    await eventually(() => expect(source.partition(partition).evidence).toBe('doubtful'))
    consul.grant('full', allRights)
    await source.fresh()
    expect(source.partition(partition).value).toContainEqual(expect.objectContaining({ id: 'shop-1', port: 81 }))
  })

  it('that hides from who has no token is doubtful, though it does not say so', async () => {
    const consul = await started()
    consul.grant(null, allRights)
    const source = watchConsul(consul, { watch }, { wait: 200 })
    await source.fresh()
    consul.grant(null, null)
    await eventually(() => expect(source.partition(partition).evidence).not.toBe('fresh'))
    const told = watch === 'nodes' ? /the node is listed, but not known$/ : /^no service at all.*the catalog is hidden$/
    await eventually(() => expect(source.status().error).toMatch(told))
    const asked = consul.asked(listing).length
    await eventually(() => expect(consul.asked(listing).length).toBeGreaterThan(asked))
    expect(source.partition(partition).evidence).toBe(watch === 'nodes' ? 'stale' : 'doubtful')
    expect(source.status().state).not.toBe('fresh')
    const seen = source.reports.flatMap(({ value }) => value?.partitions.get(partition) ?? [])
    expect(seen.filter(({ evidence, value }) => evidence === 'fresh' && value.length === 0)).toEqual([])
    consul.grant(null, allRights)
    await source.fresh()
    expect(source.health()).toEqual({ 'host1/db-1': 'passing', 'host1/shop-1': 'passing' })
  })

  it('of a token that is known no more stays as it was, as stale', async () => {
    const consul = await started()
    consul.grant('full', allRights)
    const source = watchConsul(consul, { watch, token: 'full' }, { wait: 200 })
    await source.fresh()
    const { value } = source.partition(partition)
    consul.grant('full', null)
    await eventually(() => expect(source.partition(partition)).toMatchObject({ evidence: 'stale' }))
    await eventually(() => expect(source.status().error).toMatch(/status 403: ACL not found/))
    expect(source.partition(partition).value).toBe(value)
  })
})

it.each(['/catalog/node/host1', '/catalog/services'])(
  'an instance is not gone because rights came back just before %s told of them',
  async (path) => {
    const consul = await started()
    consul.grant('full', allRights)
    const source = watchConsul(consul, { token: 'full' }, { wait: 200 })
    await source.fresh()
    let isSought = false
    consul.setFault((asked) => {
      isSought ||= asked.path.startsWith('/health/service/')
      if (isSought && asked.path === path) {
        consul.setFault(null)
        consul.grant('full', allRights)
      }
      return false
    })
    consul.grant('full', onlyNodes)
    consul.register(shop('shop-1', { port: 81 }))
    await eventually(() => expect(isSought).toBe(true))
    await eventually(() => expect(source.partition('host1').value).toMatchObject([{ id: 'db-1' }, { port: 81 }]))
    const seen = source.reports.flatMap(({ value }) => value?.partitions.get('host1') ?? [])
    const has = (id: string) =>
      seen.every(({ value, hidden }) => value.some((each) => each.id === id) || hidden?.has(`host1/${id}`))
    expect(['db-1', 'shop-1'].filter(has)).toEqual(['db-1', 'shop-1'])
  },
)

it('a service that a blocking answer has without its instances, and does not say why, is made sure of', async () => {
  const consul = await started()
  consul.grant('full', allRights)
  // as the streaming backend does: who blocks is not told that ACLs hide something
  consul.setTamper(({ index }, answer) => {
    const { 'X-Consul-Results-Filtered-By-ACLs': _, ...headers } = answer.headers
    return index === null ? answer : { ...answer, headers }
  })
  const source = watchConsul(consul, { watch: 'services', token: 'full' }, { wait: 200 })
  await source.fresh()
  consul.grant('full', { nodes: false, service: () => true })
  const why = 'the token may see less than before (filtered by ACLs)'
  await eventually(() => expect(source.partition('shop')).toMatchObject({ evidence: 'doubtful', why }))
  const seen = source.reports.flatMap(({ value }) => value?.partitions.get('shop') ?? [])
  expect(seen.filter(({ evidence, value }) => evidence === 'fresh' && value.length === 0)).toEqual([])
})

it('a token that may not see every service is watched by services: by nodes, rights are asked for by id', async () => {
  const consul = await started()
  consul.grant('least', onlyShop)
  const source = watchConsul(consul, { watch: 'auto', token: 'least' })
  await source.fresh()
  expect(source.value().by).toBe('service')
  consul.grant('full', allRights)
  const other = watchConsul(consul, { watch: 'auto', token: 'full' })
  await other.fresh()
  expect(other.value().by).toBe('node')
})

describe('a catalog', () => {
  it('without a node is doubtful: there is always the server', async () => {
    const consul = await fakeConsul()
    const source = watchConsul(consul)
    await eventually(() => expect(source.status().error).toBe('no node at all: the catalog is hidden'))
    // it has never been seen
    expect(source.reports.at(-1)).toMatchObject({ value: null, status: { state: 'waiting' } })
    consul.register(shop('a'))
    await source.fresh()
    consul.deregister('host1')
    await eventually(() => expect(source.partition('host1').evidence).not.toBe('fresh'))
    // the listing has answered so again and again
    await eventually(() => expect(consul.asked('/catalog/nodes').length).toBeGreaterThan(3))
    expect(source.partition('host1').value).toMatchObject([{ id: 'a' }])
  })

  it('without a service is nothing strange for who has a token, or needs none', async () => {
    const consul = await fakeConsul()
    const free = watchConsul(consul, { watch: 'services' })
    await free.fresh()
    expect(free.value().partitions.size).toBe(0)
    consul.grant('full', allRights)
    await watchConsul(consul, { watch: 'services', token: 'full' }).fresh()
  })
})

describe('a token', () => {
  const secret = 'b1gs3cr3t-0000'

  it('is sent with everything, and shows in no error that repeats it', async () => {
    const consul = await started()
    consul.grant(secret, allRights)
    const source = watchConsul(consul, { token: secret })
    await source.fresh()
    expect(tokensOf(consul)).toEqual([secret])
    expect(consul.requests.some(({ query }) => String(query).includes(secret))).toBe(false)
    const bad = (body: string) => (_asked: unknown, answer: { status: number; headers: object; body: string }) => ({
      ...answer,
      status: 403,
      headers: { 'Content-Type': 'text/plain' },
      body,
    })
    consul.setTamper(bad(`no such token ${secret}, really ${secret}`))
    consul.cut()
    await eventually(() => expect(source.status().error).toMatch(/no such token \*\*\*, really \*\*\*$/))
    consul.setTamper((_asked, answer) => ({ ...answer, body: `${secret}${answer.body}` }))
    await eventually(() => expect(source.status().error).toMatch(/JSON/))
    expect(JSON.stringify(source.reports)).not.toContain(secret)
    const shown = source.reports.flatMap(({ value }) => [...(value?.partitions.values() ?? [])].map(({ why }) => why))
    expect(shown.some((why) => why?.includes(secret))).toBe(false)
  })

  it('that cannot be sent is an error without it', async () => {
    const source = watchConsul(await started(), { token: `${secret}\nx` })
    await eventually(() => expect(source.status().error).toMatch(/invalid character/i))
    expect(source.status().error).not.toContain(secret)
  })

  /** A token in a file that is replaced, never written into. */
  async function tokenFile(first: string): Promise<{ path: string; replace: (token: string) => Promise<void> }> {
    const path = join(tmpdir(), `hd-token-${process.pid}-${Math.random()}`)
    const replace = async (token: string) => {
      await writeFile(`${path}.new`, token)
      await rename(`${path}.new`, path)
    }
    await replace(first)
    onTestFinished(() => rm(path))
    return { path, replace }
  }

  it('of a file is read again, so that a new one is taken without a restart', async () => {
    const consul = await started()
    for (const token of ['one', 'two']) consul.grant(token, allRights)
    const file = await tokenFile('one\n')
    const source = watchConsul(consul, { tokenFile: file.path, token: 'unused' }, { wait: 100 })
    await source.fresh()
    expect(tokensOf(consul)).toEqual(['one'])
    await file.replace('  two  \n')
    await eventually(() => expect(consul.requests.at(-1)?.token).toBe('two'))
    expect(source.status()).toMatchObject({ state: 'fresh', errors: 0 })
    consul.setTamper((_asked, answer) => ({ ...answer, status: 400, body: 'what is two?' }))
    await eventually(() => expect(source.status().error).toMatch(/\*\*\*|Bad Request/))
    expect(tokensOf(consul)).toEqual(['one', 'two'])
  })

  it('of a file that is not there, or has none, is an error: nothing is asked without it', async () => {
    const consul = await started()
    consul.grant(null, none)
    const absent = watchConsul(consul, { tokenFile: '/nowhere/token' })
    await eventually(() => expect(absent.status().error).toMatch(/^catalog\/nodes: ENOENT.*nowhere/))
    const file = await tokenFile('\n')
    const empty = watchConsul(consul, { watch: 'services', tokenFile: file.path })
    await eventually(() => expect(empty.status().error).toMatch(/^catalog\/services: .*is empty/))
    expect(consul.requests).toEqual([])
    consul.grant('late', allRights)
    await file.replace('late')
    await empty.fresh()
    expect(empty.health()).toEqual({ 'host1/db-1': 'passing', 'host1/shop-1': 'passing' })
  })
})

describe('a datacenter', () => {
  it('is asked for by its name, if one is set', async () => {
    const consul = await started()
    await watchConsul(consul, { datacenter: 'dc1' }).fresh()
    expect(consul.requests.every(({ query }) => query.get('dc') === 'dc1')).toBe(true)
    const other = await started()
    await watchConsul(other).fresh()
    expect(other.requests.some(({ query }) => query.has('dc'))).toBe(false)
    const lost = watchConsul(consul, { datacenter: 'dc2' })
    await eventually(() => expect(lost.status().error).toMatch(/No path to datacenter/))
  })
})

describe('the end', () => {
  it.each(ways)('by %s closes every socket at once, whatever is under way', async (watch) => {
    const consul = await started()
    const source = watchConsul(consul, { watch }, { wait: 60_000 })
    await source.fresh()
    await eventually(() => expect(consul.blocked().length).toBeGreaterThan(1))
    consul.setFault((asked) => asked.index === null)
    consul.register(shop('shop-2'))
    const reports = source.reports.length
    const begun = performance.now()
    await source.stop()
    expect(performance.now() - begun).toBeLessThan(1000)
    await eventually(() => expect(consul.sockets()).toBe(0))
    expect(source.reports.length).toBe(reports)
  })

  it('does not wait for a backoff, a turn, or an agent that hangs', async () => {
    const consul = await started()
    consul.setFault((asked, response) =>
      asked.path === '/catalog/nodes' ? response.writeHead(500).end() !== undefined : true,
    )
    const backingOff = watchConsul(consul, {}, { random: () => 1000 })
    const choosing = watchConsul(consul, { watch: 'auto' }, { random: () => 1000 })
    const hanging = watchConsul(consul, { watch: 'services' }, { margin: 60_000 })
    await eventually(() => expect([backingOff, choosing].map((each) => each.status().errors)).toEqual([1, 1]))
    await eventually(() => expect(consul.asked('/catalog/services')).toHaveLength(1))
    const begun = performance.now()
    await Promise.all([backingOff, choosing, hanging].map((each) => each.stop()))
    expect(performance.now() - begun).toBeLessThan(1000)
    await eventually(() => expect(consul.sockets()).toBe(0))
  })

  it('may come before the beginning', async () => {
    const consul = await started()
    for (const watch of [...ways, 'auto'] as const) await watchConsul(consul, { watch }).stop()
    await eventually(() => expect(consul.sockets()).toBe(0))
  })
})

describe('an agent', () => {
  it('says the name of its node, or nothing that is taken for one', async () => {
    const consul = await fakeConsul()
    let body = '{"Config":{"NodeName":"host7"}}'
    consul.setFault((asked, response) => {
      if (asked.path !== '/agent/self') return false
      return response.writeHead(200, { 'Content-Type': 'application/json' }).end(body) !== undefined
    })
    const name = () => readNodeName(connection(consul), new AbortController().signal)
    expect(await name()).toBe('host7')
    body = '{"Config":{}}'
    expect(await name()).toBeNull()
    consul.setFault(null)
    expect(await name()).toBeNull()
    await eventually(() => expect(consul.sockets()).toBe(0))
  })

  it('can be named without a scheme', async () => {
    const consul = await started()
    const settings = { ...connection(consul), address: consul.address.replace('http://', '') }
    const client = createClient(settings)
    onTestFinished(client.close)
    const how = { index: null, consistent: true }
    const answer = await client.read({ of: 'catalog/nodes' }, how, new AbortController().signal)
    expect(answer).toMatchObject({ kind: 'answered', index: 12n, isFiltered: false, isAnonymous: false })
  })
})
