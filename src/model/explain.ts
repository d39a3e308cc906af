import { printMatch } from '../routes/grammar.ts'
import type { Model, Redirect, RenderSettings, Route, Server } from '../types.ts'
import {
  compareSpecificity,
  findRoute,
  hasDotSegment,
  hostName,
  hostPatterns,
  isOddPath,
  pathMatches,
  type RequestLine,
  refusal,
  routesByHost,
} from './match.ts'
import { pathPolicy } from './odd-paths.ts'

export interface Candidate {
  readonly route: Route
  /** Why it was taken, or why it lost. */
  readonly reason: string
}

/** What becomes of one request, and why. */
export interface Explanation {
  readonly answer: 'service' | 'redirect' | 400 | 404 | 503
  readonly why: string
  readonly service: string | null
  /** As the service gets it, with the query. */
  readonly path: string
  /** The Host header as the service gets it. */
  readonly host: string | null
  /** Where a redirect leads to. */
  readonly location: string | null
  readonly route: Route | null
  /** Routes of the hosts that take the request's, most specific first; bounded. */
  readonly candidates: readonly Candidate[]
  readonly servers: readonly Server[]
}

const mostCandidates = 100

/** A request written as a URL. */
export interface Question extends RequestLine {
  /** With its `?`, or ''. */
  readonly query: string
}

/**
 * Reads what a person pastes: `http://shop.example.com/api?q`, `shop.example.com/api`, or `/api` (no Host header).
 * The path is taken as it is, not normalised: that is what HAProxy gets from a client that doesn't either.
 */
export function parseQuestion(url: string, method: string): Question {
  const [, authority = '', target = '', query = ''] =
    /^(?:[A-Za-z][A-Za-z0-9+.-]*:\/\/)?([^/?#]*)([^?#]*)(\?[^#]*)?/.exec(url) ?? []
  const at = authority.lastIndexOf('@')
  const isStar = method === 'OPTIONS' && authority.endsWith('*') && target === ''
  const host = authority.slice(at + 1, isStar ? -1 : undefined)
  const path = isStar ? '*' : target === '' ? '/' : target
  return { method, host: host === '' ? null : host, path, hasUser: at !== -1, query }
}

/** What HAProxy does with a request when it runs this model. */
export function explain(model: Model, question: Question, paths: RenderSettings['paths']): Explanation {
  const { method, path, query } = question
  const unserved = (answer: 400 | 404, why: string, candidates: readonly Candidate[] = []): Explanation => {
    const nothing = { service: null, host: question.host, location: null, route: null, servers: [] }
    return { answer, why, path: path + query, candidates, ...nothing }
  }
  const why = refusal(question) ?? unprintable(path + query)
  const name = question.host === null ? null : hostName(question.host)
  if (why !== null || name === null) return unserved(400, why ?? 'the Host header is no host name')
  if (method === 'OPTIONS' && path === '*') return unserved(404, '`OPTIONS *` names no path')
  const route = findRoute(model.routes, name, path)
  const candidates = weighCandidates(model, name, path, route)
  if (isOddPath(path) && isStrict(model, name, paths) && route?.rewrite.rawpath !== true) {
    return unserved(400, 'the path has an odd spelling, on a host whose paths belong to several services', candidates)
  }
  if (route === null) return unserved(404, 'no route takes this host and path', candidates)
  const common = { service: route.service, route, candidates }
  const { redirect } = route.rewrite
  if (redirect !== null && route.lingersUntil === null) {
    const location = redirectLocation(redirect, name, path, query)
    const answer = `redirected with ${redirect.code}`
    return {
      ...common,
      answer: 'redirect',
      why: answer,
      path: path + query,
      host: question.host,
      location,
      servers: [],
    }
  }
  if (leavesDotSegment(route, path)) {
    return unserved(400, 'what is left of the path after strip has a `.` or `..` segment', candidates)
  }
  const servers = (route.backend === null ? undefined : model.backends.get(route.backend))?.servers ?? []
  const sent = { path: rewritePath(route, path) + query, host: route.rewrite.host ?? question.host, location: null }
  const isUsable = servers.some((server) => server.state === 'ready' && server.weight > 0)
  if (!isUsable) return { ...common, ...sent, answer: 503, why: whyUnusable(route, servers), servers }
  return { ...common, ...sent, answer: 'service', why: `routed to ${route.service}`, servers }
}

/** HAProxy answers 400 itself to what can't stand in a request line. */
function unprintable(target: string): string | null {
  return /^[!-~]*$/.test(target) ? null : 'the URL has a character that must be written as %xx'
}

function isStrict(model: Model, name: string, paths: RenderSettings['paths']): boolean {
  const policy = pathPolicy(model.routes, paths)
  const pattern = hostPatterns(name).find((candidate) => policy.has(candidate))
  return pattern !== undefined && policy.get(pattern) === 'strict'
}

function whyUnusable(route: Route, servers: readonly Server[]): string {
  if (route.lingersUntil !== null) return `no instance of ${route.service} is registered any more`
  return servers.length === 0
    ? `no instance of ${route.service} has an address that can be used`
    : `no instance of ${route.service} takes new requests`
}

function weighCandidates(model: Model, name: string, path: string, chosen: Route | null): readonly Candidate[] {
  const index = routesByHost(model.routes)
  const candidates: Candidate[] = []
  for (const pattern of hostPatterns(name)) {
    const group = [...(index.get(pattern) ?? [])].sort((a, b) => compareSpecificity(a.match, b.match))
    for (const route of group) {
      if (candidates.length === mostCandidates) return candidates
      candidates.push({ route, reason: reasonFor(route, path, chosen) })
    }
  }
  return candidates
}

function reasonFor(route: Route, path: string, chosen: Route | null): string {
  if (route === chosen) return 'taken: the most specific host and path'
  if (!pathMatches(route.match, path)) return 'its path does not match'
  if (chosen === null) return 'not taken'
  return route.match.host === chosen.match.host
    ? `its path is less specific than that of ${printMatch(chosen.match)}`
    : `its host is less specific than that of ${printMatch(chosen.match)}`
}

/** The path the service gets: `strip` cut, `add` put before what is left. */
function rewritePath(route: Route, path: string): string {
  const { strip, add } = route.rewrite
  if (strip === null && add === null) return path
  return `${add ?? ''}${restOf(strip, path)}` || '/'
}

/** What is left of a path after `strip`: nothing, or a path. */
function restOf(strip: string | null, path: string): string {
  const rest = strip !== null && path.startsWith(strip) ? path.slice(strip.length) : path
  return rest === '' || rest.startsWith('/') ? rest : `/${rest}`
}

/** A raw prefix can end in the middle of a segment: what is left of `/files../x` after `/files` is `/../x`. */
function leavesDotSegment({ backend, rewrite: { strip } }: Route, path: string): boolean {
  return backend !== null && strip !== null && hasDotSegment(restOf(strip, path))
}

function redirectLocation(redirect: Redirect, host: string, path: string, query: string): string {
  const values = { host, path, query: query === '?' ? '' : query }
  return redirect.location.map((part) => ('variable' in part ? values[part.variable] : part.literal)).join('')
}
