import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { IncomingHttpHeaders } from 'node:http'
import { isIPv4 } from 'node:net'
import { isLoopback, parseListenAddress } from '../settings/addresses.ts'
import type { Settings } from '../settings/schema.ts'

/** Who may read the endpoint over TCP. On the control socket the file's mode decides instead. */
export interface Access {
  /** Names or addresses of this endpoint that a Host header may carry besides the loopback ones; a port is optional. */
  readonly allowedHosts: readonly string[]
  /** Asked at each request, so that a token file can change. Null: none is set; '': one is set, and nothing matches it. */
  readonly token: () => string | null
  /** It listens on a loopback address: loopback names are right, and it may go without a token. */
  readonly isLoopback: boolean
}

/** A token file is read at each request, so that the token can be changed; while it can't be read, no token is right. */
export function accessOf({ listen, allowedHosts, token, tokenFile }: Settings['status']): Access {
  return {
    allowedHosts,
    token: () => (tokenFile === null ? token : readToken(tokenFile)),
    isLoopback: isLoopback(parseListenAddress(listen)?.address ?? null),
  }
}

function readToken(file: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}

export interface Refusal {
  readonly status: 401 | 403
  readonly error: string
  readonly hint: string
}

/**
 * A page of another site can make a browser ask us in two ways: under its own name after rebinding that name to our
 * address (the Host header tells), or across sites (`Sec-Fetch-Site` tells). Probes may use any address, not any name.
 */
export function refuseHost(headers: IncomingHttpHeaders, access: Access, isProbe: boolean): Refusal | null {
  const host = parseHost(headers.host ?? '')
  if (host === null || !isOwnName(host, access, isProbe)) {
    return {
      status: 403,
      error: 'the Host header names another site',
      hint: 'use the address of status.listen, or add the name to status.allowedHosts',
    }
  }
  const isForeign = headers['sec-fetch-site'] === 'cross-site' || headers['sec-fetch-site'] === 'same-site'
  if (isForeign && headers['sec-fetch-mode'] !== 'navigate') {
    return { status: 403, error: 'asked by a page of another site', hint: 'open the address itself in the browser' }
  }
  return null
}

interface Host {
  readonly name: string
  readonly port: string
}

function parseHost(header: string): Host | null {
  const [, name, port = ''] = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::([0-9]{1,5}))?$/i.exec(header) ?? []
  return name === undefined ? null : { name: name.toLowerCase().replace(/\.$/, ''), port }
}

function isOwnName(host: Host, access: Access, isProbe: boolean): boolean {
  const isAddress = host.name.startsWith('[') || isIPv4(host.name)
  // an address can't be made to mean another machine, as a name can; off loopback a token is needed besides
  if (isAddress && (isProbe || !access.isLoopback)) return true
  const isLoopback =
    host.name === 'localhost' || host.name === '[::1]' || (isIPv4(host.name) && /^127\./.test(host.name))
  if (access.isLoopback && isLoopback) return true
  return access.allowedHosts.some((allowed) => {
    const own = parseHost(allowed)
    return own !== null && own.name === host.name && (own.port === '' || own.port === host.port)
  })
}

/**
 * `Authorization: Bearer TOKEN`, or Basic with the token as password and any user, which browsers ask for themselves.
 * Without a token only loopback is open.
 */
export function refuseToken(headers: IncomingHttpHeaders, access: Access): Refusal | null {
  const expected = access.token()
  if (expected === null && access.isLoopback) return null
  const given = tokenOf(headers.authorization ?? '')
  if (expected !== null && expected !== '' && given !== null && isSameText(given, expected)) return null
  return {
    status: 401,
    error: given === null ? 'a token is needed' : 'the token is wrong',
    hint: 'send the header Authorization: Bearer TOKEN with the value of status.token',
  }
}

function tokenOf(authorization: string): string | null {
  const [, scheme = '', credentials = ''] = /^(Bearer|Basic) +(\S+)$/i.exec(authorization) ?? []
  if (scheme === '') return null
  if (scheme.toLowerCase() === 'bearer') return credentials
  const decoded = Buffer.from(credentials, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return colon === -1 ? null : decoded.slice(colon + 1)
}

/** Takes the same time wherever the texts differ, and whatever their lengths are. */
function isSameText(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest())
}
