import { mkdir, readdir, readFile, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { byDialect } from '../support/dialect.ts'
import { haproxyBin, httpServer, startHaproxy, temporaryFolder, until, type WorkFolder } from '../support/haproxy.ts'
import { type RunningHeddle, startHeddle, statusOf } from '../support/heddle.ts'
import { body, entry, followed, setUp, workerPid } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

/** What a person or a machine does to HAProxy, and what becomes of traffic, files and heddle itself. */

/** Turns of the loop so far. */
async function turnsOf(running: RunningHeddle): Promise<number> {
  const text = String((await running.get('/metrics')).body)
  const counts = [...text.matchAll(/^heddle_turns_total\{[^}]*\} (\d+)$/gm)].map(([, count]) => Number(count))
  return counts.reduce((sum, count) => sum + count, 0)
}

/** Turns a second, over two of them. */
async function turnRate(running: RunningHeddle): Promise<number> {
  const [from, before] = [performance.now(), await turnsOf(running)]
  await new Promise((resolve) => setTimeout(resolve, 2_000))
  return ((await turnsOf(running)) - before) / ((performance.now() - from) / 1000)
}

async function endsInTime(running: RunningHeddle): Promise<void> {
  const from = performance.now()
  running.signal('SIGTERM')
  expect(await running.ended).toBe(0)
  expect(performance.now() - from).toBeLessThan(5_000)
}

const current = (folder: WorkFolder) => readlink(join(folder.directory, 'current'))

/** What `haproxy/start` puts there before heddle has written anything. */
async function installBootstrap(folder: WorkFolder): Promise<void> {
  const bootstrap = join(folder.directory, 'revisions', 'bootstrap')
  await mkdir(folder.directory, { mode: 0o2750 })
  await mkdir(join(folder.directory, 'revisions'), { mode: 0o2750 })
  await mkdir(bootstrap)
  const text = `
global
  description bootstrap
  default-path config
  stats socket ${folder.statsSocket} mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout client 10s
  timeout server 10s
frontend :http
  bind ${folder.address}:${folder.port}
  http-request return status 503 content-type text/plain string "no configuration yet"
`
  await writeFile(join(bootstrap, 'haproxy.cfg'), text)
  await symlink('revisions/bootstrap', join(folder.directory, 'current'))
}

describe('an attached HAProxy that is not there', () => {
  it('is waited for without haste, and told in the status', async () => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, args } = await setUp('attach', { web: [entry('w1', web, 'heddle.route=shop.example')] })
    const running = await startHeddle(folder, settings, args)
    await until(() => current(folder).catch(() => null))
    expect(await turnRate(running)).toBeLessThan(10)
    expect(await statusOf(running)).toMatchObject({
      ready: false,
      reason: expect.stringContaining('there is no socket'),
    })
    await endsInTime(running)
  })
})

describe('a master that does not answer while its worker serves', () => {
  it('keeps the last revision serving and ready, shows why, and is tried again without haste', async () => {
    const [web, other] = [await httpServer({ name: 'web' }), await httpServer({ name: 'other' })]
    const { folder, settings, file, args } = await setUp('attach', {
      web: [entry('w1', web, 'heddle.route=shop.example')],
    })
    const running = await startHeddle(folder, settings, args)
    await until(() => current(folder).catch(() => null))
    await startHaproxy(folder)
    await running.ready()
    const good = await current(folder)
    await rename(folder.masterSocket, `${folder.masterSocket}.away`)

    // what no spare section has
    await writeSnapshot(file, {
      web: [entry('w1', web, 'heddle.route=shop.example')],
      other: [entry('o1', other, 'heddle.route=other.example', 'heddle.balance=leastconn')],
    })
    await until(async () => (await statusOf(running)).haproxy.error !== null)
    expect(await turnRate(running)).toBeLessThan(10)
    expect(await statusOf(running)).toMatchObject({
      ready: true,
      haproxy: { error: expect.stringContaining('m.sock') },
    })
    expect(await current(folder)).toBe(good)
    expect(await body(folder, 'shop.example')).toBe('web')

    await rename(`${folder.masterSocket}.away`, folder.masterSocket)
    await followed(folder, 'other.example', 'other')
    await endsInTime(running)
  })
})

describe('a HAProxy that hangs', () => {
  it('holds nobody up who wants to end heddle, and is served again when it goes on', async () => {
    const [web, other] = [await httpServer({ name: 'web' }), await httpServer({ name: 'other' })]
    const { folder, settings, file, args } = await setUp('attach', {
      web: [entry('w1', web, 'heddle.route=shop.example')],
    })
    const running = await startHeddle(folder, settings, args)
    await until(() => current(folder).catch(() => null))
    const haproxy = await startHaproxy(folder)
    await running.ready()
    const worker = await workerPid(folder)
    for (const pid of [haproxy.pid, worker]) process.kill(pid, 'SIGSTOP')
    await writeSnapshot(file, { web: [entry('w2', other, 'heddle.route=shop.example')] })
    await until(async () => !(await statusOf(running)).ready)
    await endsInTime(running)

    for (const pid of [haproxy.pid, worker]) process.kill(pid, 'SIGCONT')
    const next = await startHeddle(folder, settings, args)
    await followed(folder, 'shop.example', 'other')
    await endsInTime(next)
  })
})

describe('a first revision that is to listen where somebody else does', () => {
  it('is not tried, since that would pause what serves, and leaves what ran before on disk', async () => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, args } = await setUp('attach', { web: [entry('w1', web, 'heddle.route=shop.example')] })
    await installBootstrap(folder)
    await startHaproxy(folder)
    // its statistics are to listen where somebody else does: `haproxy -c` finds nothing wrong with that
    const [, port = ''] = /statsBind: "[^"]*:(\d+)"/.exec(await readFile(settings, 'utf8')) ?? []
    const squatter = await httpServer({ address: folder.address, port: Number(port) })
    const running = await startHeddle(folder, settings, args)
    await until(() => running.get('/livez').catch(() => null))
    await until(async () => (await statusOf(running)).haproxy.error?.includes('another program listens'), 20_000)
    expect((await statusOf(running)).haproxy).toMatchObject({ reloads: { success: 0, failure: 0 } })
    expect(await current(folder)).toBe('revisions/bootstrap')
    expect(await body(folder, 'shop.example')).toBe('503')

    await squatter.close()
    await followed(folder, 'shop.example', 'web')
    expect(await current(folder)).not.toBe('revisions/bootstrap')
    await endsInTime(running)
  })
})

describe('a revision that HAProxy can not start', () => {
  it('leaves what ran before serving and on disk, be it only the bootstrap, and is not tried at every change', async () => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, file, args } = await setUp('attach', {
      web: [entry('w1', web, 'heddle.route=shop.example')],
    })
    await installBootstrap(folder)
    await startHaproxy(folder)
    // no address of this machine: neither haproxy -c nor a look at who listens finds that out
    await writeFile(
      settings,
      (await readFile(settings, 'utf8')).replace(/statsBind: "[^"]*"/, 'statsBind: "203.0.113.9:8404"'),
    )
    const running = await startHeddle(folder, settings, args)
    await until(() => running.get('/livez').catch(() => null))
    const words =
      /refused to load it: [\s\S]*cannot bind socket \(Cannot assign requested address\) for \[203\.0\.113\.9:8404\]/
    const failure = byDialect({ '2.6': /could not start it/, '3.0': words, '3.2': words })
    await until(async () => failure.test((await statusOf(running)).haproxy.error ?? ''), 20_000)
    expect(await current(folder)).toBe('revisions/bootstrap')
    for (const host of ['one.example', 'two.example', 'three.example']) {
      await writeSnapshot(file, { web: [entry('w1', web, `heddle.route=${host}`)] })
      await until(async () => JSON.stringify((await running.get('/api/v1/routes')).body).includes(host))
    }
    expect((await statusOf(running)).haproxy).toMatchObject({ reloads: { success: 0, failure: 1 } })
    expect(await body(folder, 'shop.example')).toBe('503')
    await endsInTime(running)
  })
})

describe('a worker whose stats socket is gone', () => {
  it.each(['spawn', 'attach'] as const)('is followed by way of its master (%s)', async (kind) => {
    const web = await httpServer({ name: 'web' })
    const { folder, settings, file, args } = await setUp(kind, { web: [entry('w1', web, 'heddle.route=shop.example')] })
    const running = await startHeddle(folder, settings, args)
    if (kind === 'attach') {
      await until(() => current(folder).catch(() => null))
      await startHaproxy(folder)
    }
    await running.ready()
    await rm(folder.statsSocket)
    expect(await turnRate(running)).toBeLessThan(10)
    expect((await statusOf(running)).ready).toBe(true)
    await writeSnapshot(file, { web: [entry('w1', web, 'heddle.route=new.example')] })
    await followed(folder, 'new.example', 'web')
    await running.ready()
    await writeSnapshot(file, { web: [{ ...entry('w1', web, 'heddle.route=new.example'), status: 'critical' }] })
    await followed(folder, 'new.example', '503')
    await endsInTime(running)
  })
})

describe('a server that turns critical while a revision is brought in', () => {
  it('gets no request any more, however long that takes', async () => {
    const [one, two] = [await httpServer({ name: 'one' }), await httpServer({ name: 'two' })]
    const route = 'heddle.route=shop.example'
    const before = { web: [entry('w1', one, route), entry('w2', two, route)] }
    const { folder, settings, file, args } = await setUp('attach', before)
    // a HAProxy with many maps and certificates takes its time to prove a configuration
    const [slow, held] = [join(dirname(folder.directory), 'haproxy'), join(dirname(folder.directory), 'held')]
    await writeFile(
      slow,
      `#!/bin/sh\nwhile [ "$1" = -c ] && [ -e ${held} ]; do sleep 0.02; done\nexec ${haproxyBin} "$@"\n`,
      { mode: 0o755 },
    )
    await writeFile(settings, (await readFile(settings, 'utf8')).replace(/^ {2}bin: .*$/m, `  bin: ${slow}`))
    const running = await startHeddle(folder, settings, args)
    await until(() => current(folder).catch(() => null))
    await startHaproxy(folder)
    await running.ready()

    const isServedByTwo = async () => {
      const answers = [await body(folder, 'shop.example'), await body(folder, 'shop.example')]
      return answers.every((answer) => answer === 'two')
    }
    await writeFile(held, '')
    // what no spare section has
    const shops = { ...before, shops: [entry('s1', one, 'heddle.route=other.example', 'heddle.balance=leastconn')] }
    await writeSnapshot(file, shops)
    await until(async () => (await readdir(join(folder.directory, 'revisions'))).length > 1)
    await writeSnapshot(file, {
      ...shops,
      web: [{ ...entry('w1', one, route), status: 'critical' }, entry('w2', two, route)],
    })
    await until(isServedByTwo)
    for (let count = 0; count < 6; count++) expect(await body(folder, 'shop.example')).toBe('two')
    expect(await body(folder, 'other.example')).toBe('404')

    await rm(held)
    await followed(folder, 'other.example', 'one')
    // the new worker began with what was proved, and is told
    await until(isServedByTwo)
    for (let count = 0; count < 6; count++) expect(await body(folder, 'shop.example')).toBe('two')
    await endsInTime(running)
  })
})

describe('a heddle that is ended while HAProxy loads', () => {
  it('has on record what runs, and the next one knows it', async () => {
    const web = await httpServer({ name: 'web' })
    const services = (host: string) => ({ web: [entry('w1', web, `heddle.route=${host}`)] })
    const { folder, settings, file, args } = await setUp('attach', services('r0.example'))
    let running = await startHeddle(folder, settings, args)
    await until(() => current(folder).catch(() => null))
    await startHaproxy(folder)
    await running.ready()
    for (const round of [1, 2, 3]) {
      const before = await current(folder)
      await writeSnapshot(file, services(`r${round}.example`))
      await until(async () => (await current(folder)) !== before)
      await endsInTime(running)
      await followed(folder, `r${round}.example`, 'web')
      // with nothing to decide from, only the record can tell that it was proved
      running = await startHeddle(folder, settings, ['--snapshot', `${file}.absent`])
      await running.ready()
      await endsInTime(running)
      running = await startHeddle(folder, settings, args)
      await running.ready()
    }
    await endsInTime(running)
  })
})

describe('a template that fails on what is wanted', () => {
  it('keeps the former files with the model they were made from, and tells what changed when it is mended', async () => {
    const web = await httpServer({ name: 'web' })
    const templates = await temporaryFolder()
    const services = { web: [entry('w1', web, 'heddle.route=shop.example')] }
    const { folder, settings, file, args } = await setUp('spawn', services, `templates: ${templates}\n`)
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    const bundled = await readFile(new URL('../../templates/backend.eta', import.meta.url), 'utf8')
    await writeFile(
      join(templates, 'backend.eta'),
      `<% if (it.id === 'api') throw new Error('not this one') -%>\n${bundled}`,
    )
    await writeSnapshot(file, { ...services, api: [entry('a1', web, 'heddle.route=api.example')] })
    await until(async () => (await statusOf(running)).haproxy.error?.includes('not this one'))
    expect((await running.get('/api/v1/status')).body).toMatchObject({ ready: true })
    expect(await body(folder, 'shop.example')).toBe('web')

    await rm(join(templates, 'backend.eta'))
    await followed(folder, 'api.example', 'web')
    await until(async () => (await statusOf(running)).haproxy.error === null)
    await until(async () => {
      const number = (await statusOf(running)).revision?.number
      const { body: diff } = await running.get(`/api/v1/revisions/${number}/diff`)
      return JSON.stringify(diff).includes('"added":["api.example/ -> api"]')
    })
    await endsInTime(running)
  })
})
