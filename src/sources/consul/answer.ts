import http from 'node:http'
import { printable } from '../../problems.ts'

/** What became of a request. */

/** A 200. The body is whatever came, of JSON what it says, or its bytes where these were asked for. */
export interface Answer {
  readonly kind: 'answered'
  readonly body: unknown
  /** X-Consul-Index; null when it is missing, 0 or no number, and so can't be waited on. */
  readonly index: bigint | null
  /** Something was left out because the token may not see it. */
  readonly isFiltered: boolean
  /** No token was sent and the default is to deny: Consul then leaves things out without saying so. */
  readonly isAnonymous: boolean
}

/** Anything else: `status` is HTTP's, null when there was no answer. */
export interface Failure {
  readonly kind: 'failed'
  readonly status: number | null
  readonly why: string
}

/** Without a status there was no answer. */
export function failure(why: string, status: number | null = null): Failure {
  return { kind: 'failed', status, why: printable(why) }
}

const largestIndex = 2n ** 64n - 1n

/** Of what the `consul` package returns when asked for the response too: `[response, body]`. */
export function answered(result: unknown, isWithoutToken: boolean): Answer | Failure {
  const [response, body]: readonly unknown[] = Array.isArray(result) ? result : []
  if (!(response instanceof http.IncomingMessage)) return failure('expected an answer, got none')
  const { headers, statusCode } = response
  if (statusCode !== 200) return failure(`expected status 200, got ${statusCode}`, statusCode ?? null)
  return {
    kind: 'answered',
    body,
    index: parseIndex(headers['x-consul-index']),
    isFiltered: headers['x-consul-results-filtered-by-acls'] === 'true',
    isAnonymous: isWithoutToken && headers['x-consul-default-acl-policy'] === 'deny',
  }
}

function parseIndex(text: string | string[] | undefined): bigint | null {
  if (typeof text !== 'string' || !/^[0-9]{1,20}$/.test(text)) return null
  const index = BigInt(text)
  return index > 0n && index <= largestIndex ? index : null
}

/** Without the secrets, whoever repeats them. */
export function failed(error: unknown, secrets: readonly (string | null)[]): Failure {
  const response = error instanceof Error && 'response' in error ? error.response : null
  const status = response instanceof http.IncomingMessage ? (response.statusCode ?? null) : null
  let why = error instanceof Error ? describe(error, response, status) : String(error)
  for (const secret of secrets) if (secret !== null && secret !== '') why = why.replaceAll(secret, '***')
  return failure(why, status)
}

/** Consul explains itself in plain text; other pages (a proxy's HTML) are not worth repeating. */
function describe(error: Error, response: unknown, status: number | null): string {
  if (status !== null && status !== 200) {
    const body = typeof response === 'object' && response !== null && 'body' in response ? response.body : null
    const type = response instanceof http.IncomingMessage ? (response.headers['content-type'] ?? '') : ''
    const isText = (typeof body === 'string' || Buffer.isBuffer(body)) && type.startsWith('text/plain')
    return `status ${status}: ${isText ? body.toString().trim() : (http.STATUS_CODES[status] ?? 'unknown')}`
  }
  const text = error.message.replace(/^consul: /, '').replace(/^[a-z.]+: /, '')
  return text.trim() === '' && 'code' in error ? String(error.code) : text
}
