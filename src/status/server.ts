import { type OutgoingHttpHeaders, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import type { State } from '../control/state.ts'
import type { AskLoads } from '../haproxy/loads.ts'
import type { Ms } from '../types.ts'
import { type Access, refuseHost, refuseToken } from './access.ts'
import { type Answer, createAnswers, refuse } from './answers.ts'
import { limitConnections } from './connections.ts'
import { createEventStreams } from './events.ts'
import type { ExplainView } from './explanation.ts'
import type { Metrics } from './metrics.ts'
import { operations, operationTable } from './operations.ts'

export interface StatusServerSettings {
  /** The newest state; asked at each request. */
  readonly state: () => State
  /** Calls the listener after each new state; the function it gives back ends that. */
  readonly subscribe: (listener: () => void) => () => void
  /** Null: nothing has been decided yet. */
  readonly explain: (url: string, method: string, live: boolean) => Promise<ExplainView | null>
  readonly loads: AskLoads
  /** Settings in force, without secrets. */
  readonly config: () => unknown
  readonly metrics: Metrics
  /** `socket`: on the control socket, whose file mode says who may connect. */
  readonly access: Access | 'socket'
  readonly log: Pick<Logger, 'debug' | 'error'>
  readonly now?: () => Ms
  readonly limits?: Partial<StatusLimits>
}

/** What one client may take. Times in milliseconds, sizes in bytes. */
export interface StatusLimits {
  readonly connections: number
  readonly requestsPerConnection: number
  /** Request line and headers together. */
  readonly header: number
  readonly url: number
  /** For a request to arrive whole. */
  readonly requestTimeout: Ms
  /** Without a byte moving in either direction. */
  readonly silence: Ms
  readonly eventStreams: number
  readonly unreadEvents: number
  readonly pingEvery: Ms
  readonly explainTimeout: Ms
}

const defaultLimits: StatusLimits = {
  connections: 400,
  requestsPerConnection: 1000,
  header: 8192,
  url: 4096,
  requestTimeout: 5000,
  silence: 20_000,
  eventStreams: 100,
  unreadEvents: 65_536,
  pingEvery: 15_000,
  explainTimeout: 5000,
}

const safeHeaders = {
  'content-security-policy':
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
} as const

const tooManyStreams: Answer = {
  ...refuse(503, 'too many event streams are open', 'close some, or ask /api/v1/status now and then'),
  headers: { 'retry-after': '5' },
}
const wrongMethod: Answer = {
  ...refuse(405, 'only GET and HEAD are answered', 'the status endpoint is read-only'),
  // what the client still sends is not waited for
  headers: { allow: 'GET, HEAD', connection: 'close' },
}
const nothingHere = refuse(404, 'there is nothing at this path', 'see /api/v1/openapi.json for what there is')
const badRequest = refuse(400, 'this is no HTTP request that can be understood', 'see /api/v1/openapi.json')

/**
 * The status endpoint, not listening yet: `listen({ host, port })` or, for the control socket, `listen({ path })`.
 * `close()` ends every connection, event streams too.
 */
export function createStatusServer(settings: StatusServerSettings): FastifyInstance {
  const { state, subscribe, log, now = Date.now } = settings
  const limits = { ...defaultLimits, ...settings.limits }
  const app = createApp(limits)
  const answers = createAnswers({ ...settings, now, explainTimeout: limits.explainTimeout })
  const streams = createEventStreams({
    state,
    subscribe,
    now,
    most: limits.eventStreams,
    pingEvery: limits.pingEvery,
    mostUnread: limits.unreadEvents,
  })
  settings.metrics.countStreams(streams.count)

  app.addHook('onRequest', async (request, reply) => {
    reply.headers(safeHeaders)
    const refusal = refusalOf(request, settings.access, limits)
    if (refusal !== null) return send(reply, refusal)
  })
  app.addHook('onResponse', async ({ method, routeOptions }, { statusCode }) => {
    log.debug({ method, route: routeOptions.url, status: statusCode }, 'answered')
  })
  for (const [name, { url }] of operationTable) {
    const answer = answers.get(name)
    if (answer === undefined) continue
    app.get(url, async ({ query, params }, reply) => send(reply, await answer({ query, params })))
  }
  app.get(operations.events.url, (request, reply) => {
    if (request.method === 'HEAD') return reply.type('text/event-stream; charset=utf-8').send('')
    const headers: OutgoingHttpHeaders = { ...safeHeaders }
    if (!streams.open(reply.raw, headers)) return send(reply, tooManyStreams)
    return reply.hijack()
  })
  app.setNotFoundHandler((_request, reply) => send(reply, nothingHere))
  app.setErrorHandler((error, { routeOptions }, reply) => {
    log.error({ err: error, route: routeOptions.url }, 'status request failed')
    return send(reply, refuse(500, 'this could not be answered', 'see the log'))
  })
  app.addHook('preClose', async () => streams.close())
  limitConnections(app.server, limits.connections)
  return app
}

function createApp(limits: StatusLimits): FastifyInstance {
  return Fastify({
    logger: false,
    trustProxy: false,
    bodyLimit: 1024,
    requestTimeout: limits.requestTimeout,
    connectionTimeout: limits.silence,
    keepAliveTimeout: limits.silence,
    maxRequestsPerSocket: limits.requestsPerConnection,
    http: {
      maxHeaderSize: limits.header,
      headersTimeout: limits.requestTimeout,
      connectionsCheckingInterval: Math.min(1000, limits.requestTimeout),
    },
    routerOptions: { maxParamLength: 20 },
    forceCloseConnections: true,
    clientErrorHandler: (error, socket) => refuseConnection(socket, error.code),
    frameworkErrors: (_error, _request, reply) => send(reply.headers(safeHeaders), badRequest),
  })
}

function send(reply: FastifyReply, { status, type, body, headers = {} }: Answer): FastifyReply {
  return reply.code(status).type(type).headers(headers).send(body)
}

/** In this order: what can't be right for anybody first, what depends on who asks last. */
function refusalOf(
  { method, url, headers }: FastifyRequest,
  access: Access | 'socket',
  limits: StatusLimits,
): Answer | null {
  const path = url.split('?', 1)[0]
  const isProbe = path === operations.livez.url || path === operations.readyz.url
  const refused = access === 'socket' ? null : refuseHost(headers, access, isProbe)
  if (refused !== null) return refuse(refused.status, refused.error, refused.hint)
  if (method !== 'GET' && method !== 'HEAD') return wrongMethod
  if (url.length > limits.url) return refuse(414, 'the URL is too long', `it may have ${limits.url} characters`)
  const unknown = access === 'socket' || isProbe ? null : refuseToken(headers, access)
  if (unknown === null) return null
  return {
    ...refuse(unknown.status, unknown.error, unknown.hint),
    headers: { 'www-authenticate': challengeFor(headers) },
  }
}

/** Browsers ask for a token by themselves when Basic is offered; nobody else is led to put it into a password. */
function challengeFor({ accept = '' }: FastifyRequest['headers']): string {
  return accept.includes('text/html') ? 'Basic realm="heddle", charset="UTF-8"' : 'Bearer realm="heddle"'
}

const clientErrors = new Map([
  ['ERR_HTTP_REQUEST_TIMEOUT', 408],
  ['HPE_HEADER_OVERFLOW', 431],
])

/** For what is no request yet: Node.js has no response object for it. */
function refuseConnection(socket: Socket, code: string | undefined): void {
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const status = clientErrors.get(code ?? '') ?? 400
  const { body, type } = refuse(
    status,
    STATUS_CODES[status]?.toLowerCase() ?? 'refused',
    'send a plain HTTP/1.1 request',
  )
  const headers = {
    ...safeHeaders,
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    connection: 'close',
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`, () => socket.destroy())
}
