import type { Match, Model, Route } from '../types.ts'

/**
 * The reference matcher: what the rules of docs/routes.md say about a request, on the model itself. `explain` answers
 * with it, and the tests ask the real HAProxy the same questions. It knows nothing of map keys.
 */

/** A request as it stands on the wire. */
export interface RequestLine {
  readonly method: string
  /** The Host header's text; null: there is none. */
  readonly host: string | null
  /** Without the query; `*` of `OPTIONS *`; '' where the target has none. */
  readonly path: string
  /** True for a target such as `http://user@host/`. */
  readonly hasUser: boolean
}

/** A wildcard takes 1 to this many labels in place of its `*`. */
const deepestWildcard = 8

const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const hostPattern = new RegExp(`^((?:${label}\\.)*${label})\\.?(?::[0-9]{0,5})?$`, 'i')

/** The name in a Host header, in lower case, without port and trailing dot; null when it is no name. */
export function hostName(header: string): string | null {
  return hostPattern.exec(header)?.[1]?.toLowerCase() ?? null
}

/** Host patterns that could take a name, most specific first: the name, wildcards, any. */
export function hostPatterns(name: string): readonly string[] {
  const labels = name.split('.')
  const wildcards = labels.slice(1, deepestWildcard + 1).map((_, index) => `*.${labels.slice(index + 1).join('.')}`)
  return [name, ...wildcards, '*']
}

/** Why a request is refused with 400 whatever the routes are; null: it is not. */
export function refusal({ method, host, path, hasUser }: RequestLine): string | null {
  if (host === null) return 'there is no Host header'
  if (hostName(host) === null) return 'the Host header is no host name'
  if (method === 'CONNECT') return 'CONNECT is never passed on'
  if (hasUser) return 'there is a user in the URL'
  if (hasDotSegment(path)) return 'the path has a `.` or `..` segment'
  if (path.includes('%00')) return 'the path has a NUL'
  if (path.includes('\\')) return 'the path has a backslash'
  return null
}

/** True for a path with a segment `.` or `..`, plain or encoded, whatever bounds it. */
export function hasDotSegment(path: string): boolean {
  return /(?:^|[/\\;]|%2f|%5c)(?:\.|%2e){1,2}(?:[/\\;]|%2f|%5c|$)/i.test(path)
}

/** True for a path that services could read in two ways: `//`, `;`, encoded separators or encoded plain characters. */
export function isOddPath(path: string): boolean {
  return /\/\/|;|%2f|%5c|%2[de]|%3[0-9]|%[46][1-9a-f]|%5[0-9af]|%7[0-9ae]/i.test(path)
}

/** True when the path alone, whatever its host, is what the match asks for. */
export function pathMatches(match: Match, path: string): boolean {
  switch (match.kind) {
    case 'exact':
      return path === match.path
    case 'raw':
      return path.startsWith(match.path)
    case 'prefix':
      return match.path === '/' ? path.startsWith('/') : path === match.path || path.startsWith(`${match.path}/`)
  }
}

/**
 * Orders two matches of the same host that both take a path: negative when `a` is the more specific. Exact before
 * others, then the longer text, `/a` counting as long as `/a/`. At equal length (`/a` and the raw `/a/*`) the raw
 * match comes first: it takes only what follows, so `/a` itself is left to the whole segments.
 */
export function compareSpecificity(a: Match, b: Match): number {
  const rank = ({ kind }: Match) => (kind === 'exact' ? 0 : 1)
  const length = ({ kind, path }: Match) => path.length + (kind === 'prefix' && path !== '/' ? 1 : 0)
  const rawness = ({ kind }: Match) => (kind === 'raw' ? 0 : 1)
  return rank(a) - rank(b) || length(b) - length(a) || rawness(a) - rawness(b)
}

type RoutesByHost = ReadonlyMap<string, readonly Route[]>
const indexes = new WeakMap<Model['routes'], RoutesByHost>()

/** Routes by host pattern. Memoised on the array of routes. */
export function routesByHost(routes: Model['routes']): RoutesByHost {
  const known = indexes.get(routes)
  if (known !== undefined) return known
  const index = new Map<string, Route[]>()
  for (const route of routes) {
    const group = index.get(route.match.host)
    if (group === undefined) index.set(route.match.host, [route])
    else group.push(route)
  }
  indexes.set(routes, index)
  return index
}

/** The route that takes host and path: the most specific host that has one, then the most specific path. */
export function findRoute(routes: Model['routes'], name: string, path: string): Route | null {
  const index = routesByHost(routes)
  for (const pattern of hostPatterns(name)) {
    const taking = (index.get(pattern) ?? []).filter((route) => pathMatches(route.match, path))
    const [best] = taking.sort((a, b) => compareSpecificity(a.match, b.match))
    if (best !== undefined) return best
  }
  return null
}
