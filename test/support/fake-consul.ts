import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer, type Socket } from 'node:net'
import { onTestFinished } from 'vitest'
import { allRights, type FakeCatalog, fakeCatalog, type Rights } from './fake-consul-catalog.ts'

/**
 * A Consul agent for what a real one can't be made to do on time. It is as strict as 1.13.9 about what it is asked, and
 * gives the headers, indexes and errors that were measured on that. It ends with the test.
 */
export interface FakeConsul extends Omit<FakeCatalog, 'read' | 'onChange'> {
  readonly address: string
  /** Oldest first. */
  readonly requests: readonly Asked[]
  /** Of one path, with its names as they were sent: `/catalog/nodes`. */
  readonly asked: (path: string) => readonly Asked[]
  /** Queries that block now, by path. */
  readonly blocked: () => readonly string[]
  /** Connections that are open now; the most there ever were. */
  readonly sockets: () => number
  readonly mostSockets: () => number
  /** Like limits.http_max_conns_per_client. */
  readonly allowConnections: (most: number) => void
  /** Denies what is not granted. A token that was granted nothing is not known; null is who has no token. */
  readonly grant: (token: string | null, rights: Rights | null) => void
  /** Takes requests before they are looked at; false: it is answered as usual. */
  readonly setFault: (fault: Fault | null) => void
  /** Changes answers before they are sent. */
  readonly setTamper: (tamper: Tamper | null) => void
  /** Ends every connection. */
  readonly cut: () => void
}

export interface Asked {
  readonly path: string
  readonly query: URLSearchParams
  readonly token: string | null
  /** Null: it does not block. */
  readonly index: string | null
  /** Of performance.now(). */
  readonly at: number
}

export interface FakeAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type Fault = (asked: Asked, response: ServerResponse) => boolean
export type Tamper = (asked: Asked, answer: FakeAnswer) => FakeAnswer

interface Blocked {
  readonly asked: Asked
  readonly wake: (changed: readonly string[]) => void
}

const plain = { 'Content-Type': 'text/plain; charset=utf-8' }
const units: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

export async function fakeConsul({ firstIndex = 10n } = {}): Promise<FakeConsul> {
  const catalog = fakeCatalog(firstIndex)
  const requests: Asked[] = []
  const blocked = new Set<Blocked>()
  const tokens = new Map<string | null, Rights>()
  let isDenying = false
  let fault: Fault | null = null
  let tamper: Tamper | null = null

  catalog.onChange((changed) => {
    for (const { wake } of [...blocked]) wake(changed)
  })

  const rightsOf = (token: string | null): Rights | null => {
    if (!isDenying) return allRights
    return tokens.get(token) ?? (token === null ? { nodes: false, service: () => false } : null)
  }

  function answer(asked: Asked): FakeAnswer {
    const policy = { 'X-Consul-Default-ACL-Policy': isDenying ? 'deny' : 'allow' }
    const rights = rightsOf(asked.token)
    // errors have an index as well
    if (rights === null) return error(403, 'ACL not found', { ...policy, 'X-Consul-Index': '1' })
    const found = readCatalog(catalog, asked, rights)
    if (found === null) return error(404, 'Invalid URL path: not a recognized HTTP API endpoint')
    const headers = {
      'Content-Type': 'application/json',
      'X-Consul-Index': String(found.index),
      'X-Consul-KnownLeader': 'true',
      'X-Consul-LastContact': '0',
      ...policy,
      // who has no token is not told
      ...(found.isFiltered && asked.token !== null ? { 'X-Consul-Results-Filtered-By-ACLs': 'true' } : {}),
    }
    return { status: 200, headers, body: JSON.stringify(found.body) }
  }

  /** Resolves when the index has been passed by a change that wakes, or the wait is over. */
  function block(asked: Asked, index: bigint, wait: number, response: ServerResponse): Promise<void> {
    const look = () => readCatalog(catalog, asked, allRights)
    const first = look()
    if (index === 0n || first === null || first.index > index) return Promise.resolve()
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        blocked.delete(entry)
        resolve()
      }
      const wake = (changed: readonly string[]) => {
        if (changed.some((key) => first.watched.includes(key)) && (look()?.index ?? 0n) > index) end()
      }
      const entry: Blocked = { asked, wake }
      // the real one adds up to so much by chance
      const timer = setTimeout(end, wait + wait / 16)
      blocked.add(entry)
      response.once('close', end)
    })
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const asked = parse(request)
    requests.push(asked)
    if (fault?.(asked, response)) return
    const refusal = refuse(request, asked)
    const wait = /^(\d+)(ms|s|m)$/.exec(asked.query.get('wait') ?? '5m')
    if (refusal === null) {
      await block(asked, BigInt(asked.index ?? 0), Number(wait?.[1]) * (units[wait?.[2] ?? ''] ?? 0), response)
    }
    const usual = refusal ?? answer(asked)
    const { status, headers, body } = tamper?.(asked, usual) ?? usual
    if (!response.destroyed) response.writeHead(status, headers).end(body)
  }

  const place = await listen((request, response) => void serve(request, response))
  return {
    ...catalog,
    ...place,
    requests,
    asked: (path) => requests.filter((asked) => asked.path === path),
    blocked: () => [...blocked].map(({ asked }) => asked.path),
    grant: (token, rights) => {
      isDenying = true
      if (rights === null) tokens.delete(token)
      else tokens.set(token, rights)
    },
    setFault: (next) => {
      fault = next
    },
    setTamper: (next) => {
      tamper = next
    },
  }
}

type Place = Pick<FakeConsul, 'address' | 'sockets' | 'mostSockets' | 'allowConnections' | 'cut'>

/** Counts connections, and turns away those beyond the limit before they have asked anything. */
async function listen(serve: http.RequestListener): Promise<Place> {
  const inner = http.createServer({ keepAliveTimeout: 60_000 }, serve)
  const open = new Set<Socket>()
  let most = Number.POSITIVE_INFINITY
  let peak = 0
  const server = createServer((socket) => {
    socket.on('error', () => {})
    if (open.size >= most) {
      const text = 'Your IP is issuing too many concurrent connections, please rate limit your calls\n'
      socket.end(`HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n${text}`)
      socket.resume()
      return
    }
    open.add(socket)
    peak = Math.max(peak, open.size)
    socket.on('close', () => open.delete(socket))
    inner.emit('connection', socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('expected a bound port')
  const cut = () => {
    for (const socket of open) socket.destroy()
  }
  onTestFinished(async () => {
    cut()
    await new Promise((resolve) => server.close(resolve))
  })
  return {
    address: `http://127.0.0.1:${bound.port}`,
    sockets: () => open.size,
    mostSockets: () => peak,
    allowConnections: (next) => {
      most = next
    },
    cut,
  }
}

function parse(request: IncomingMessage): Asked {
  const [path = '', query = ''] = (request.url ?? '').split('?')
  const asked = new URLSearchParams(query)
  const token = request.headers['x-consul-token']
  return {
    path: path.replace(/^\/v1/, ''),
    query: asked,
    token: typeof token === 'string' ? token : null,
    index: asked.get('index'),
    at: performance.now(),
  }
}

/** What is answered before the catalog is looked at; null: nothing is wrong. */
function refuse({ method, url = '' }: IncomingMessage, { path, query }: Asked): FakeAnswer | null {
  const decoded = decode(path)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are refused
  if (decoded === null || /[\u0000-\u001f\u007f]/.test(decoded)) return { status: 400, headers: {}, body: '' }
  if (!url.startsWith('/v1/')) return error(404, 'Invalid URL path: not a recognized HTTP API endpoint')
  if (method !== 'GET') return error(405, `method ${method} not allowed`)
  const index = query.get('index')
  if (index !== null && !(/^\d{1,20}$/.test(index) && BigInt(index) < 2n ** 64n)) return error(400, 'Invalid index')
  if (!/^\d+(ms|s|m)$/.test(query.get('wait') ?? '5m')) return error(400, 'Invalid wait time')
  if (query.has('stale') && query.has('consistent')) {
    return error(400, 'Cannot specify ?stale with ?consistent, conflicting semantics.')
  }
  const dc = query.get('dc')
  if (dc !== null && dc !== 'dc1') return error(500, 'No path to datacenter', { 'X-Consul-Index': '1' })
  const filter = query.get('filter')
  const isKnown = filter === null || tagOf(filter, path) !== null
  return isKnown ? null : error(500, 'Failed to create boolean expression evaluator: no match found')
}

function readCatalog(catalog: FakeCatalog, { path, query }: Asked, rights: Rights) {
  const segments = path.slice(1).split('/')
  const filter = query.get('filter')
  return catalog.read(
    segments.map((segment) => decode(segment) ?? ''),
    rights,
    filter === null ? null : tagOf(filter, path),
  )
}

/** The tag of `"TAG" in Tags`, the only expression it knows; its selector differs between the endpoints. */
function tagOf(filter: string, path: string): string | null {
  const selector = path.startsWith('/health/service/') ? 'Service\\.Tags' : 'Tags'
  return new RegExp(`^"([^"]*)" in ${selector}$`).exec(filter)?.[1] ?? null
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text)
  } catch {
    return null
  }
}

function error(status: number, body: string, headers: Readonly<Record<string, string>> = {}): FakeAnswer {
  return { status, headers: { ...plain, ...headers }, body }
}
