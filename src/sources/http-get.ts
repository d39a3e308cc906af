import http from 'node:http'
import https from 'node:https'
import { StringDecoder } from 'node:string_decoder'
import { printable } from '../problems.ts'
import type { Ms } from '../types.ts'

/** PEM texts, not file names. */
export interface HttpTls {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}

export interface HttpClientOptions {
  /** Only for `https://`, and for `tcp://`, which it makes HTTPS. */
  readonly tls?: HttpTls | null
  /** Sent with every request, exactly these. */
  readonly headers?: Readonly<Record<string, string>>
  /** From the first byte sent to the last received. Default 10 s. */
  readonly timeout?: Ms
  /** Of a body; a longer one is an error and is not read further. Default 4 MiB. */
  readonly maxBytes?: number
}

/** Any status is an answer. `error` names the request and the cause, never headers. */
export type HttpAnswer =
  | { readonly ok: true; readonly status: number; readonly headers: http.IncomingHttpHeaders; readonly body: Buffer }
  | { readonly ok: false; readonly error: string }

/** `status` is null when nothing was answered. */
export type JsonAnswer =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly status: number | null; readonly error: string }

export interface LineStream {
  /** Resolves when no line comes any more, with the reason; never rejects. */
  readonly ended: Promise<string>
  readonly close: () => void
}

export type LineAnswer =
  | { readonly ok: true; readonly stream: LineStream }
  | { readonly ok: false; readonly error: string }

/** GET over TCP, TLS or a unix socket. Nothing here throws or rejects; redirects are not followed. */
export interface HttpClient {
  readonly get: (path: string, signal: AbortSignal, options?: Omit<HttpClientOptions, 'tls'>) => Promise<HttpAnswer>
  /** Any status but 2xx, and a body that is no JSON, are errors. */
  readonly getJson: (path: string, signal: AbortSignal, options?: Omit<HttpClientOptions, 'tls'>) => Promise<JsonAnswer>
  /** An answer without end. The deadline is for its head only, the largest size is that of one line. */
  readonly getLines: (path: string, onLine: (line: string) => void, signal: AbortSignal) => Promise<LineAnswer>
  /** Ends connections that are kept open. */
  readonly close: () => void
}

const defaults = { timeout: 10_000, maxBytes: 4 * 1024 * 1024 }

/** `url`: `http://`, `https://`, `tcp://` with a host, or `unix://` with an absolute path. Nothing is dialled yet. */
export function httpClient(url: string, options: HttpClientOptions = {}): HttpClient {
  const tls = options.tls ?? null
  const origin = parseOrigin(url, tls !== null)
  const agentOptions = { keepAlive: true, keepAliveMsecs: 15_000 }
  const agent =
    origin.ok && origin.isTls ? new https.Agent({ ...agentOptions, ...tlsOptions(tls) }) : new http.Agent(agentOptions)

  function open(
    path: string,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal,
  ): http.ClientRequest | string {
    if (!origin.ok) return origin.error
    if (signal.aborted) return 'aborted'
    try {
      const request = { ...origin.target, agent, path, method: 'GET', headers }
      return origin.isTls ? https.request(request) : http.request(request)
    } catch (error) {
      return messageOf(error)
    }
  }

  const get: HttpClient['get'] = (path, signal, own = {}) => {
    const request = open(path, { ...options.headers, ...own.headers }, signal)
    if (typeof request === 'string') return Promise.resolve({ ok: false, error: `GET ${path}: ${request}` })
    const limits = {
      timeout: own.timeout ?? options.timeout ?? defaults.timeout,
      maxBytes: own.maxBytes ?? options.maxBytes ?? defaults.maxBytes,
    }
    return readWhole(request, path, limits, signal)
  }

  return {
    get,
    getJson: async (path, signal, own) => asJson(path, await get(path, signal, own)),
    getLines: (path, onLine, signal) => {
      const request = open(path, options.headers ?? {}, signal)
      if (typeof request === 'string') return Promise.resolve({ ok: false, error: `GET ${path}: ${request}` })
      const limits = { timeout: options.timeout ?? defaults.timeout, maxBytes: options.maxBytes ?? defaults.maxBytes }
      return readLines(request, path, onLine, limits, signal)
    },
    close: () => agent.destroy(),
  }
}

type Origin =
  | { readonly ok: true; readonly isTls: boolean; readonly target: http.RequestOptions }
  | { readonly ok: false; readonly error: string }

function parseOrigin(url: string, hasTls: boolean): Origin {
  const expected = { ok: false, error: 'expected http://, https:// or tcp://HOST:PORT, or unix:///PATH' } as const
  if (url.startsWith('unix:///')) {
    return { ok: true, isTls: false, target: { socketPath: url.slice('unix://'.length) } }
  }
  const match = /^(http|https|tcp):\/\/([^/?#@\s]+)\/?$/.exec(url)
  if (match === null) return expected
  const isTls = match[1] === 'https' || (match[1] === 'tcp' && hasTls)
  // Parsed under a scheme without a port of its own, so that none given is dropped.
  const authority = `tcp://${match[2]}`
  if (!URL.canParse(authority)) return expected
  const { hostname, port } = new URL(authority)
  const usual = match[1] === 'tcp' ? (isTls ? 2376 : 2375) : isTls ? 443 : 80
  return {
    ok: true,
    isTls,
    target: { hostname: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? usual : Number(port) },
  }
}

function tlsOptions(tls: HttpTls | null): https.AgentOptions {
  return {
    ...(tls?.ca == null ? {} : { ca: tls.ca }),
    ...(tls?.cert == null ? {} : { cert: tls.cert }),
    ...(tls?.key == null ? {} : { key: tls.key }),
  }
}

interface Limits {
  readonly timeout: Ms
  readonly maxBytes: number
}

/** Calls `fail` once on a dead connection, a passed deadline or an abort. `done` must be called when it is over. */
function watch(request: http.ClientRequest, timeout: Ms, signal: AbortSignal, fail: (why: string) => void): () => void {
  const stop = (why: string) => {
    fail(why)
    request.destroy()
  }
  const onAbort = () => stop('aborted')
  const timer = setTimeout(() => stop(`no whole answer within ${timeout} ms`), timeout)
  signal.addEventListener('abort', onAbort, { once: true })
  request.on('error', (error) => fail(messageOf(error)))
  request.on('upgrade', (_response, socket) => {
    socket.destroy()
    fail('the server switched protocols')
  })
  return () => {
    clearTimeout(timer)
    signal.removeEventListener('abort', onAbort)
  }
}

function readWhole(
  request: http.ClientRequest,
  path: string,
  limits: Limits,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return new Promise((resolve) => {
    const settle = (answer: HttpAnswer) => {
      done()
      resolve(answer)
    }
    const fail = (why: string) => settle({ ok: false, error: `GET ${path}: ${why}` })
    let done = () => {}
    done = watch(request, limits.timeout, signal, fail)
    request.on('response', (response) => {
      const chunks: Buffer[] = []
      let size = 0
      response.on('data', (chunk: Buffer) => {
        size += chunk.length
        if (size <= limits.maxBytes) chunks.push(chunk)
        else {
          chunks.length = 0
          fail(`more than ${limits.maxBytes} bytes`)
          request.destroy()
        }
      })
      response.on('error', (error) => fail(messageOf(error)))
      response.on('close', () => {
        if (!response.complete) return fail('the answer ended early')
        settle({ ok: true, status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) })
      })
    })
    request.end()
  })
}

function asJson(path: string, answer: HttpAnswer): JsonAnswer {
  if (!answer.ok) return { ok: false, status: null, error: answer.error }
  const { status, body } = answer
  if (status < 200 || status > 299) {
    return { ok: false, status, error: `GET ${path}: status ${status}${excerpt(body)}` }
  }
  try {
    return { ok: true, value: JSON.parse(body.toString('utf8')) }
  } catch {
    return { ok: false, status, error: `GET ${path}: expected JSON${excerpt(body)}` }
  }
}

function excerpt(body: Buffer): string {
  const text = body.subarray(0, 120).toString('utf8').trim()
  return text === '' ? '' : `, got ${printable(text)}`
}

function readLines(
  request: http.ClientRequest,
  path: string,
  onLine: (line: string) => void,
  limits: Limits,
  signal: AbortSignal,
): Promise<LineAnswer> {
  return new Promise((resolve) => {
    let end = (_why: string) => {}
    const ended = new Promise<string>((resolveEnd) => {
      end = resolveEnd
    })
    const fail = (why: string) => {
      done()
      end(`GET ${path}: ${why}`)
      resolve({ ok: false, error: `GET ${path}: ${why}` })
    }
    let done = () => {}
    done = watch(request, limits.timeout, signal, fail)
    request.on('response', (response) => {
      if (response.statusCode !== 200) {
        request.destroy()
        return fail(`status ${response.statusCode}`)
      }
      done()
      const onAbort = () => request.destroy()
      signal.addEventListener('abort', onAbort, { once: true })
      response.on(
        'data',
        lineReader(onLine, limits.maxBytes, (why) => {
          fail(why)
          request.destroy()
        }),
      )
      response.on('error', (error) => fail(messageOf(error)))
      response.on('close', () => {
        signal.removeEventListener('abort', onAbort)
        fail(signal.aborted ? 'aborted' : 'the stream ended')
      })
      resolve({ ok: true, stream: { ended, close: () => request.destroy() } })
    })
    request.end()
  })
}

function lineReader(onLine: (line: string) => void, longest: number, fail: (why: string) => void) {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  return (chunk: Buffer) => {
    const lines = (rest + decoder.write(chunk)).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') onLine(line)
    if (rest.length > longest) {
      rest = ''
      fail(`a line of more than ${longest} characters`)
    }
  }
}

function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error))
  // Dialling a name with several addresses fails with one error for each and an empty text of its own.
  const causes = error instanceof AggregateError ? error.errors.map((cause) => messageOf(cause)) : []
  return causes.length > 0 ? causes.join(', ') : printable(error.message || error.name)
}
