import { spawn, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse, stringify } from 'yaml'
import { z } from 'zod'
import { settingsOf } from '../settings/load.ts'
import { atEnd, haproxyBin, httpServer, killGroup, until, type WorkFolder, workFolder } from '../support/haproxy.ts'
import { startHeddle } from '../support/heddle.ts'
import { freePorts } from '../support/ports.ts'
import { body, entry, followed } from '../support/site.ts'
import { type Services, writeSnapshot } from '../support/snapshots.ts'

/** What apollo/ holds, as a slave of Apollo runs it; only addresses, ports and folders are those of the test. */

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')
const bootstrap = read('apollo/bootstrap/haproxy.cfg')
const written = z.record(z.string(), z.record(z.string(), z.unknown())).parse(parse(read('apollo/heddle.yaml')))

interface Place {
  readonly folder: WorkFolder
  readonly monitor: string
}

/** Settings of Apollo, for this place. */
async function settingsFor({ folder, monitor }: Place, status: number, stats: number): Promise<string> {
  const haproxy = {
    ...written['haproxy'],
    bin: haproxyBin,
    directory: folder.directory,
    masterSocket: folder.masterSocket,
    statsSocket: folder.statsSocket,
    socketGid: process.getgid?.() ?? 0,
    bind: [`${folder.address}:${folder.port}`],
    monitor: `${monitor}/haproxy_status`,
    statsBind: `${folder.address}:${stats}`,
  }
  const here = {
    ...written,
    weave: { cidr: '127.0.0.0/8', reserved: [], docker: {} },
    apply: { reloadEvery: '100ms' },
    haproxy,
  }
  const file = join(dirname(folder.directory), 'heddle.yaml')
  await writeFile(file, `${stringify(here)}status: {listen: "${folder.address}:${status}"}\n`)
  return file
}

/** `haproxy/start` beside Apollo's bootstrap, as the container has them. */
async function startSlave({ folder, monitor }: Place): Promise<void> {
  const image = join(dirname(folder.directory), 'image')
  await mkdir(join(image, 'bootstrap'), { recursive: true })
  await copyFile(fileURLToPath(new URL('../../haproxy/start', import.meta.url)), join(image, 'start'))
  const text = bootstrap
    .replace('/run/haproxy/stats.sock', folder.statsSocket)
    .replace('bind :80', `bind ${folder.address}:${folder.port}`)
    .replace('bind :34180', `bind ${monitor}`)
  await writeFile(join(image, 'bootstrap', 'haproxy.cfg'), text)
  const child = spawn(join(image, 'start'), {
    env: {
      ...process.env,
      HEDDLE_HAPROXY_DIRECTORY: folder.directory,
      HEDDLE_HAPROXY_MASTER_SOCKET: folder.masterSocket,
      HEDDLE_HAPROXY_BIN: haproxyBin,
    },
    stdio: 'ignore',
    detached: true,
  })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  atEnd(async () => {
    if (child.pid !== undefined) killGroup(child.pid)
    await ended
  })
}

const check = async ({ monitor }: Place) => {
  const answer = await fetch(`http://${monitor}/haproxy_status`, { headers: { connection: 'close' } })
  return answer.status
}

describe('apollo/', () => {
  it('has settings that are right, for what Apollo had', () => {
    const { consul, expose, weave, haproxy } = settingsOf({ yaml: read('apollo/heddle.yaml') })
    expect(consul.address).toBe('http://127.0.0.1:8500')
    expect(expose).toMatchObject({ by: 'all', domain: 'example.com' })
    expect(weave).toMatchObject({ cidr: '10.2.0.0/16', reserved: ['10.2.0.0/24'] })
    expect(haproxy).toMatchObject({ bind: [':80'], monitor: ':34180/haproxy_status', trustedProxies: ['10.0.0.0/16'] })
  })

  it('has a bootstrap that HAProxy takes, on the ports and the socket of the settings', async () => {
    const { haproxy } = settingsOf({ yaml: read('apollo/heddle.yaml') })
    for (const part of [`bind ${haproxy.bind[0]}\n`, 'bind :34180\n', `stats socket ${haproxy.statsSocket} `])
      expect(bootstrap).toContain(part)
    const file = join(dirname((await workFolder()).directory), 'haproxy.cfg')
    await writeFile(file, bootstrap)
    const { status, stderr } = spawnSync(haproxyBin, ['-c', '-f', file], { encoding: 'utf8' })
    expect({ status, stderr }).toMatchObject({ status: 0 })
  })

  it('keeps a slave out of the load balancer until it serves, and serves what has no tag by its name', async () => {
    const folder = await workFolder()
    const [status = 0, stats = 0, monitorPort = 0] = (await freePorts(4, folder.address)).filter(
      (port) => port !== folder.port,
    )
    const place = { folder, monitor: `${folder.address}:${monitorPort}` }
    await startSlave(place)
    await until(async () => (await check(place).catch(() => null)) === 503)
    expect(await body(folder, 'web.example.com')).toBe('503')

    const web = await httpServer({ name: 'web' })
    const services: Services = {
      web: [entry('w1', web)],
      // registered on the slave itself: the address of no container
      consul: [{ id: 'consul', address: '192.0.2.1', port: 8300 }],
    }
    const file = join(dirname(folder.directory), 'snapshot.json')
    await writeSnapshot(file, services)
    const running = await startHeddle(folder, await settingsFor(place, status, stats), ['--snapshot', file])
    await running.ready()
    expect(await body(folder, 'web.example.com')).toBe('web')
    expect(await body(folder, 'consul.example.com')).toBe('503')
    expect(await body(folder, 'other.example.com')).toBe('404')
    expect(await check(place)).toBe(200)

    await writeSnapshot(file, { ...services, web: [{ ...entry('w1', web), status: 'critical' }] })
    await until(async () => (await check(place)) === 503)
    await writeSnapshot(file, services)
    await followed(folder, 'web.example.com', 'web')
    await until(async () => (await check(place)) === 200)
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
    expect(await check(place)).toBe(200)
  })
})
