import { dirname, join } from 'node:path'
import { observeIdentity } from '../../src/haproxy/observe.ts'
import { request, type TestServer, until, type WorkFolder, workFolder } from './haproxy.ts'
import { writeSettings } from './heddle.ts'
import { type Entry, type Services, writeSnapshot } from './snapshots.ts'

/** What tests of the whole heddle on a snapshot file have in common. */

export function entry(id: string, server: TestServer, ...tags: readonly string[]): Entry {
  return { id, address: server.address, port: server.port, tags }
}

/** First line of what answers, or the status where it isn't 200. */
export async function body(folder: WorkFolder, host: string, path = '/'): Promise<string> {
  const reply = await request(folder, { host, path })
  return reply.status === 200 ? (reply.body.split('\n')[0] ?? '') : String(reply.status)
}

/** Resolves when that is what answers. */
export async function followed(folder: WorkFolder, host: string, expected: string, path = '/'): Promise<void> {
  await until(async () => (await body(folder, host, path).catch(() => '')) === expected)
}

/** Settings, a snapshot file of these services, and the arguments to follow it with. `more` are lines of YAML. */
export async function setUp(kind: 'attach' | 'spawn', services: Services, more = '') {
  const folder = await workFolder()
  const settings = await writeSettings(folder, kind, more)
  const file = join(dirname(folder.directory), 'snapshot.json')
  await writeSnapshot(file, services)
  return { folder, settings, file, args: ['--snapshot', file] }
}

export async function workerPid(folder: WorkFolder): Promise<number> {
  const observed = await observeIdentity(folder)
  if (observed.kind === 'absent') throw new Error(observed.why)
  return observed.identity.pid
}
