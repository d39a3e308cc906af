import { describe, expect, it } from 'vitest'
import { type ConsulOptions, startConsul, type TestConsul } from '../support/consul.ts'
import { atEnd, httpServer, request, type TestServer, until, type WorkFolder, workFolder } from '../support/haproxy.ts'
import { heddle, type RunningHeddle, startHeddle, statusOf, writeSettings } from '../support/heddle.ts'

/** heddle on a real Consul, asked through a real HAProxy. */

async function body(folder: WorkFolder, host: string, path = '/'): Promise<string> {
  const reply = await request(folder, { host, path })
  return reply.status === 200 ? (reply.body.split('\n')[0] ?? '') : String(reply.status)
}

async function followed(folder: WorkFolder, host: string, expected: string, path = '/'): Promise<void> {
  let last = ''
  await until(async () => {
    last = await body(folder, host, path).catch(String)
    return last === expected
  }).catch((error: Error) => {
    throw new Error(`${host}${path}: expected ${expected}, got ${last}: ${error.message}`)
  })
}

interface SetUp {
  readonly consul: TestConsul
  readonly folder: WorkFolder
  readonly settings: string
  readonly running: RunningHeddle
}

async function setUp(watch: string, options: ConsulOptions = {}, more = ''): Promise<SetUp> {
  const consul = await startConsul(options)
  atEnd(consul.stop)
  const folder = await workFolder()
  const token = consul.token === null ? '' : `, token: ${consul.token}`
  const settings = await writeSettings(
    folder,
    'spawn',
    `consul: {address: "${consul.address}", watch: ${watch}${token}}\n${more}`,
  )
  const running = await startHeddle(folder, settings)
  return { consul, folder, settings, running }
}

function registration(service: string, id: string, server: TestServer, ...tags: readonly string[]) {
  return { node: `host${id.length}`, id, service, address: server.address, port: server.port, tags, status: 'passing' }
}

async function end({ running }: SetUp): Promise<void> {
  running.signal('SIGTERM')
  expect(await running.ended).toBe(0)
}

describe.each(['nodes', 'services'])('heddle that watches Consul by %s', (watch) => {
  it('serves what is registered, takes out what is sick, moves with it, and lets go of what has left', async () => {
    const [one, two] = [await httpServer({ name: 'one' }), await httpServer({ name: 'two' })]
    const all = await setUp(watch)
    const { consul, folder, running } = all
    await running.ready()
    expect(await body(folder, 'shop.example')).toBe('404')

    await consul.register(registration('shop', 'a', one, 'heddle.route=shop.example', 'heddle.linger=1s'))
    await followed(folder, 'shop.example', 'one')

    await consul.setCheck('host1', 'a', 'critical')
    await followed(folder, 'shop.example', '503')
    await consul.setCheck('host1', 'a', 'passing')
    await followed(folder, 'shop.example', 'one')

    await consul.register(registration('shop', 'a', two, 'heddle.route=shop.example', 'heddle.linger=1s'))
    await followed(folder, 'shop.example', 'two')

    await consul.setMaintenance('host1', 'a', true)
    await until(async () => {
      const { body: routes } = await running.get('/api/v1/routes')
      return JSON.stringify(routes).includes('"state":"drain"')
    })
    await consul.setMaintenance('host1', 'a', false)
    await followed(folder, 'shop.example', 'two')

    await consul.deregister('host1', 'a')
    await followed(folder, 'shop.example', '503')
    await followed(folder, 'shop.example', '404')
    await end(all)
  })

  it('gives a match to the service that asked first, and says so to the other', async () => {
    const [one, two] = [await httpServer({ name: 'one' }), await httpServer({ name: 'two' })]
    const all = await setUp(watch)
    const { consul, folder, running } = all
    await consul.register(registration('zeta', 'a', one, 'heddle.route=shop.example'))
    await followed(folder, 'shop.example', 'one')
    await consul.register(registration('alpha', 'bb', two, 'heddle.route=shop.example', 'heddle.route=alpha.example'))
    await followed(folder, 'alpha.example', 'two')
    expect(await body(folder, 'shop.example')).toBe('one')
    const problems = await running.get('/api/v1/problems')
    expect(problems.body).toMatchObject([{ code: 'conflict', service: 'alpha', subject: 'shop.example/' }])
    await end(all)
  })

  it('serves on while Consul is away, and catches up when it is back', async () => {
    const [one, two] = [await httpServer({ name: 'one' }), await httpServer({ name: 'two' })]
    const all = await setUp(watch)
    const { consul, folder, running } = all
    await consul.register(registration('shop', 'a', one, 'heddle.route=shop.example'))
    await followed(folder, 'shop.example', 'one')
    await running.ready()
    const before = await statusOf(running)
    await consul.kill()
    await until(async () => JSON.stringify((await running.get('/api/v1/status')).body).includes('"state":"stale"'))
    expect(await body(folder, 'shop.example')).toBe('one')
    expect((await running.get('/readyz')).status).toBe(200)
    expect((await statusOf(running)).haproxy.reloads).toEqual(before.haproxy.reloads)
    await consul.restart()
    await consul.register(registration('shop', 'a', two, 'heddle.route=shop.example'))
    await until(async () => (await body(folder, 'shop.example')) === 'two', 20_000)
    await end(all)
  })
})

describe('a hostile catalog', () => {
  it('changes nobody else and adds no line to any file', async () => {
    const web = await httpServer({ name: 'web' })
    const all = await setUp('nodes')
    const { consul, folder, running } = all
    await consul.register(registration('web', 'a', web, 'heddle.route=web.example'))
    await followed(folder, 'web.example', 'web')
    const evil = [
      'host=ok.local }\n  http-request return status 200 content-type text/plain string PWNED if { always_true }\n  #',
      'a } || { always_true',
      '-f /etc/passwd',
      '"${HOME}"',
      '%[env(PATH)]',
      'web.example\nbackend evil',
      'evil.example/\u0000',
    ]
    const tags = evil.flatMap((text) => [`heddle.route=${text}`, `heddle.route=evil.example timeout=${text}`])
    const address = '127.0.0.1 check\n  server evil 10.0.0.1'
    await consul.register({
      node: 'host1',
      id: 'b',
      service: 'we b\nbackend evil',
      address,
      port: 80,
      tags,
      status: 'passing',
    })
    await consul.register({
      node: 'host1',
      id: 'c',
      service: '__proto__',
      address: web.address,
      port: -5,
      tags: ['heddle.route=proto.example'],
    })
    await consul.register(registration('later', 'dd', web, 'heddle.route=later.example'))
    await followed(folder, 'later.example', 'web')
    expect(await body(folder, 'web.example')).toBe('web')
    expect(await body(folder, 'ok.local')).toBe('404')
    expect(await body(folder, 'proto.example')).toBe('503')
    const { stdout } = await heddle(['--config', all.settings, 'render'])
    expect(stdout).not.toMatch(/PWNED|passwd|evil|HOME|always_true/)
    const problems = JSON.stringify((await running.get('/api/v1/problems')).body)
    expect(problems).toContain('bad-host')
    expect(problems).toContain('bad-port')
    await end(all)
  })
})

describe('commands', () => {
  it('ask the running heddle, and the sources where none runs', async () => {
    const web = await httpServer({ name: 'web' })
    const all = await setUp('auto')
    const { consul, folder, running, settings } = all
    await consul.register(registration('web', 'a', web, 'heddle.route=web.example'))
    await followed(folder, 'web.example', 'web')

    const live = await heddle(['--config', settings, 'explain', '--live', '--json', 'http://web.example/x'])
    expect(live.stderr).toContain('running heddle')
    expect(JSON.parse(live.stdout)).toMatchObject({
      answer: 'service',
      service: 'web',
      live: { answers: true, differs: false },
    })
    const asked = await heddle(['--config', settings, 'routes', '--json'])
    const same = await heddle(['--config', settings, 'render', '--diff'])
    expect(same).toMatchObject({ code: 0, stdout: '' })
    await end(all)

    const alone = await heddle(['--config', settings, 'routes', '--json'])
    expect(alone.stderr).toContain(consul.address)
    expect(JSON.parse(alone.stdout)).toEqual(JSON.parse(asked.stdout))
    expect(running.log()).toContain('"msg":"revision runs"')
  })

  it('say so when neither a heddle nor Consul is there', async () => {
    const folder = await workFolder()
    const settings = await writeSettings(folder, 'spawn', 'consul: {address: "http://127.0.0.1:9"}\n')
    const { code, stderr } = await heddle(['--config', settings, 'routes'])
    expect(code).toBe(1)
    expect(stderr).toContain('consul')
  })
})

describe('secrets', () => {
  it('are in no output of any kind', async () => {
    const web = await httpServer({ name: 'web' })
    const all = await setUp('auto', { acl: true })
    const { consul, folder, running, settings } = all
    await consul.register(registration('web', 'a', web, 'heddle.route=web.example'))
    await followed(folder, 'web.example', 'web')
    const token = consul.token ?? ''
    expect(token.length).toBeGreaterThan(10)
    const outputs = [running.log()]
    for (const path of [
      '/',
      '/metrics',
      '/api/v1/status',
      '/api/v1/config',
      '/api/v1/routes',
      '/api/v1/problems',
      '/api/v1/revisions',
    ]) {
      outputs.push(JSON.stringify((await running.get(path)).body))
    }
    for (const args of [['routes'], ['lint'], ['render', '--json'], ['snapshot'], ['explain', 'web.example/']]) {
      const { stdout, stderr } = await heddle(['--config', settings, ...args])
      outputs.push(stdout, stderr)
    }
    for (const output of outputs) expect(output).not.toContain(token)
    await end(all)
  })
})
