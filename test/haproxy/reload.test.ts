import { Agent } from 'node:http'
import { createServer } from 'node:net'
import { beforeAll, describe, expect, it } from 'vitest'
import { checkConfiguration, haproxyVersion } from '../../src/haproxy/check.ts'
import { ask } from '../../src/haproxy/cli.ts'
import { dialectOf } from '../../src/haproxy/dialect.ts'
import { workers } from '../../src/haproxy/master.ts'
import { observeIdentity } from '../../src/haproxy/observe.ts'
import { fileLimit } from '../../src/haproxy/process.ts'
import { maxconnProblem, reload } from '../../src/haproxy/reload.ts'
import type { Candidate } from '../../src/types.ts'
import {
  atEnd,
  haproxyBin,
  httpServer,
  install,
  minimalCandidate,
  type RunningHaproxy,
  request,
  startHaproxy,
  type TestServer,
  until,
  type WorkFolder,
  workFolder,
} from '../support/haproxy.ts'
import { freePort } from '../support/ports.ts'
import { unixServer } from '../support/unix-server.ts'

interface Site {
  readonly folder: WorkFolder
  readonly haproxy: RunningHaproxy
  readonly server: TestServer
  readonly first: Candidate
}

async function site(): Promise<Site> {
  const [folder, server] = [await workFolder(), await httpServer({ name: 'first' })]
  const first = minimalCandidate(folder, { backends: { web: [server.name] } })
  await install(folder, first)
  return { folder, server, first, haproxy: await startHaproxy(folder) }
}

const expected = ({ structure, hash }: Candidate) => ({ structure, revision: hash })

async function identity(folder: WorkFolder) {
  const answer = await observeIdentity(folder)
  if (answer.kind === 'absent') throw new Error(answer.why)
  return answer.identity
}

describe('a reload', () => {
  it('is believed when the new worker says that it runs what was installed', async () => {
    const { folder, server } = await site()
    const before = await identity(folder)
    const second = minimalCandidate(folder, { backends: { other: [server.name] } })
    await install(folder, second)
    const outcome = await reload({ ...folder, expected: expected(second) })
    const now = await identity(folder)
    expect(outcome).toEqual({ kind: 'reloaded', pid: now.pid })
    expect(now).toMatchObject(expected(second))
    expect(now.pid).not.toBe(before.pid)
    expect((await request(folder)).headers['revision']).toBe(second.hash)
  })

  it('of other files than HAProxy reads is found out', async () => {
    const { folder, first } = await site()
    const wanted = minimalCandidate(folder, { backends: { other: [] } })
    expect(await reload({ ...folder, expected: expected(wanted) })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining(`runs structure ${first.structure} instead of ${wanted.structure}`),
    })
    expect(await reload({ ...folder, expected: { structure: first.structure, revision: wanted.hash } })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining(`runs revision ${first.hash} instead of ${wanted.hash}`),
    })
  })

  it('of a configuration that can not start leaves the former worker serving', async () => {
    const { folder, server, first, haproxy } = await site()
    const before = await identity(folder)
    const blocker = createServer()
    const port = await freePort(folder.address)
    await new Promise<void>((resolve) => blocker.listen(port, folder.address, resolve))
    atEnd(() => blocker.close())
    const second = minimalCandidate(folder, { backends: { web: [server.name] }, bind: `${folder.address}:${port}` })
    await install(folder, second)
    const outcome = await reload({ ...folder, expected: expected(second) })
    expect(outcome).toMatchObject({ kind: 'failed', why: expect.stringMatching(/port in use|Address already in use/) })
    await until(() => haproxy.output().includes('Address already in use'))
    expect(await identity(folder)).toEqual(before)
    expect(await until(() => request(folder).catch(() => null))).toMatchObject({ status: 200 })
    // the worker that goes on is not counted as an old one
    expect(await workers(folder.masterSocket)).toMatchObject({
      ok: true,
      current: { pid: before.pid },
      old: [],
      failed: 1,
    })

    await install(folder, first)
    expect(await reload({ ...folder, expected: expected(first) })).toMatchObject({ kind: 'reloaded' })
    expect(await workers(folder.masterSocket)).toMatchObject({ failed: 0 })
  })

  it('of a broken configuration, which the check refuses, leaves the former worker serving', async () => {
    const { folder } = await site()
    const before = await identity(folder)
    const second = minimalCandidate(folder, { frontend: ['no such keyword'] })
    await install(folder, second)
    expect(await checkConfiguration(haproxyBin, folder.file)).toMatchObject({
      kind: 'invalid',
    })
    expect(await reload({ ...folder, expected: expected(second) })).toMatchObject({ kind: 'failed' })
    expect(await identity(folder)).toEqual(before)
    expect((await request(folder)).status).toBe(200)
  })

  it('loses no request of clients that keep their connections', async () => {
    const { folder, server, first } = await site()
    const second = minimalCandidate(folder, { backends: { other: [server.name] } })
    const agent = new Agent({ keepAlive: true, maxSockets: 8 })
    atEnd(() => agent.destroy())
    let isOver = false
    const counts = new Map<string, number>()
    const client = async () => {
      while (!isOver) {
        const { status, headers } = await request(folder, { agent })
        const key = `${status} ${headers['revision']}`
        counts.set(key, (counts.get(key) ?? 0) + 1)
      }
    }
    const clients = Array.from({ length: 8 }, client)
    for (let round = 0; round < 10; round += 1) {
      const candidate = round % 2 === 0 ? second : first
      await install(folder, candidate)
      const count = counts.get(`200 ${candidate.hash}`) ?? 0
      expect(await reload({ ...folder, expected: expected(candidate) })).toMatchObject({ kind: 'reloaded' })
      await until(() => (counts.get(`200 ${candidate.hash}`) ?? 0) > count + 20)
    }
    isOver = true
    await Promise.all(clients)
    expect([...counts.keys()].sort()).toEqual([`200 ${first.hash}`, `200 ${second.hash}`].sort())
  })

  it('counts workers that still finish requests as old ones', async () => {
    const folder = await workFolder()
    const slow = await httpServer({ delay: 3_000 })
    const candidate = minimalCandidate(folder, { backends: { web: [slow.name] } })
    await install(folder, candidate)
    await startHaproxy(folder)
    const running = request(folder)
    const before = await until(async () => {
      const connections = await workers(folder.masterSocket)
      return slow.asked() > 0 && connections.ok && connections.current
    })
    expect(await reload({ ...folder, expected: expected(candidate) })).toMatchObject({ kind: 'reloaded' })
    expect(await workers(folder.masterSocket)).toMatchObject({ old: [{ pid: before.pid }] })
    expect((await running).status).toBe(200)
    await until(async () => {
      const now = await workers(folder.masterSocket)
      return now.ok && now.old.length === 0
    })
  })
})

describe('a HAProxy in trouble', () => {
  it('whose worker was killed takes its master with it, and that is told', async () => {
    const { folder, haproxy, first } = await site()
    process.kill((await identity(folder)).pid, 'SIGKILL')
    await haproxy.ended
    expect(await reload({ ...folder, expected: expected(first) })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining(folder.masterSocket),
    })
  })

  it('whose master was killed is told', async () => {
    const { folder, haproxy, first } = await site()
    process.kill(haproxy.pid, 'SIGKILL')
    await haproxy.ended
    expect(await reload({ ...folder, expected: expected(first) })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('nobody listens'),
    })
  })

  it('whose worker dies at its start is no success', async () => {
    // no real one does this on demand: a master that shows a new worker, of which nothing is left a moment later
    const folder = await workFolder()
    await install(folder, minimalCandidate(folder))
    const row = (pid: number, type: string, failed = '') => `${pid} ${type} 0 ${failed} 0d00h00m01s 2.6.12\n`
    let asked = 0
    const server = await unixServer((socket) => {
      socket.on('data', (bytes) => {
        const isReload = !String(bytes).includes('show proc')
        if (!isReload) asked += 1
        const worker = ['', row(11, 'worker'), row(12, 'worker'), ''][Math.min(asked, 3)]
        socket.end(isReload ? '' : `${row(10, 'master', '[failed: 0]')}${worker}\n`)
      })
    })
    const options = { ...folder, masterSocket: server.path, expected: { structure: 'a', revision: 'b' } }
    expect(await reload(options)).toMatchObject({ kind: 'failed', why: expect.stringContaining('ended right after') })
  })

  it('that has no socket is told at once', async () => {
    const folder = await workFolder()
    expect(await reload({ ...folder, expected: { structure: 'a', revision: 'b' } })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('there is no socket'),
    })
  })

  it('whose master hangs is given up at the deadline', async () => {
    const folder = await workFolder()
    const server = await unixServer(() => {})
    const options = { ...folder, masterSocket: server.path, expected: { structure: 'a', revision: 'b' } }
    expect(await reload({ ...options, timeout: 300 })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('no answer within'),
    })
    expect(await reload({ ...options, signal: AbortSignal.abort() })).toMatchObject({ kind: 'failed' })
  })

  it('whose master takes the command and is never seen again is given up at the deadline', async () => {
    const folder = await workFolder()
    await install(folder, minimalCandidate(folder))
    const server = await unixServer((socket) => {
      socket.on('data', (bytes) => {
        if (String(bytes).includes('show proc'))
          socket.end('10 master 0 [failed: 0] 0d00h00m01s 2.6.12\n11 worker 0 0d00h00m01s 2.6.12\n\n')
        else {
          socket.end()
          void server.close()
        }
      })
    })
    const options = { ...folder, masterSocket: server.path, expected: { structure: 'a', revision: 'b' } }
    expect(await reload({ ...options, timeout: 300 })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('no outcome within 300 ms'),
    })
  })

  it.each(['2.4.22', 'nonsense'])('of version %s is not reloaded', async (version) => {
    const folder = await workFolder()
    const asked: string[] = []
    const server = await unixServer((socket) => {
      socket.on('data', (bytes) => {
        asked.push(String(bytes).trim())
        socket.end(`10 master 0 [failed: 0] 0d00h00m01s ${version}\n11 worker 0 0d00h00m01s ${version}\n\n`)
      })
    })
    const options = { ...folder, masterSocket: server.path, expected: { structure: 'a', revision: 'b' } }
    expect(await reload(options)).toMatchObject({ kind: 'failed', why: expect.stringContaining('2.6 or newer') })
    expect(asked).toEqual(['show proc'])
  })

  it('that does not know the command is told at once', async () => {
    const { folder, first } = await site()
    // the worker's CLI in place of the master's, but for the list of processes
    const server = await unixServer((socket) => {
      socket.on('data', async (bytes) => {
        const command = String(bytes).trim()
        const path = command === 'show proc' ? folder.masterSocket : folder.statsSocket
        const answer = await ask(path, command)
        socket.end(answer.ok ? `${answer.answer}\n\n` : '')
      })
    })
    expect(await reload({ ...folder, masterSocket: server.path, expected: expected(first) })).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('Unknown command'),
    })
  })

  it('of 3.x that answers with a failure has its own words told', async () => {
    const folder = await workFolder()
    await install(folder, minimalCandidate(folder))
    const server = await unixServer((socket) => {
      socket.on('data', (bytes) => {
        if (String(bytes).includes('show proc'))
          socket.end('10 master 0 [failed: 0] 0d00h00m01s 3.2.26-1\n11 worker 0 0d00h00m01s 3.2.26-1\n\n')
        else socket.end('Success=0\n--\n[ALERT] (10) : cannot bind socket\n\n')
      })
    })
    const options = { ...folder, masterSocket: server.path, expected: { structure: 'a', revision: 'b' } }
    expect(await reload(options)).toMatchObject({ kind: 'failed', why: expect.stringContaining('cannot bind socket') })
  })
})

describe('the limit on files', () => {
  let folder: WorkFolder
  let haproxy: RunningHaproxy
  beforeAll(async () => {
    folder = await workFolder()
    await install(folder, minimalCandidate(folder, { global: ['maxconn 100'] }))
    haproxy = await startHaproxy(folder)
  })

  it('of the running master is known, and of another process not', async () => {
    expect(await fileLimit(haproxy.pid, folder.masterSocket)).toBeGreaterThan(100)
    expect(await fileLimit(process.pid, folder.masterSocket)).toBeNull()
    expect(await fileLimit(haproxy.pid, '/another.sock')).toBeNull()
  })

  it('tells how many connections HAProxy can be started with', async () => {
    const running = await identity(folder)
    expect(maxconnProblem(1000, running, 2000)).toMatch(
      /needs 20\d\d file descriptors, HAProxy may open 2000: at most 9\d\d/,
    )
    expect(maxconnProblem(1000, running, 2100)).toBeNull()
    expect(maxconnProblem(1000, running, null)).toBeNull()
  })

  it('is reckoned as HAProxy does it', async () => {
    const running = await identity(folder)
    const second = minimalCandidate(folder, { global: ['maxconn 700'] })
    await install(folder, second)
    expect(await reload({ ...folder, expected: expected(second) })).toMatchObject({ kind: 'reloaded' })
    const { ulimit } = await identity(folder)
    expect(maxconnProblem(700, running, ulimit - 1)).toContain('file descriptors')
    expect(maxconnProblem(700, running, ulimit + 50)).toBeNull()
  })
})

it('the binary under test is one we speak with', async () => {
  const answer = await haproxyVersion(haproxyBin)
  expect(answer.kind === 'version' && dialectOf(answer.version)).toBeTruthy()
})
