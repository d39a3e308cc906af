import { describe, expect, it } from 'vitest'
import { startConsul } from '../support/consul.ts'
import { idOf } from '../support/containers.ts'
import { type FakeDocker, fakeDocker } from '../support/fake-docker.ts'
import { fakeWeave } from '../support/fake-weave.ts'
import {
  atEnd,
  httpServer,
  ownAddress,
  request,
  type TestServer,
  until,
  type WorkFolder,
  workFolder,
} from '../support/haproxy.ts'
import { type RunningHeddle, startHeddle, writeSettings } from '../support/heddle.ts'

/** Where containers really are: a real Consul and HAProxy, with engines and a router that answer as recorded ones do. */

const port = 8080
const web = idOf('aa11')
const thief = idOf('bb22')

async function body(folder: WorkFolder, host: string): Promise<string> {
  const reply = await request(folder, { host })
  return reply.status === 200 ? (reply.body.split('\n')[0] ?? '') : String(reply.status)
}

async function followed(folder: WorkFolder, host: string, expected: string): Promise<void> {
  let last = ''
  const isThere = async () => {
    last = await body(folder, host).catch(String)
    return last === expected
  }
  await until(isThere, 15_000).catch((error: Error) => {
    throw new Error(`${host}: expected ${expected}, got ${last}: ${error.message}`)
  })
}

async function setUp(weave: (docker: FakeDocker) => string, args: readonly string[] = []) {
  const consul = await startConsul()
  atEnd(consul.stop)
  const docker = await fakeDocker()
  atEnd(docker.close)
  const folder = await workFolder()
  const settings = await writeSettings(folder, 'spawn', `consul: {address: "${consul.address}"}\n`, weave(docker))
  const running = await startHeddle(folder, settings, args)
  await running.ready()
  return { consul, docker, folder, running }
}

async function sourceOf(running: RunningHeddle): Promise<string> {
  return JSON.stringify((await running.get('/api/v1/routes')).body)
}

/** As registrator registers without -internal: the host's address and port, the container's name in the id. */
function published(name: string, route: string) {
  const id = `host1:${name}:${port}`
  return {
    node: 'host1',
    id,
    service: name,
    address: '192.0.2.1',
    port: 31_000,
    tags: [`heddle.route=${route}`],
    status: 'passing',
  }
}

describe('containers of a Docker engine', () => {
  it('are found by their names, out at once when they die, and followed to another address', async () => {
    const [first, second] = [await httpServer({ name: 'first', port }), await httpServer({ name: 'second', port })]
    const { consul, docker, folder, running } = await setUp((engine) => `docker: {host1: "${engine.url}"}`)
    docker.set(web, { name: 'web', address: first.address })
    docker.emit('start', web)
    await consul.register(published('web', 'web.example'))
    await followed(folder, 'web.example', 'first')
    expect(await sourceOf(running)).toContain('"source":"docker"')

    docker.set(web, { name: 'web', running: false })
    docker.emit('die', web)
    await followed(folder, 'web.example', '503')

    docker.set(web, { name: 'web', address: second.address, startedAt: '2026-01-02T10:00:00Z' })
    docker.emit('start', web)
    await followed(folder, 'web.example', 'second')

    docker.setFault((_request, response) => {
      response.statusCode = 500
      response.end('no')
      return true
    })
    docker.cut()
    await until(async () => JSON.stringify((await running.get('/api/v1/status')).body).includes('"state":"stale"'))
    expect(await body(folder, 'web.example')).toBe('second')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
    expect(docker.requests.every((line) => /^GET \/(events|containers\/)/.test(line))).toBe(true)
  })

  it('never get requests for a service whose address they were given', async () => {
    const shared = await httpServer({ name: 'one address', port })
    const { consul, docker, folder, running } = await setUp((engine) => `docker: {host1: "${engine.url}"}`)
    docker.set(web, { name: 'web', address: shared.address })
    docker.emit('start', web)
    const tags = ['heddle.route=web.example']
    const known = {
      node: 'host1',
      id: `host1:web:${port}`,
      service: 'web',
      address: shared.address,
      port,
      tags,
      status: 'passing',
    }
    await consul.register(known)
    await followed(folder, 'web.example', 'one address')

    docker.set(web, { name: 'web', running: false })
    docker.emit('die', web)
    docker.set(thief, { name: 'thief', address: shared.address })
    docker.emit('start', thief)
    await consul.register({
      ...known,
      id: `host1:thief:${port}`,
      service: 'thief',
      tags: ['heddle.route=thief.example'],
    })
    await followed(folder, 'thief.example', 'one address')
    expect(await body(folder, 'web.example')).toBe('503')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})

describe('while a reload is far away', () => {
  /** One reload, when all that is registered at first has been seen; none after it. */
  const once = ['--set', 'apply.reloadEvery=1h', '--set', 'apply.settle=1s/5s']

  it('nobody reaches a container that died, nor the one that has its address now', async () => {
    const shared = await httpServer({ name: 'web', port })
    const { consul, docker, folder, running } = await setUp((engine) => `docker: {host1: "${engine.url}"}`, once)
    docker.set(web, { name: 'web', address: shared.address })
    docker.emit('start', web)
    const id = `host1:web:${port}`
    const tags = ['heddle.route=web.example']
    await consul.register({ node: 'host1', id, service: 'web', address: shared.address, port, tags, status: 'passing' })
    await followed(folder, 'web.example', 'web')

    docker.set(web, { name: 'web', running: false })
    docker.emit('die', web)
    await shared.close()
    await followed(folder, 'web.example', '503')
    await httpServer({ name: 'thief', address: shared.address, port })
    docker.set(thief, { name: 'thief', address: shared.address })
    docker.emit('start', thief)
    for (let count = 0; count < 20; count++) expect(await body(folder, 'web.example')).toBe('503')
    expect(running.log()).not.toContain('HAProxy is not as it was left')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })

  it('a critical instance gets no request, and gets some again when it has recovered', async () => {
    const [one, two] = [await httpServer({ name: 'one', port }), await httpServer({ name: 'two', port })]
    const { consul, folder, running } = await setUp(() => 'docker: {}', once)
    const register = (id: string, server: TestServer, status: 'passing' | 'critical') =>
      consul.register({
        ...{ node: 'host1', id, service: 'web', address: server.address, port, status },
        tags: ['heddle.route=web.example'],
      })
    await Promise.all([register('one', one, 'passing'), register('two', two, 'passing')])
    const answers = async () =>
      new Set(await Promise.all([1, 2, 3, 4].map(() => body(folder, 'web.example').catch(String))))
    await until(async () => (await answers()).size === 2, 15_000)
    await register('two', two, 'critical')
    await until(async () => [...(await answers())].join() === 'one')
    await register('two', two, 'passing')
    await until(async () => (await answers()).size === 2)
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})

describe('containers of a weave router', () => {
  it('are found by their names in its report', async () => {
    const server = await httpServer({ name: 'woven', port })
    const report = {
      Router: { Peers: [{ Name: '0a:00:00:00:00:01', NickName: 'host1', Connections: [] }] },
      DNS: {
        Domain: 'weave.local.',
        Entries: [
          {
            Hostname: 'web.weave.local.',
            Origin: '0a:00:00:00:00:01',
            ContainerID: web,
            Address: server.address,
            Tombstone: 0,
          },
          {
            Hostname: 'web.weave.local.',
            Origin: '0a:00:00:00:00:01',
            ContainerID: thief,
            Address: ownAddress(),
            Tombstone: 5,
          },
        ],
      },
    }
    const router = await fakeWeave({ report })
    atEnd(router.close)
    const { consul, folder, running } = await setUp(() => `docker: {}, router: "${router.url}"`)
    await consul.register(published('web', 'web.example'))
    await followed(folder, 'web.example', 'woven')
    expect(await sourceOf(running)).toContain('"source":"weave-report"')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})
