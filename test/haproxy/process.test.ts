import { spawn } from 'node:child_process'
import { chmod, copyFile, mkdir, open, readFile, readlink, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { revisionStore } from '../../src/haproxy/files.ts'
import { workers } from '../../src/haproxy/master.ts'
import { observeIdentity } from '../../src/haproxy/observe.ts'
import { type HaproxyProcess, haproxyProcess, type ProcessOptions } from '../../src/haproxy/process.ts'
import {
  atEnd,
  haproxyBin,
  httpServer,
  install,
  killGroup,
  minimalCandidate,
  request,
  startHaproxy,
  until,
  type WorkFolder,
  workFolder,
} from '../support/haproxy.ts'
import { freePort } from '../support/ports.ts'
import { unixServer } from '../support/unix-server.ts'

/** A spawning process; what it starts is killed at the end, and writes to a file. */
async function spawner(folder: WorkFolder, more: Partial<ProcessOptions> = {}): Promise<HaproxyProcess> {
  const log = await open(join(dirname(folder.directory), 'log'), 'a')
  atEnd(() => log.close())
  const owned = haproxyProcess({ kind: 'spawn', bin: haproxyBin, output: log.fd, ...folder, ...more })
  atEnd(() => owned.stop({ within: 0 }))
  return owned
}

async function installedFolder(): Promise<WorkFolder> {
  const folder = await workFolder()
  await install(folder, minimalCandidate(folder))
  return folder
}

async function up(owned: HaproxyProcess): Promise<number> {
  const result = await owned.ensure()
  if (result.kind === 'down') throw new Error(result.why)
  return result.pid
}

const isGone = (pid: number) =>
  readFile(`/proc/${pid}/cmdline`, 'utf8').then(
    (text) => text === '',
    () => true,
  )

describe('an attached HAProxy', () => {
  it('is found when it runs, and never started or stopped', async () => {
    const folder = await installedFolder()
    const attached = haproxyProcess({ kind: 'attach', bin: haproxyBin, ...folder })
    expect(await attached.ensure()).toMatchObject({ kind: 'down', why: expect.stringContaining(folder.masterSocket) })
    const haproxy = await startHaproxy(folder)
    expect(await attached.ensure()).toEqual({
      kind: 'up',
      pid: haproxy.pid,
      version: expect.stringMatching(/^\d/),
      how: 'found',
    })
    await attached.stop({ within: 0 })
    expect(await attached.ensure()).toMatchObject({ kind: 'up' })
  })
})

describe('a spawned HAProxy', () => {
  it('is started once and found from then on', async () => {
    const folder = await installedFolder()
    const owned = await spawner(folder)
    const started = await owned.ensure()
    expect(started).toMatchObject({ kind: 'up', how: 'started' })
    expect((await request(folder)).status).toBe(404)
    expect(await owned.ensure()).toEqual({ ...started, how: 'found' })
    expect((await stat(folder.masterSocket)).mode & 0o777).toBe(0o600)
  })

  it('sees nothing of our environment', async () => {
    const folder = await installedFolder()
    const pid = await up(await spawner(folder))
    expect(await readFile(`/proc/${pid}/environ`, 'utf8')).not.toMatch(/HOME=|NODE_|VITEST/)
  })

  it('is started anew when it was killed', async () => {
    const folder = await installedFolder()
    const owned = await spawner(folder)
    const first = await up(owned)
    process.kill(first, 'SIGKILL')
    const second = await up(owned)
    expect(second).not.toBe(first)
    expect((await request(folder)).status).toBe(404)
  })

  it('is started over a socket that was left behind', async () => {
    const folder = await installedFolder()
    const former = await startHaproxy(folder)
    await former.stop()
    await stat(folder.masterSocket)
    expect(await (await spawner(folder)).ensure()).toMatchObject({ kind: 'up', how: 'started' })
  })

  it('that outlived its owner is taken over, and stopped by the new one', async () => {
    const folder = await installedFolder()
    const args = ['-W', '-S', `${folder.masterSocket},mode,600`, '-f', join(folder.directory, 'current', 'haproxy.cfg')]
    // an owner that starts HAProxy as we do and is killed
    const script = `
      const { spawn } = require('node:child_process')
      spawn(${JSON.stringify(haproxyBin)}, ${JSON.stringify(args)}, { detached: true, stdio: 'ignore' }).unref()
      setInterval(() => {}, 1000)`
    const owner = spawn(process.execPath, ['-e', script], { stdio: 'ignore' })
    const orphan = await until(async () => {
      const answer = await workers(folder.masterSocket)
      return answer.ok && answer.current !== null && answer.master.pid
    })
    atEnd(() => killGroup(orphan))
    const ended = new Promise((resolve) => owner.once('exit', resolve))
    owner.kill('SIGKILL')
    await ended

    const owned = await spawner(folder)
    expect(await owned.ensure()).toEqual({
      kind: 'up',
      pid: orphan,
      version: expect.stringMatching(/^\d/),
      how: 'found',
    })
    await owned.stop({ within: 5_000 })
    expect(await isGone(orphan)).toBe(true)
  })

  it('is not started a second time while the first does not answer', async () => {
    const folder = await installedFolder()
    const owned = await spawner(folder)
    const pid = await up(owned)
    // as while a master executes itself anew: the process is there, its socket is not
    await rm(folder.masterSocket)
    const controller = new AbortController()
    const ensuring = owned.ensure(controller.signal)
    setTimeout(() => controller.abort(), 500)
    expect(await ensuring).toMatchObject({ kind: 'down', why: expect.stringContaining(`pid ${pid}`) })
    killGroup(pid)
  })

  it('is not started where something else answers on the socket', async () => {
    const folder = await installedFolder()
    await unixServer(() => {}, folder.masterSocket)
    const controller = new AbortController()
    setTimeout(() => controller.abort(), 300)
    expect(await (await spawner(folder)).ensure(controller.signal)).toMatchObject({ kind: 'down' })
  })

  it('can not be started without a configuration, without HAProxy, or with a port in use', async () => {
    const folder = await workFolder()
    expect(await (await spawner(folder)).ensure()).toMatchObject({
      kind: 'down',
      why: expect.stringContaining('no configuration'),
    })
    await install(folder, minimalCandidate(folder))
    const missing = await spawner(folder, { bin: '/nowhere/haproxy' })
    expect(await missing.ensure()).toMatchObject({ kind: 'down', why: expect.stringContaining('not found') })
    const server = await httpServer({ address: folder.address, port: await freePort(folder.address) })
    await install(folder, minimalCandidate(folder, { bind: server.name }))
    expect(await (await spawner(folder)).ensure()).toMatchObject({
      kind: 'down',
      why: expect.stringContaining('code 1'),
    })
  })

  it('is given up when it never answers, and nothing of it is left', async () => {
    const folder = await installedFolder()
    const fake = join(dirname(folder.directory), 'fake')
    const pidFile = join(dirname(folder.directory), 'pid')
    await writeFile(fake, `#!/bin/sh\necho $$ > ${pidFile}\nexec sleep 600\n`)
    await chmod(fake, 0o755)
    const owned = await spawner(folder, { bin: fake, startTimeout: 300 })
    expect(await owned.ensure()).toMatchObject({ kind: 'down', why: expect.stringContaining('did not answer') })
    const pid = Number(await readFile(pidFile, 'utf8'))
    await until(() => isGone(pid))
  })

  it('lets running requests end before it ends itself', async () => {
    const folder = await workFolder()
    const slow = await httpServer({ name: 'slow', delay: 700 })
    await install(folder, minimalCandidate(folder, { backends: { web: [slow.name] } }))
    const owned = await spawner(folder)
    const pid = await up(owned)
    const running = request(folder)
    await until(() => slow.asked() > 0)
    await owned.stop({ within: 10_000 })
    expect((await running).status).toBe(200)
    expect(await isGone(pid)).toBe(true)
    expect((await workers(folder.masterSocket)).ok).toBe(false)
  })

  it('is ended with its requests when they take too long', async () => {
    const folder = await workFolder()
    const slow = await httpServer({ delay: 60_000 })
    await install(folder, minimalCandidate(folder, { backends: { web: [slow.name] } }))
    const owned = await spawner(folder)
    const pid = await up(owned)
    const running = request(folder).then(
      ({ status }) => status,
      () => 'cut',
    )
    await until(() => slow.asked() > 0)
    await owned.stop({ within: 200 })
    expect(await running).toBe('cut')
    expect(await isGone(pid)).toBe(true)
  })

  it('that hangs is killed', async () => {
    const folder = await installedFolder()
    const owned = await spawner(folder)
    const pid = await up(owned)
    process.kill(pid, 'SIGSTOP')
    await owned.stop({ within: 0 })
    await until(() => isGone(pid))
  })
})

describe('haproxy/start', () => {
  const script = join(import.meta.dirname, '..', '..', 'haproxy')

  /** The script with a bootstrap configuration whose port and stats socket are the folder's. */
  async function started(folder: WorkFolder) {
    const copy = join(dirname(folder.directory), 'haproxy')
    await mkdir(join(copy, 'bootstrap'), { recursive: true })
    await copyFile(join(script, 'start'), join(copy, 'start'))
    const text = await readFile(join(script, 'bootstrap', 'haproxy.cfg'), 'utf8')
    const own = text
      .replace('bind :80', `bind ${folder.address}:${folder.port}`)
      .replace('/run/haproxy/stats.sock', folder.statsSocket)
    await writeFile(join(copy, 'bootstrap', 'haproxy.cfg'), own)
    const child = spawn(join(copy, 'start'), [], {
      stdio: 'ignore',
      detached: true,
      env: {
        PATH: process.env['PATH'],
        HEDDLE_HAPROXY_DIRECTORY: folder.directory,
        HEDDLE_HAPROXY_MASTER_SOCKET: folder.masterSocket,
        HEDDLE_HAPROXY_BIN: haproxyBin,
      },
    })
    atEnd(() => child.pid && killGroup(child.pid))
    await until(async () => {
      const [master, worker] = [await workers(folder.masterSocket), await observeIdentity(folder)]
      return master.ok && worker.kind === 'running'
    })
    return child
  }

  it('answers 503 until there is a revision, in a folder that heddle can take over', async () => {
    const folder = await workFolder()
    const child = await started(folder)
    expect(await workers(folder.masterSocket)).toMatchObject({ master: { pid: child.pid } })
    const reply = await request(folder)
    expect(reply).toMatchObject({ status: 503, headers: { 'retry-after': '5' } })
    expect(await readlink(join(folder.directory, 'current'))).toBe('revisions/bootstrap')
    expect((await stat(folder.masterSocket)).mode & 0o777).toBe(0o660)
    const store = revisionStore({ directory: folder.directory })
    expect(await store.prepare()).toEqual({ kind: 'ready' })
    expect(await store.current()).toBeNull()
  })

  it('starts with the revision that is installed', async () => {
    const folder = await installedFolder()
    await started(folder)
    expect((await request(folder)).status).toBe(404)
  })

  it('replaces a link that leads nowhere', async () => {
    const folder = await workFolder()
    await mkdir(folder.directory, { mode: 0o750 })
    await symlink('revisions/0123456789ab', join(folder.directory, 'current'))
    await started(folder)
    expect((await request(folder)).status).toBe(503)
  })
})
