import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { admitCatalog, emptyCatalog } from '../../src/model/admit.ts'
import type { Health } from '../../src/types.ts'
import { startConsul, type TestConsul } from '../support/consul.ts'
import { type ConsulWatch, watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'

/**
 * What a real Consul tells a token that may not see everything, or less than before: nothing leaves because it is hidden,
 * and all else goes on.
 */

const nodes = 'node_prefix "" { policy = "read" }'
const services = 'service_prefix "" { policy = "read" }'
const service = (name: string, policy = 'read') => `service "${name}" { policy = "${policy}" }`
const host1 = 'node "host1" { policy = "read" }'
const host2 = 'node "host2" { policy = "read" }'
const why = 'the token may see less than before (filtered by ACLs)'

let consul: TestConsul
let token = ''

beforeAll(async () => {
  consul = await startConsul({ acl: true })
})
afterAll(() => consul?.stop())
afterEach(async () => {
  for (const node of ['host1', 'host2', 'host3']) await consul.deregister(node)
})

/** An instance of host1, passing, whose id is the name of its service and a number unless said otherwise. */
const register = (id: string, more: Partial<Parameters<TestConsul['register']>[0]> = {}) =>
  consul.register({
    node: 'host1',
    id,
    service: id.replace(/\d+$/, ''),
    tags: ['heddle'],
    status: 'passing',
    ...more,
  })

/** A query that blocks for the usual minute is woken by nothing that the token may not see. */
async function watching(
  watch: 'nodes' | 'services',
  rules: readonly string[],
  { filter = null, wait = 60_000 }: { readonly filter?: string | null; readonly wait?: number } = {},
): Promise<ConsulWatch> {
  token = await consul.createToken(rules.join('\n'))
  const source = watchConsul(consul, { watch, token, filter }, { wait })
  await source.fresh()
  return source
}

const grant = (...rules: readonly string[]) => consul.changeToken(token, rules.join('\n'))

/** Health of all instances but Consul's own that are admitted by what was reported so far. */
function admitted({ reports }: ConsulWatch): Readonly<Record<string, Health>> {
  let catalog = emptyCatalog
  for (const { value } of reports) if (value !== null) catalog = admitCatalog(catalog, value)
  const all = [...catalog.services.values()].flat()
  return Object.fromEntries(all.filter(({ id }) => id !== 'consul').map(({ id, health }) => [id, health]))
}

const admits = (source: ConsulWatch, wanted: Readonly<Record<string, Health>>) =>
  eventually(() => expect(admitted(source)).toEqual(wanted))

/** Long enough for what is wrong to be seen. */
const aWhile = () => new Promise((resolve) => setTimeout(resolve, 1500))

describe.each(['nodes', 'services'] as const)('by %s', (watch) => {
  it('a service that is hidden from the start stops nothing, and is no doubt', async () => {
    await register('web1')
    await register('web2')
    await register('api1')
    const source = await watching(watch, [nodes, services, 'service_prefix "secret" { policy = "deny" }'])
    await register('secret1')
    await consul.setCheck('host1', 'web1', 'critical')
    await admits(source, { api1: 'passing', web1: 'critical', web2: 'passing' })
    await register('new1')
    await register('api1', { address: '10.2.1.10' })
    await admits(source, { api1: 'passing', new1: 'passing', web1: 'critical', web2: 'passing' })
    const partition = watch === 'nodes' ? 'host1' : 'api'
    const moved = expect.objectContaining({ id: 'api1', address: '10.2.1.10' })
    await eventually(() => expect(source.partition(partition).value).toContainEqual(moved))
    await consul.deregister('host1', 'web2')
    await admits(source, { api1: 'passing', new1: 'passing', web1: 'critical' })
    await consul.deregister('host1', 'web1')
    await admits(source, { api1: 'passing', new1: 'passing' })
    expect(source.reports.every(({ status }) => status.error === null)).toBe(true)
  })

  it('a service that becomes hidden stays, in doubt, and all others go on', async () => {
    await register('web', { service: 'web' })
    await register('api', { service: 'api' })
    await register('blog', { service: 'blog' })
    await register('secret', { service: 'secret' })
    const rules = [nodes, service('api'), service('blog')]
    const source = await watching(watch, [...rules, service('web')])
    expect(admitted(source)).toMatchObject({ api: 'passing', web: 'passing' })
    await grant(...rules)
    await consul.deregister('host1', 'secret')
    const partition = watch === 'nodes' ? 'host1' : 'web'
    await eventually(() => expect(source.partition(partition)).toMatchObject({ evidence: 'doubtful', why }))
    expect(source.status()).toMatchObject({ state: 'doubtful', error: why })
    const started = performance.now()
    await consul.setCheck('host1', 'api', 'critical')
    await admits(source, { api: 'critical', blog: 'passing', web: 'passing' })
    await register('api2', { service: 'api', ...(watch === 'nodes' ? { id: 'api' } : {}), status: 'warning' })
    await eventually(() => expect(Object.values(admitted(source))).toContain('warning'))
    await consul.deregister('host1', 'blog')
    await eventually(() => expect(Object.keys(admitted(source))).not.toContain('blog'))
    expect(performance.now() - started).toBeLessThan(5000)
    expect(admitted(source)).toMatchObject({ web: 'passing' })
    expect(source.status()).toMatchObject({ state: 'doubtful', error: why })
    await grant(...rules, service('web'))
    await source.fresh()
    expect(admitted(source)).toMatchObject({ web: 'passing' })
  })

  it.each([
    ['all services', [nodes]],
    ['all nodes', [service('web'), service('api')]],
    ['everything', ['key_prefix "" { policy = "read" }']],
  ])('%s that become hidden stay, though answers were filtered from the start', async (_case, left) => {
    await register('web', { service: 'web' })
    await register('api', { service: 'api' })
    await register('secret', { service: 'secret' })
    const all = [nodes, service('web'), service('api')]
    const source = await watching(watch, all, { wait: 1000 })
    await grant(...left)
    await consul.setCheck('host1', 'web', 'warning')
    await consul.setCheck('host1', 'api', 'warning')
    await register('secret', { service: 'secret', port: 81 })
    await eventually(() => expect(source.status().state).not.toBe('fresh'))
    await aWhile()
    expect(Object.keys(admitted(source))).toEqual(['api', 'web'])
    expect(source.status().error).not.toBeNull()
    await grant(...all)
    await source.fresh()
    expect(admitted(source)).toEqual({ api: 'warning', web: 'warning' })
    expect(source.names()).toEqual(watch === 'nodes' ? ['host1', 'server'] : ['api', 'web'])
  })

  it('what is gone is gone, though answers are filtered, and nothing else is left', async () => {
    await register('web', { service: 'web' })
    await register('secret', { service: 'secret' })
    const source = await watching(watch, [nodes, service('web')])
    await consul.deregister('host1', 'web')
    await admits(source, {})
    await source.fresh()
    expect(source.reports.every(({ status }) => status.error === null)).toBe(true)
  })

  it('what has left a node that the token may see is gone, though it may see no others', async () => {
    await register('web1')
    await register('web2')
    await register('web3', { node: 'host2' })
    await register('web5', { node: 'host3' })
    const source = await watching(watch, [host1, host2, services])
    expect(admitted(source)).toEqual({ web1: 'passing', web2: 'passing', web3: 'passing' })
    await consul.deregister('host1', 'web1')
    await admits(source, { web2: 'passing', web3: 'passing' })
    // the last that the token may see on its node, then the node, then the last of its service
    await consul.deregister('host1', 'web2')
    await admits(source, { web3: 'passing' })
    await consul.deregister('host1')
    await consul.deregister('host2', 'web3')
    await admits(source, {})
    await source.fresh()
    await register('web4')
    await admits(source, { web4: 'passing' })
    expect(source.reports.every(({ status }) => status.state !== 'doubtful')).toBe(true)
  })

  it('what is on a node that becomes hidden stays, until the token may see that it has gone', async () => {
    await register('web1')
    await register('web2', { node: 'host2' })
    await register('web3', { node: 'host3' })
    const source = await watching(watch, [host1, host2, services], { wait: 1000 })
    await grant(host1, services)
    await consul.setCheck('host1', 'web1', 'warning')
    await consul.setCheck('host2', 'web2', 'critical')
    await consul.deregister('host3')
    await eventually(() => expect(source.status().state).not.toBe('fresh'))
    await aWhile()
    await admits(source, { web1: 'warning', web2: 'passing' })
    await grant(host1, host2, services)
    await admits(source, { web1: 'warning', web2: 'critical' })
    await source.fresh()
    await grant(host1, services)
    await consul.deregister('host2')
    await admits(source, { web1: 'warning' })
  })
})

describe('by nodes, where rights go by the id,', () => {
  it('an instance whose id becomes hidden is followed on, as its service is not', async () => {
    await register('host1:web:80', { service: 'web' })
    await register('api1')
    const source = await watching('nodes', [nodes, services])
    await grant(nodes, services, 'service_prefix "host1" { policy = "deny" }')
    await consul.setCheck('host1', 'host1:web:80', 'critical')
    await admits(source, { api1: 'passing', 'host1:web:80': 'critical' })
    await consul.setCheck('host1', 'host1:web:80', 'warning')
    await admits(source, { api1: 'passing', 'host1:web:80': 'warning' })
    expect(source.status()).toMatchObject({ state: 'fresh' })
    await consul.deregister('host1', 'host1:web:80')
    await admits(source, { api1: 'passing' })
  })

  it('also with an expression that chooses, and that takes out what it does not choose any more', async () => {
    await register('host1:web:80', { service: 'web' })
    await register('api1')
    await register('secret')
    const rules = [nodes, services, service('secret', 'deny')]
    const source = await watching('nodes', rules, { filter: '"heddle" in Tags' })
    await register('api1', { tags: [] })
    await admits(source, { 'host1:web:80': 'passing' })
    await register('api1')
    await admits(source, { api1: 'passing', 'host1:web:80': 'passing' })
    await grant(...rules, 'service_prefix "host1" { policy = "deny" }')
    await consul.setCheck('host1', 'host1:web:80', 'critical')
    await admits(source, { api1: 'passing', 'host1:web:80': 'critical' })
  })

  it('an instance whose checks become hidden does not pass for it', async () => {
    await register('host1:web:80', { service: 'web', status: 'critical' })
    await register('api1')
    const source = await watching('nodes', [nodes, services])
    await grant(nodes, services, service('web', 'deny'))
    await consul.setCheck('host1', 'api1', 'warning')
    await admits(source, { api1: 'warning', 'host1:web:80': 'critical' })
    expect(source.partition('host1')).toMatchObject({ evidence: 'doubtful', why })
    await consul.setCheck('host1', 'api1', 'passing')
    await admits(source, { api1: 'passing', 'host1:web:80': 'critical' })
    expect(source.healthsOf('host1/host1:web:80')).toEqual(['critical'])
    await grant(nodes, services)
    await source.fresh()
  })
})
