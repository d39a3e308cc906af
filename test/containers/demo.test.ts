import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { startConsul, type TestConsul } from '../support/consul.ts'
import { atEnd, ownAddress, until, workFolder } from '../support/haproxy.ts'
import { startHeddle, writeSettings } from '../support/heddle.ts'
import { finishedAs, repository, type Started, startAs } from '../support/images.ts'
import { freePort } from '../support/ports.ts'
import { body } from '../support/site.ts'

/** The containers of docker-compose.yml, without an engine: demo/container.mjs beside a real Consul. */

const script = join(repository, 'demo', 'container.mjs')

async function consulAgent(): Promise<TestConsul> {
  const consul = await startConsul()
  atEnd(consul.stop)
  return consul
}

interface Container extends Started {
  /** What it answers first. */
  readonly name: string
}

async function container(
  consul: TestConsul,
  address: string,
  env: Readonly<Record<string, string>>,
): Promise<Container> {
  const port = await freePort(address)
  const started = startAs(null, [process.execPath, script], {
    CONSUL_HTTP_ADDR: consul.address,
    PORT: String(port),
    ...env,
  })
  await until(() => started.output().includes('is registered'))
  return { ...started, name: `${env['SERVICE']} at ${address}:${port}` }
}

/** Addresses of instances whose checks all pass. */
async function passing(consul: TestConsul, service: string): Promise<readonly string[]> {
  const found = await consul.request('GET', `/health/service/${service}?passing=1`)
  const rows: readonly { Service: { Address: string; Port: number } }[] = Array.isArray(found) ? found : []
  return rows.map(({ Service }) => `${service} at ${Service.Address}:${Service.Port}`).sort()
}

describe('a container of the demo', () => {
  it('registers with its weave address, is checked, served, and leaves when it is told to end', async () => {
    const consul = await consulAgent()
    const folder = await workFolder()
    const settings = await writeSettings(folder, 'spawn', `consul: {address: "${consul.address}"}`)
    const running = await startHeddle(folder, settings)
    const env = { SERVICE: 'api', TAGS: 'heddle.route=shop.example/api strip\nblue' }
    // one that finds its address, and one that is told
    const one = await container(consul, '127.0.0.1', { ...env, WEAVE_CIDR: '127.0.0.0/8' })
    const address = ownAddress()
    const two = await container(consul, address, { ...env, ADDRESS: address })
    expect(await passing(consul, 'api')).toEqual([one.name, two.name].sort())
    const checks = await consul.request('GET', '/health/checks/api')
    expect(checks).toMatchObject([{ ServiceTags: ['heddle.route=shop.example/api strip', 'blue'] }, {}])
    // what the agent itself has asked; the catalog hears of it later
    await until(async () => JSON.stringify(await consul.request('GET', '/agent/checks')).match(/200 OK.*200 OK/))

    await running.ready()
    const seen = new Set<string>()
    await until(async () => {
      seen.add((await body(folder, 'shop.example', '/api/x')).replace(/ \(.*/, ''))
      return seen.has(one.name) && seen.has(two.name)
    })
    expect([...seen].filter((name) => name.startsWith('api')).sort()).toEqual([one.name, two.name].sort())

    one.signal('SIGTERM')
    expect(await one.ended).toBe(0)
    expect(one.output()).toContain('is deregistered')
    expect(await passing(consul, 'api')).toEqual([two.name])
    expect(await body(folder, 'shop.example', '/api')).toContain(two.name)
  })

  it('comes back into a Consul that has forgotten it, and is routed again', async () => {
    const consul = await consulAgent()
    const folder = await workFolder()
    const settings = await writeSettings(folder, 'spawn', `consul: {address: "${consul.address}"}`)
    const running = await startHeddle(folder, settings)
    const address = ownAddress()
    const shop = await container(consul, address, {
      SERVICE: 'shop',
      TAGS: 'heddle.route=shop.example',
      ADDRESS: address,
    })
    await running.ready()
    await until(async () => (await body(folder, 'shop.example')).startsWith(shop.name))
    await consul.restart({ wipe: true })
    await until(async () => (await passing(consul, 'shop')).includes(shop.name))
    await until(async () => (await body(folder, 'shop.example')).startsWith(shop.name))
  })

  it('says so and ends where it has no weave address', async () => {
    const { code, output } = await finishedAs(null, process.execPath, [script], { WEAVE_CIDR: '198.51.100.0/24' })
    expect(code).toBe(1)
    expect(output).toContain('no address in 198.51.100.0/24')
  })
})
