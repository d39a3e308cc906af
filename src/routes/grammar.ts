import type { Match, MatchKey } from '../types.ts'

/**
 * The text form of a match: `[host] [path]`, as docs/routes.md teaches it. Everything that gets through here is
 * inside an allow-list, so it can stand in a map file or a runtime command without quoting.
 */

export type Parsed<T> =
  | { readonly kind: 'parsed'; readonly value: T }
  | {
      readonly kind: 'wrong'
      readonly code: 'empty-match' | 'bad-host' | 'bad-path'
      readonly reason: string
      readonly hint?: string
    }

const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const namePattern = new RegExp(`^${label}(?:\\.${label})*$`)
const longestName = 253
const longestPath = 512

/** Letters of ASCII alone: others have lower-case forms in it (the Kelvin sign) that a request never has. */
export function foldCase(text: string): string {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
}

/** True for a lower-case DNS name whose labels are 1 to 63 of letters, digits, `-` and `_` (RFC 1123, and `_`). */
export function isHostName(text: string): boolean {
  return text.length <= longestName && namePattern.test(text)
}

/** Reads the match of a route. Upper case in a host is legal and folded; the path is taken as it is. */
export function parseMatch(text: string): Parsed<Match> {
  if (text === '') return { kind: 'wrong', code: 'empty-match', reason: 'the match is empty' }
  const slash = text.indexOf('/')
  const host = parseHost(slash === -1 ? text : text.slice(0, slash))
  if (host.kind === 'wrong') return host
  const path = parsePath(slash === -1 ? '/' : text.slice(slash))
  if (path.kind === 'wrong') return path
  return { kind: 'parsed', value: { host: host.value, ...path.value } }
}

function parseHost(text: string): Parsed<string> {
  if (text === '') return { kind: 'parsed', value: '*' }
  const name = foldCase(text)
  const wrong = (reason: string, hint?: string): Parsed<string> => ({
    kind: 'wrong',
    code: 'bad-host',
    reason,
    ...(hint === undefined ? {} : { hint }),
  })
  if (name === '*') return wrong('`*` is no host name', 'leave the host out for any host: /path')
  const rest = name.startsWith('*.') ? name.slice(2) : name
  if (rest.includes('*')) return wrong('`*` can only stand for the whole beginning: *.example.com')
  if (rest.endsWith('.'))
    return wrong('the host ends in a dot', 'write it without the dot: requests match with or without')
  if (/^https?:$/.test(rest)) return wrong('the host has a scheme', 'leave http:// out: shop.example.com/api')
  if (/:[0-9]*$/.test(rest)) return wrong('the host has a port', 'leave the port out: requests match with any port')
  if (rest.length > longestName) return wrong(`the host is longer than ${longestName} characters`)
  if (!namePattern.test(rest)) return wrong('the host is no DNS name')
  return { kind: 'parsed', value: name }
}

function parsePath(text: string): Parsed<Omit<Match, 'host'>> {
  const mark = text.at(-1)
  const path = mark === '$' || mark === '*' ? text.slice(0, -1) : text
  const reason = pathFault(path)
  if (reason !== null) return { kind: 'wrong', code: 'bad-path', reason }
  if (mark === '$') return { kind: 'parsed', value: { path, kind: 'exact' } }
  // every path begins with `/`, so the raw `/*` and the segments `/` ask for the same
  if (mark === '*' && path !== '/') return { kind: 'parsed', value: { path, kind: 'raw' } }
  return { kind: 'parsed', value: { path: trimSlash(path) || '/', kind: 'prefix' } }
}

/** Why a text is no path that a route, `strip` or `add` may name; null: it is one. */
export function pathFault(path: string): string | null {
  if (!path.startsWith('/')) return 'the path does not begin with `/`'
  if (path.length > longestPath) return `the path is longer than ${longestPath} characters`
  if (!/^[A-Za-z0-9._~/-]*$/.test(path)) return 'the path has a character other than letters, digits and `/._~-`'
  if (path.includes('//')) return 'the path has an empty segment'
  if (path.split('/').some((segment) => segment === '.' || segment === '..'))
    return 'the path has a `.` or `..` segment'
  return null
}

/** `/api/` and `/api` name the same whole segments. */
export function trimSlash(path: string): string {
  return path.endsWith('/') ? path.slice(0, -1) : path
}

const marks = { prefix: '', exact: '$', raw: '*' } as const

/** The canonical text, which reads back to the same match; the key that routes are compared and ordered by. */
export function printMatch(match: Match): MatchKey {
  return `${match.host === '*' ? '' : match.host}${match.path}${marks[match.kind]}`
}
