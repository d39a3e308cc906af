import { EventEmitter } from 'node:events'
import { readFile } from 'node:fs/promises'
import http from 'node:http'
import https from 'node:https'
import Consul from 'consul'
import type { Ms } from '../../types.ts'
import { type Answer, answered, type Failure, failed, failure } from './answer.ts'
import { type Connections, connections } from './connections.ts'

/**
 * Asks a Consul agent. The only file that knows the `consul` package, which lacks what is added here: cancelling by
 * AbortSignal, a deadline, a bound on bodies, an end for answers that are cut short, and errors without secrets.
 */

export interface ConnectionSettings {
  /** `http://HOST:PORT`, `https://HOST:PORT` or `unix:///PATH`; without a scheme it is http. */
  readonly address: string
  readonly token: string | null
  /** File with the token; read again when it is needed, so that a new token is taken without a restart. */
  readonly tokenFile: string | null
  readonly datacenter: string | null
  /** Paths of PEM files, and the name that the agent's certificate must bear. */
  readonly tls: {
    readonly ca: string | null
    readonly cert: string | null
    readonly key: string | null
    readonly serverName: string | null
  }
  /** Null: as many as the agent has for us, once it is known. */
  readonly maxConnections: number | null
}

/** The reads that heddle makes; `filter` is Consul's expression, in the selectors of that endpoint. */
export type Read =
  | { readonly of: 'agent/self' }
  | { readonly of: 'catalog/nodes' }
  | { readonly of: 'catalog/services' }
  | { readonly of: 'catalog/node'; readonly name: string; readonly filter: string | null }
  | { readonly of: 'health/node'; readonly name: string }
  | { readonly of: 'health/service'; readonly name: string; readonly filter: string | null }

export interface How {
  /** Blocks until the index is passed; null: answers at once. */
  readonly index: bigint | null
  /** Longest time to block, where that is shorter than usual. */
  readonly wait?: Ms
  /** Of the usual time to block: from 0 to 1. */
  readonly share?: number
  /** Ask the leader to make sure that it still is one. */
  readonly consistent: boolean
  /** The body of the answer is its bytes, for who reads them with less work than from the start. */
  readonly isRaw?: boolean
}

export interface Client {
  /** Never rejects. After `signal` is aborted the result means nothing. */
  readonly read: (read: Read, how: How, signal: AbortSignal) => Promise<Answer | Failure>
  readonly connections: Connections
  /** Closes all sockets. */
  readonly close: () => void
}

/** Longest wait of a blocking query unless said otherwise. */
const defaultWait: Ms = 60_000
/** What an agent may take beyond the wait it was asked for; it also answers late while a leader is missing (7.6 s). */
const defaultMargin: Ms = 10_000
/** Three quarters of the 200 that an agent takes from a client unless it is told otherwise. */
const defaultConnections = 150
const largestBody = 32 * 1024 * 1024
const tokenLife: Ms = 1000

export function createClient(settings: ConnectionSettings, tempo: { wait?: Ms; margin?: Ms } = {}): Client {
  const slots = connections(settings.maxConnections ?? defaultConnections, tempo.wait ?? defaultWait)
  const margin = tempo.margin ?? defaultMargin
  const readToken = tokenReader(settings)
  let opened: Opened | null = null
  let isClosed = false

  async function open(): Promise<Opened> {
    const fresh = opened === null ? await connect(settings) : opened
    // two requests may have opened one each: the first stays
    opened ??= fresh
    if (fresh !== opened || isClosed) fresh.agent.destroy()
    return opened
  }

  async function ask(read: Read, how: How, signal: AbortSignal): Promise<Answer | Failure> {
    const usual = Math.ceil(slots.wait() * (how.share ?? 1))
    const wait = how.index === null ? 0 : Math.min(usual, how.wait ?? Number.POSITIVE_INFINITY)
    const deadline = wait + wait / 16 + margin
    const ctx = Object.assign(new EventEmitter(), { includeResponse: true, isRaw: how.isRaw === true })
    const cancel = () => ctx.emit('cancel')
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      cancel()
    }, deadline)
    signal.addEventListener('abort', cancel, { once: true })
    let token = settings.token
    try {
      token = await readToken()
      const { consul } = await open()
      if (signal.aborted || isLate) throw new Error('aborted')
      const result = await send(consul, read, {
        ctx,
        ...(token === null ? {} : { token }),
        ...(how.index === null ? {} : { index: String(how.index), wait: `${wait}ms` }),
        ...(how.consistent ? { consistent: true } : {}),
      })
      return answered(result, token === null)
    } catch (error) {
      return isLate ? failure(`no answer within ${deadline / 1000} s`) : failed(error, [settings.token, token])
    } finally {
      clearTimeout(timer)
      signal.removeEventListener('abort', cancel)
    }
  }

  return {
    read: async (read, how, signal) => {
      if (!(await slots.take(how.index === null, signal))) return failure('aborted')
      try {
        const outcome = await ask(read, how, signal)
        if (outcome.kind === 'failed' && outcome.status === 429) slots.refused()
        return outcome
      } finally {
        slots.release()
      }
    },
    connections: slots,
    close: () => {
      isClosed = true
      opened?.agent.destroy()
    },
  }
}

// ---------------------------------------------------------------------------------------------- the consul package

interface Opened {
  readonly consul: Consul
  readonly agent: http.Agent
}

/** Its types know neither the context nor the index of a blocking query; its code takes both. */
interface Options {
  readonly ctx: EventEmitter
  readonly token?: string
  readonly index?: string
  readonly wait?: string
  readonly consistent?: boolean
  readonly filter?: string
}

async function connect(settings: ConnectionSettings): Promise<Opened> {
  const { address, tls } = settings
  const socketPath = address.startsWith('unix://') ? address.slice('unix://'.length) : null
  const url = new URL(
    socketPath === null ? (address.includes('://') ? address : `http://${address}`) : 'http://localhost',
  )
  // how many there are is up to `connections`
  const pooling = { keepAlive: true, maxFreeSockets: Number.POSITIVE_INFINITY }
  const agent =
    url.protocol === 'https:'
      ? new https.Agent({
          ...pooling,
          ...(tls.ca === null ? {} : { ca: await readFile(tls.ca) }),
          ...(tls.cert === null ? {} : { cert: await readFile(tls.cert) }),
          ...(tls.key === null ? {} : { key: await readFile(tls.key) }),
          ...(tls.serverName === null ? {} : { servername: tls.serverName }),
        })
      : new http.Agent(pooling)
  const base = `${url.href.replace(/\/+$/, '')}/v1`
  const options = {
    baseUrl: base,
    agent,
    ...(socketPath === null ? {} : { socketPath }),
    ...(settings.datacenter === null ? {} : { defaults: { dc: settings.datacenter } }),
  }
  const consul = new Consul(options)
  guardAnswers(consul)
  return { consul, agent }
}

function send(consul: Consul, read: Read, options: Options): Promise<unknown> {
  switch (read.of) {
    case 'agent/self':
      return consul.agent.self(options)
    case 'catalog/nodes':
      return consul.catalog.node.list(options)
    case 'catalog/services':
      return consul.catalog.service.list(options)
    case 'catalog/node':
      return consul.catalog.node.services({ ...options, ...filtered(read), node: read.name })
    case 'health/node':
      // the declared type says `name`; the code wants `node`
      return consul.health.node({ ...options, name: read.name, ...{ node: read.name } })
    case 'health/service':
      return consul.health.service({ ...options, ...filtered(read), service: read.name })
  }
}

function filtered(read: { readonly filter: string | null }): { readonly filter?: string } {
  return read.filter === null ? {} : { filter: read.filter }
}

interface Request {
  readonly ctx?: { readonly isRaw?: boolean }
  readonly opts: { buffer?: boolean }
  transport: { readonly request: (options: http.RequestOptions) => http.ClientRequest }
}

interface Extensible {
  readonly _ext: (event: 'onRequest', extend: (request: Request, next: () => void) => void) => void
}

function isExtensible(client: object): client is Extensible {
  return '_ext' in client && typeof client._ext === 'function'
}

/**
 * Collects a body without bound, waits for ever when it is cut short, and knows no way to ask for its bytes: all of that is put
 * right through its extension hook.
 */
function guardAnswers(client: object): void {
  if (!isExtensible(client)) throw new Error('expected the consul client to take extensions')
  client._ext('onRequest', (request, next) => {
    const { transport, ctx, opts } = request
    opts.buffer = ctx?.isRaw === true
    request.transport = { request: (options) => guard(transport.request(options)) }
    next()
  })
}

function guard(request: http.ClientRequest): http.ClientRequest {
  const giveUp = (why: string) => {
    request.emit('error', new Error(why))
    request.destroy()
  }
  return request.once('response', (response) => {
    let length = 0
    response.on('data', (chunk: Buffer) => {
      length += chunk.length
      if (length > largestBody) giveUp(`the answer is larger than ${largestBody >> 20} MiB`)
    })
    response.once('close', () => {
      if (!response.complete) giveUp('the answer was cut short')
    })
  })
}

/** The token of the settings, or of the file as it was at most a second ago. */
function tokenReader(settings: ConnectionSettings): () => Promise<string | null> {
  const { token, tokenFile } = settings
  if (tokenFile === null) return async () => token
  let reading: Promise<string> | null = null
  let readAt = Number.NEGATIVE_INFINITY
  return () => {
    if (reading === null || performance.now() - readAt > tokenLife) {
      reading = readFile(tokenFile, 'utf8').then((text) => {
        const read = text.trim()
        // perhaps it is just being written; without it we would see what everybody may, and believe it
        if (read === '') throw new Error(`${tokenFile} is empty`)
        return read
      })
      readAt = performance.now()
    }
    return reading
  }
}
