import { spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { renderCandidate, textsOf } from '../../src/render/config.ts'
import { loadTemplates } from '../../src/render/templates.ts'
import type { Model, RenderSettings } from '../../src/types.ts'
import { atEnd, haproxyBin, ownAddress, until } from '../support/haproxy.ts'
import { renderSettings } from '../support/models.ts'
import { freePorts } from '../support/ports.ts'

/** A real HAProxy that runs what was rendered, asked byte by byte. */

export interface Edge {
  readonly address: string
  readonly port: number
  readonly statsPort: number
  readonly monitorPort: number
  /** All it has logged so far. */
  log(): string
  /** Answer of one runtime command. */
  command(text: string): Promise<string>
  stop(): Promise<void>
}

/** Starts HAProxy with the rendered files, without a master; it listens on an address of its own. */
export async function startEdge(made: Model, change: Partial<RenderSettings> = {}): Promise<Edge> {
  const address = ownAddress()
  // all at once: one after the other could be the same, and HAProxy would share it between two frontends
  const [http = 0, stats = 0, monitor = 0] = await freePorts(3, address)
  const folder = await mkdtemp(join(tmpdir(), 'hr-'))
  atEnd(() => rm(folder, { recursive: true, force: true }))
  const settings: RenderSettings = {
    ...renderSettings,
    bind: [`${address}:${http}`],
    statsBind: `${address}:${stats}`,
    monitor: `${address}:${monitor}/haproxy_status`,
    statsSocket: join(folder, 's.sock'),
    ...change,
  }
  const loaded = await loadTemplates(null)
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  const rendering = renderCandidate(made, loaded.templates, settings)
  if (rendering.kind === 'failed') throw new Error(rendering.reason)
  for (const [name, text] of textsOf(rendering.candidate)) await writeFile(join(folder, name), text)

  const child = spawn(haproxyBin, ['-db', '-f', join(folder, 'haproxy.cfg')], { stdio: ['ignore', 'pipe', 'pipe'] })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (log += chunk))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  const stop = async () => {
    child.kill('SIGKILL')
    await ended
  }
  atEnd(stop)
  const command = (text: string) => exchange({ path: settings.statsSocket }, `${text}\n`)
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`HAProxy ended at its start:\n${log}`)
    return (await command('show info').catch(() => '')).includes(rendering.candidate.structure)
  })
  return { address, port: http, statsPort: stats, monitorPort: monitor, log: () => log, command, stop }
}

/** Sends bytes as they are; resolves with all that came until the other side closed. */
export function exchange(
  place: { path: string } | { host: string; port: number; localAddress?: string },
  text: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(place)
    const chunks: Buffer[] = []
    socket.setTimeout(10_000, () => socket.destroy(new Error('no answer within 10 s')))
    socket.on('data', (chunk: Buffer) => chunks.push(chunk))
    socket.on('error', reject)
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')))
    socket.write(text, 'latin1')
  })
}

export interface Answer {
  readonly status: number
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

export interface Ask {
  readonly method?: string
  readonly version?: '1.0' | '1.1'
  /** The Host header; null: none. */
  readonly host?: string | null
  /** Further header lines, as they go out. */
  readonly headers?: readonly string[]
  /** The client's own address; the same everywhere unless said. */
  readonly from?: string
  /** Bytes before the request line. */
  readonly before?: string
  readonly port?: number
}

/** One request on a connection of its own; `target` goes out as it is. */
export async function ask(edge: Edge, target: string, options: Ask = {}): Promise<Answer> {
  const { method = 'GET', version = '1.1', host = 'a.test', headers = [], from, before = '' } = options
  const lines = [
    `${before}${method} ${target} HTTP/${version}`,
    ...(host === null ? [] : [`Host: ${host}`]),
    ...(headers.some((line) => /^connection:/i.test(line)) ? [] : ['Connection: close']),
    ...headers,
  ]
  const place = { host: edge.address, port: options.port ?? edge.port }
  return parse(
    await exchange(from === undefined ? place : { ...place, localAddress: from }, `${lines.join('\r\n')}\r\n\r\n`),
  )
}

function parse(text: string): Answer {
  const end = text.indexOf('\r\n\r\n')
  const [first = '', ...lines] = text.slice(0, end).split('\r\n')
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':')
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
  })
  return { status: Number(first.split(' ')[1]), headers: new Map(headers), body: text.slice(end + 4) }
}

/** What a service saw of a request. */
export interface Seen {
  readonly service: string
  readonly method: string
  readonly target: string
  /** In the order they came, names in lower case. */
  readonly headers: readonly (readonly [string, string])[]
}

/** A container that answers every request with what it saw; resolves with its `address:port`. */
export async function echo(service: string): Promise<string> {
  const server = createServer((request, response) => {
    const { rawHeaders, method = '', url = '' } = request
    const headers = rawHeaders.flatMap((name, index) =>
      index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1] ?? ''] as const] : [],
    )
    const seen: Seen = { service, method, target: url, headers }
    const body = JSON.stringify(seen)
    response.setHeader('content-length', Buffer.byteLength(body))
    setTimeout(() => response.end(body), Number(request.headers['x-delay'] ?? 0))
  })
  server.keepAliveTimeout = 60_000
  atEnd(() => server.closeAllConnections())
  return listening(server)
}

/** Lets any server listen on an address of its own until the end of the file; resolves with its `address:port`. */
export async function listening(server: Server): Promise<string> {
  const address = ownAddress()
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, address, resolve))
  atEnd(() => server.close())
  const place = server.address()
  if (place === null || typeof place === 'string') throw new Error('expected a TCP port')
  return `${address}:${place.port}`
}

/** What the service saw; throws when it was not a service that answered. */
export function seen(answer: Answer): Seen {
  if (answer.status !== 200) throw new Error(`expected 200, got ${answer.status}: ${answer.body}`)
  return JSON.parse(answer.body)
}

/** Values of one header as the service saw it, in order. */
export function header(answer: Answer, name: string): readonly string[] {
  return seen(answer).headers.flatMap(([key, value]) => (key === name ? [value] : []))
}
