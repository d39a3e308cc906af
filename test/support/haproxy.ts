import { type ChildProcess, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { type Agent, createServer, type IncomingHttpHeaders, type Server, request as send } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { findProgram } from '../../scripts/setup.mjs'
import { revisionStore } from '../../src/haproxy/files.ts'
import { workers } from '../../src/haproxy/master.ts'
import { observeIdentity } from '../../src/haproxy/observe.ts'
import { partsFile, partsText } from '../../src/render/parts.ts'
import type { Candidate } from '../../src/types.ts'
import { freePort } from './ports.ts'

/** A real HAProxy on loopback, the containers behind it and a client. All of it ends with the test file. */

const endings: (() => Promise<unknown> | unknown)[] = []

/** Runs after the last test of the file, the latest first. */
export function atEnd(end: () => Promise<unknown> | unknown): void {
  endings.push(end)
}

/** Until the end of the test file; a program that was told to end may still be writing to it then. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hd-'))
  atEnd(() => rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }))
  return folder
}

afterAll(async () => {
  const failures: unknown[] = []
  // one that fails leaves the others nothing running
  for (const end of endings.splice(0).reverse()) {
    try {
      await end()
    } catch (error) {
      failures.push(error)
    }
  }
  if (failures.length > 0) throw new AggregateError(failures, `could not end: ${failures.join('; ')}`)
})

/**
 * The binary under test; the environment variable, which `npm run test:haproxy` sets, names one of another version. By its path:
 * heddle looks for programs in other folders than a shell does.
 */
export const haproxyBin =
  process.env['TEST_HAPROXY_BIN'] ?? findProgram('haproxy', ['/usr/sbin', '/usr/local/sbin']) ?? 'haproxy'

/** Waits until `find` gives something else than null, false or undefined; rejects after `within` ms. */
export async function until<T>(
  find: () => Promise<T | null | undefined | false> | T | null | undefined | false,
  within = 10_000,
): Promise<T> {
  const end = performance.now() + within
  for (;;) {
    const found = await find()
    if (found !== null && found !== undefined && found !== false) return found
    if (performance.now() > end)
      throw new Error(`expected to happen within ${within} ms: ${find.toString().slice(0, 200)}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** A loopback address that nobody else on this machine is likely to use, so that its ports are all free. */
export function ownAddress(): string {
  const byte = () => 1 + Math.floor(Math.random() * 253)
  return `127.${100 + Math.floor(Math.random() * 150)}.${byte()}.${byte()}`
}

export interface WorkFolder {
  /** For `haproxy.directory`; exists, empty. */
  readonly directory: string
  /** What HAProxy is started with, once a revision is installed. */
  readonly file: string
  readonly masterSocket: string
  readonly statsSocket: string
  /** Where its frontend should listen: an address of its own, and a free port. */
  readonly address: string
  readonly port: number
}

/** A temporary folder with a path short enough for sockets, and a place to listen on. */
export async function workFolder(): Promise<WorkFolder> {
  const root = await temporaryFolder()
  const address = ownAddress()
  return {
    directory: join(root, 'd'),
    file: join(root, 'd', 'current', 'haproxy.cfg'),
    masterSocket: join(root, 'm.sock'),
    statsSocket: join(root, 's.sock'),
    address,
    port: await freePort(address),
  }
}

export interface CandidateOptions {
  /** Backend names to servers, `IP:PORT` with or without options: `10.2.1.3:80 weight 7`. */
  readonly backends?: Readonly<Record<string, readonly string[]>>
  /** `host + path + /` to backend. Default: a catch-all to the first backend. */
  readonly routes?: Readonly<Record<string, string>>
  /** Lines for the global section and the frontend. */
  readonly global?: readonly string[]
  readonly frontend?: readonly string[]
  /** Another port or address than the folder's. */
  readonly bind?: string
}

/**
 * A candidate that HAProxy accepts, of the same shape as rendered ones: its description is the structure, its
 * revision.map the hash, and requests go by routes.map.
 */
export function minimalCandidate(folder: WorkFolder, options: CandidateOptions = {}): Candidate {
  const { backends = {}, global = [], frontend = [], bind = `${folder.address}:${folder.port}` } = options
  const names = Object.keys(backends)
  const routes = options.routes ?? (names[0] === undefined ? {} : { '/': names[0] })
  const digest = (...parts: unknown[]) => createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12)
  const structure = digest(names, global, frontend, bind)
  const hash = digest(structure, backends, routes)
  const maps = new Map([
    ['routes.map', new Map(Object.entries(routes))],
    ['hosts.map', new Map<string, string>()],
    ['state.map', new Map(names.length > 0 ? [['alive', '1']] : [])],
    ['revision.map', new Map([['revision', hash]])],
  ])
  const sections = names.flatMap((name) => [
    `backend ${name}`,
    ...(backends[name] ?? []).map((line) => {
      const [server = '', ...options] = line.split(' ')
      return `  ${['server', server, server, 'weight 1', ...options].join(' ')}`
    }),
  ])
  const lines = [
    'global',
    `  description ${structure}`,
    '  default-path config',
    `  stats socket ${folder.statsSocket} mode 600 level admin`,
    '  stats timeout 1m',
    '  hard-stop-after 10s',
    '  mworker-max-reloads 4',
    ...global.map((line) => `  ${line}`),
    'defaults',
    '  mode http',
    '  option idle-close-on-response',
    '  option redispatch 1',
    '  retries 2',
    '  timeout connect 2s',
    '  timeout client 10s',
    '  timeout server 10s',
    '  timeout http-keep-alive 2s',
    'frontend :http',
    `  bind ${bind}`,
    ...frontend.map((line) => `  ${line}`),
    '  http-request set-var(txn.revision) str(revision),map(revision.map)',
    '  http-request set-var(txn.known) str(*),map(hosts.map)',
    '  http-request set-var(txn.alive) str(alive),map(state.map)',
    '  http-request set-var(txn.backend) path,map_beg(routes.map)',
    '  http-response set-header Revision %[var(txn.revision)]',
    '  use_backend %[var(txn.backend)] if { var(txn.backend) -m found }',
    '  default_backend :none',
    'backend :none',
    '  http-request deny deny_status 404',
    ...sections,
  ]
  const files = new Map([['haproxy.cfg', lines.map((text) => `${text}\n`)]])
  for (const [file, entries] of maps)
    files.set(
      file,
      [...entries].map(([key, value]) => `${key} ${value}\n`),
    )
  const parts = new Map([['global', structure]])
  files.set(partsFile, [partsText(parts)])
  return { hash, routesHash: hash, structure, parts, shapes: new Set([structure]), maps, files }
}

/** Writes a candidate into the folder and lets `current` lead to it. */
export async function install(folder: WorkFolder, candidate: Candidate): Promise<void> {
  const store = revisionStore({ directory: folder.directory })
  for (const result of [await store.prepare(), await store.write(candidate), await store.use(candidate.hash)])
    if (result.kind === 'failed') throw new Error(result.why)
}

export interface RunningHaproxy {
  /** Of the master. */
  readonly pid: number
  /** All it has printed so far. */
  output(): string
  /** Resolves when the master has ended. */
  readonly ended: Promise<void>
  stop(): Promise<void>
}

/** A HAProxy that somebody else runs, as seen by heddle: started with what `current` holds, killed at the end. */
export async function startHaproxy(folder: WorkFolder, bin = haproxyBin): Promise<RunningHaproxy> {
  const child = spawn(bin, ['-W', '-S', `${folder.masterSocket},mode,600`, '-f', folder.file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = () => stopGroup(child, ended)
  atEnd(stop)
  const pid = await until(async () => {
    if (child.exitCode !== null) throw new Error(`HAProxy ended at its start:\n${output}`)
    const [master, worker] = [await workers(folder.masterSocket), await observeIdentity(folder)]
    return master.ok && worker.kind === 'running' ? master.master.pid : null
  })
  return { pid, output: () => output, ended, stop }
}

/** Kills a process that was started detached, with all its children. */
async function stopGroup(child: ChildProcess, ended: Promise<void>): Promise<void> {
  if (child.pid !== undefined) killGroup(child.pid)
  await ended
}

/** Kills master and workers of a HAProxy that was started as a process group of its own. */
export function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // gone already
  }
}

export interface TestServer {
  readonly address: string
  readonly port: number
  /** `address:port`. */
  readonly name: string
  /** Requests that came so far. */
  asked(): number
  close(): Promise<void>
}

/**
 * A container that answers with its name, the path it was asked for and the Host it saw, one a line. `delay` in ms holds
 * each answer back.
 */
export async function httpServer(
  options: { name?: string; address?: string; port?: number; delay?: number } = {},
): Promise<TestServer> {
  const { address = ownAddress(), port = 0, delay = 0 } = options
  let asked = 0
  const server: Server = createServer((question, answer) => {
    asked += 1
    const text = `${options.name ?? name}\n${question.url}\n${question.headers.host ?? ''}\n`
    setTimeout(() => {
      answer.setHeader('content-type', 'text/plain')
      answer.end(text)
    }, delay)
  })
  // longer than HAProxy keeps a connection, so that it is never this side that closes
  server.keepAliveTimeout = 60_000
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, address, resolve))
  const place = server.address()
  if (place === null || typeof place === 'string') throw new Error('expected a TCP port')
  const name = `${address}:${place.port}`
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  atEnd(close)
  return { address, port: place.port, name, asked: () => asked, close }
}

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** One request. Without an agent on a connection of its own. Rejects when the connection fails. */
export function request(
  place: { address: string; port: number },
  options: {
    host?: string
    path?: string
    method?: string
    headers?: Readonly<Record<string, string>>
    agent?: Agent
    timeout?: number
  } = {},
): Promise<Reply> {
  const {
    host = 'test.example.com',
    path = '/',
    method = 'GET',
    headers = {},
    agent = false,
    timeout = 10_000,
  } = options
  return new Promise((resolve, reject) => {
    const asked = send(
      { host: place.address, port: place.port, path, method, agent, timeout, headers: { host, ...headers } },
      (answer) => {
        let body = ''
        answer.setEncoding('utf8')
        answer.on('data', (text: string) => {
          body += text
        })
        answer.on('error', reject)
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, headers: answer.headers, body }))
      },
    )
    asked.on('timeout', () => asked.destroy(new Error(`no answer within ${timeout} ms`)))
    asked.on('error', reject)
    asked.end()
  })
}

/** Bytes as they are, for what no HTTP client would send; resolves with all that came until the connection ended. */
export function rawRequest(place: { address: string; port: number }, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(place.port, place.address)
    let answer = ''
    socket.setEncoding('latin1')
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')))
    socket.on('data', (chunk: string) => {
      answer += chunk
    })
    socket.on('error', reject)
    socket.on('end', () => resolve(answer))
    socket.write(text, 'latin1')
  })
}
