import { execFile } from 'node:child_process'
import { readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import { haproxyBin, httpServer, startHaproxy, temporaryFolder, until } from '../support/haproxy.ts'
import { heddle, startHeddle, statusOf } from '../support/heddle.ts'
import { body, entry, followed, setUp, workerPid } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

/** The whole of heddle as people run it, on a snapshot file, with a real HAProxy and real servers. */

describe('heddle with a HAProxy of its own', () => {
  it('serves what the snapshot says, follows it as it changes, and ends HAProxy with itself', async () => {
    const [web, api] = [await httpServer({ name: 'web' }), await httpServer({ name: 'api' })]
    const { folder, settings, file, args } = await setUp('spawn', {
      web: [entry('w1', web, 'heddle.route=shop.example')],
    })
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    expect(await body(folder, 'shop.example')).toBe('web')
    expect(await body(folder, 'other.example')).toBe('404')

    await writeSnapshot(file, {
      web: [entry('w1', web, 'heddle.route=shop.example')],
      api: [entry('a1', api, 'heddle.route=shop.example/api strip')],
    })
    await followed(folder, 'shop.example', 'api', '/api/orders')
    expect(await body(folder, 'shop.example', '/apiary')).toBe('web')
    await until(async () => (await statusOf(running)).revision?.number === 2)
    expect(await statusOf(running)).toMatchObject({ ready: true, haproxy: { error: null, reloads: { success: 0 } } })

    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
    await expect(body(folder, 'shop.example')).rejects.toThrow()
  })

  it('is taken over by the next heddle after kill -9, without a reload when nothing has changed', async () => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, args } = await setUp('spawn', { web: [entry('w1', web, 'heddle.route=shop.example')] })
    const first = await startHeddle(folder, settings, args)
    await first.ready()
    const before = await workerPid(folder)
    first.signal('SIGKILL')
    await first.ended
    expect(await body(folder, 'shop.example')).toBe('web')

    const second = await startHeddle(folder, settings, args)
    await second.ready()
    expect(await workerPid(folder)).toBe(before)
    expect(await statusOf(second)).toMatchObject({ revision: { number: 1 }, haproxy: { reloads: { success: 0 } } })
    second.signal('SIGTERM')
    expect(await second.ended).toBe(0)
  })

  it('begins with the memory that a snapshot carries: who had a match first keeps it', async () => {
    const [older, newer] = [await httpServer({ name: 'older' }), await httpServer({ name: 'newer' })]
    const incumbent = { incumbent: [{ ...entry('i1', newer, 'heddle.route=shop.example'), createIndex: 20 }] }
    const first = await setUp('spawn', incumbent)
    const running = await startHeddle(first.folder, first.settings, first.args)
    await running.ready()
    const { stdout } = await heddle(['--config', first.settings, 'snapshot'])
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)

    const rival = { rival: [{ ...entry('r1', older, 'heddle.route=shop.example'), createIndex: 10 }] }
    const second = await setUp('spawn', {})
    await writeSnapshot(second.file, { ...incumbent, ...rival }, { memory: JSON.parse(stdout).memory })
    const next = await startHeddle(second.folder, second.settings, second.args)
    await next.ready()
    expect(await body(second.folder, 'shop.example')).toBe('newer')
    next.signal('SIGTERM')
    expect(await next.ended).toBe(0)

    const third = await setUp('spawn', { ...incumbent, ...rival })
    const forgetful = await startHeddle(third.folder, third.settings, third.args)
    await forgetful.ready()
    expect(await body(third.folder, 'shop.example')).toBe('older')
    forgetful.signal('SIGTERM')
    expect(await forgetful.ended).toBe(0)
  })

  it('starts it again when it dies', async () => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, args } = await setUp('spawn', { web: [entry('w1', web, 'heddle.route=shop.example')] })
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    process.kill(await workerPid(folder), 'SIGKILL')
    await until(async () => (await body(folder, 'shop.example').catch(() => '')) === 'web', 20_000)
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})

describe('heddle beside a HAProxy that somebody else runs', () => {
  it('prepares the files, waits for it, tells it every change without a reload, and leaves it serving', async () => {
    const [web, other] = [await httpServer({ name: 'web' }), await httpServer({ name: 'other' })]
    const { folder, settings, file, args } = await setUp('attach', {
      web: [entry('w1', web, 'heddle.route=shop.example')],
    })
    const running = await startHeddle(folder, settings, args)
    const current = join(folder.directory, 'current')
    await until(() => readlink(current).catch(() => null))
    expect((await running.get('/readyz')).status).toBe(503)
    expect((await running.get('/livez')).status).toBe(200)

    await startHaproxy(folder)
    await running.ready()
    expect(await body(folder, 'shop.example')).toBe('web')
    const before = await workerPid(folder)
    await writeSnapshot(file, { web: [entry('w2', other, 'heddle.route=shop.example')] })
    await followed(folder, 'shop.example', 'other')
    expect(await workerPid(folder)).toBe(before)

    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
    expect(await body(folder, 'shop.example')).toBe('other')

    const serving = await workerPid(folder)
    const next = await startHeddle(folder, settings, args)
    await next.ready()
    expect(await workerPid(folder)).toBe(serving)
    next.signal('SIGINT')
    expect(await next.ended).toBe(0)
  })

  it('goes on serving what it has when the file breaks, and shows why', async () => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, file, args } = await setUp('spawn', {
      web: [entry('w1', web, 'heddle.route=shop.example')],
    })
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    await writeFile(file, '{ "consul": ')
    const source = await until(async () => {
      const { body: status } = await running.get('/api/v1/status')
      const text = JSON.stringify(status)
      return text.includes('"stale"') ? text : null
    })
    expect(source).toContain('snapshot')
    expect(await body(folder, 'shop.example')).toBe('web')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })

  it('mends what a restarted HAProxy with other files does', async () => {
    const [web, other] = [await httpServer({ name: 'web' }), await httpServer({ name: 'other' })]
    const { folder, settings, file, args } = await setUp('attach', {
      web: [entry('w1', web, 'heddle.route=shop.example')],
    })
    const running = await startHeddle(folder, settings, args)
    await until(() => readlink(join(folder.directory, 'current')).catch(() => null))
    const first = await startHaproxy(folder)
    await running.ready()
    const old = await readlink(join(folder.directory, 'current'))
    await writeSnapshot(file, { web: [entry('w2', other, 'heddle.route=shop.example')] })
    await followed(folder, 'shop.example', 'other')
    await first.stop()
    // somebody puts back what was there before
    await promisify(execFile)('ln', ['-sfn', old, join(folder.directory, 'current')])
    await startHaproxy(folder)
    await followed(folder, 'shop.example', 'other')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})

describe('a change that HAProxy refuses', () => {
  it('leaves the former revision serving and on disk, with the reason shown', async () => {
    const web = await httpServer({ name: 'web' })
    const templates = await temporaryFolder()
    const services = { web: [entry('w1', web, 'heddle.route=shop.example')] }
    const { folder, settings, file, args } = await setUp('spawn', services, `templates: ${templates}\n`)
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    const good = await readlink(join(folder.directory, 'current'))
    const bundled = await readFile(new URL('../../templates/backend.eta', import.meta.url), 'utf8')
    await writeFile(join(templates, 'backend.eta'), `${bundled}  option nonsense\n`)
    const { haproxy } = await until(async () => {
      const status = await statusOf(running)
      return status.haproxy.error === null ? null : status
    })
    expect(haproxy.error).toContain('nonsense')
    expect(await readlink(join(folder.directory, 'current'))).toBe(good)
    expect(await body(folder, 'shop.example')).toBe('web')
    expect((await running.get('/readyz')).status).toBe(200)

    // one that does not place what it has to is not even tried
    await writeFile(join(templates, 'backend.eta'), 'backend <%= it.id %> from routed\n')
    const status = await until(async () => {
      const text = JSON.stringify((await running.get('/api/v1/status')).body)
      return text.includes('it.servers') ? text : null
    })
    expect(status).toMatch(/backend\.eta:\d+/)

    await rm(join(templates, 'backend.eta'))
    await until(async () => (await statusOf(running)).haproxy.error === null)
    await writeSnapshot(file, { web: [entry('w1', web, 'heddle.route=later.example')] })
    await followed(folder, 'later.example', 'web')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})

describe('the directory', () => {
  it('belongs to one heddle: a second one is told who holds it', async () => {
    const { folder, settings, args } = await setUp('spawn', {})
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    const second = await heddle(['--config', settings, 'run', ...args])
    expect(second.code).toBe(2)
    expect(second.stderr).toContain(String(running.pid))
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })

  it('is whole after kill -9 at any moment, and the next start goes on from it', async () => {
    const servers = await Promise.all(['a', 'b', 'c'].map((name) => httpServer({ name })))
    const { folder, settings, file, args } = await setUp('spawn', {})
    let next = 0
    for (let round = 0; round < 6; round++) {
      const running = await startHeddle(folder, settings, args)
      if (round > 0) await running.ready()
      const end = Date.now() + 100 + Math.random() * 400
      while (Date.now() < end) {
        const server = servers[next++ % servers.length]
        if (server !== undefined)
          await writeSnapshot(file, { web: [entry(`w${next}`, server, `heddle.route=r${next % 5}.example`)] })
        await new Promise((resolve) => setTimeout(resolve, Math.random() * 60))
      }
      running.signal('SIGKILL')
      await running.ended
      const check = await promisify(execFile)(haproxyBin, [
        '-c',
        '-f',
        join(folder.directory, 'current', 'haproxy.cfg'),
      ]).then(
        () => true,
        (error) => `${error}`,
      )
      if (round > 0) expect(check).toBe(true)
    }
    await writeSnapshot(file, { web: [entry('last', await httpServer({ name: 'last' }), 'heddle.route=end.example')] })
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    await followed(folder, 'end.example', 'last')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})

describe('settings', () => {
  it('are followed while it runs; a wrong new version is reported and the old one stays', async () => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, args } = await setUp('spawn', { web: [entry('w1', web, 'heddle')] })
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    const text = await readFile(settings, 'utf8')
    await writeFile(settings, `${text}\nexpose: {domain: demo.example}\n`)
    await followed(folder, 'web.demo.example', 'web')
    await writeFile(settings, `${text}\nexpose: {domian: demo.example}\n`)
    const notices = await until(async () => {
      const { body: status } = await running.get('/api/v1/status')
      const text = JSON.stringify(status)
      return text.includes('domian') ? text : null
    })
    expect(notices).toContain('domain')
    expect(await body(folder, 'web.demo.example')).toBe('web')
    await writeFile(settings, `${text}\nexpose: {domain: other.example}\n`)
    running.signal('SIGHUP')
    await followed(folder, 'web.other.example', 'web')
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })

  it('that name a token file which is not there keep it from starting', async () => {
    const { settings, args } = await setUp('spawn', {})
    const finished = await heddle(['--config', settings, '--set', 'status.tokenFile=/nowhere/token', 'run', ...args])
    expect(finished.code).toBe(2)
    expect(finished.stderr).toMatch(/status\.tokenFile: .*\/nowhere\/token/)
  })

  it('that are wrong keep it from starting, all of them at once', async () => {
    const { settings, args } = await setUp('spawn', {}, 'expose: {by: everybody, prefixx: a}\n')
    const finished = await heddle(['--config', settings, 'run', ...args])
    expect(finished.code).toBe(2)
    expect(finished.stderr).toMatch(/expose\.by/)
    expect(finished.stderr).toMatch(/prefixx/)
  })
})
