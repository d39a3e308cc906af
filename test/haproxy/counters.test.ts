import { beforeAll, describe, expect, it } from 'vitest'
import { connectRuntime, type Runtime } from '../../src/haproxy/cli.ts'
import { readBackendFailures, readServerCounters, type ServerCounters } from '../../src/haproxy/counters.ts'
import { connectWorker } from '../../src/haproxy/worker.ts'
import {
  atEnd,
  httpServer,
  install,
  minimalCandidate,
  ownAddress,
  request,
  startHaproxy,
  type TestServer,
  type WorkFolder,
  workFolder,
} from '../support/haproxy.ts'
import { workerPid } from '../support/site.ts'
import { unixServer } from '../support/unix-server.ts'

/** All names that backends can have, and one that looks like a number of HAProxy's own. */
const names = ['web', 'x:0123456789abcdef01234567', 'shop:a1b2c3', ':spare1', '-1', '5', 'a.b_c-d']

async function readAll(runtime: Runtime) {
  const read = await readBackendFailures(runtime)
  if (!read.ok) throw new Error(read.why)
  return read.counted
}

async function readServers(runtime: Runtime, backend: string): Promise<readonly ServerCounters[]> {
  const read = await readServerCounters(runtime, backend)
  if (!read.ok) throw new Error(read.why)
  return read.servers
}

describe('counters of a running HAProxy', () => {
  let folder: WorkFolder
  let live: TestServer
  let runtime: Runtime
  const dead = `${ownAddress()}:9`
  beforeAll(async () => {
    folder = await workFolder()
    live = await httpServer({ name: 'live' })
    const backends = Object.fromEntries(names.map((name) => [name, [dead, live.name, '127.0.0.1:7 disabled']]))
    const routes = Object.fromEntries(names.map((name) => [`/${name}/`, name]))
    await install(folder, minimalCandidate(folder, { backends: { ...backends, empty: [] }, routes }))
    await startHaproxy(folder)
    const connection = await connectWorker(folder)
    if (!connection.ok) throw new Error(connection.why)
    runtime = connection.runtime
    atEnd(() => runtime.close())
  })

  it('say of every backend how many connections were missed, and of which worker', async () => {
    const before = await readAll(runtime)
    expect(before.pid).toBe(await workerPid(folder))
    expect([...before.failures].filter(([, failures]) => failures > 0)).toEqual([])
    expect([...before.failures.keys()].sort()).toEqual([':none', 'empty', ...names].sort())
  })

  it.each(names)('say of the servers of %s who missed them', async (name) => {
    // it comes to the first, and is answered by the second
    expect((await request(folder, { path: `/${name}/` })).body).toMatch(/^live\n/)
    expect((await readAll(runtime)).failures.get(name)).toBe(1)
    expect(await readServers(runtime, name)).toEqual([
      { name: dead, failures: 1, sessions: expect.any(Number), isInMaintenance: false },
      { name: live.name, failures: 0, sessions: 1, isInMaintenance: false },
      { name: '127.0.0.1:7', failures: 0, sessions: 0, isInMaintenance: true },
    ])
  })

  it('know no servers of a backend that has none, or is not there', async () => {
    expect(await readServers(runtime, 'empty')).toEqual([])
    expect(await readServers(runtime, 'nobody')).toEqual([])
  })
})

it('of something that is no HAProxy are not understood', async () => {
  const server = await unixServer((socket) => {
    socket.on('data', (bytes) => socket.write('hello\n\n> '.repeat(String(bytes).split('\n').length - 1)))
  })
  const connection = await connectRuntime(server.path)
  if (!connection.ok) throw new Error(connection.why)
  expect(await readBackendFailures(connection.runtime)).toMatchObject({ ok: false, code: 'unreadable' })
  expect(await readServerCounters(connection.runtime, 'web')).toMatchObject({ ok: false, code: 'unreadable' })
  connection.runtime.close()
})
