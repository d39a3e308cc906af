import type { RenderSettings, Route } from '../types.ts'

/** `strict`: odd spellings of a path are refused on the hosts of a pattern. */
export type PathPolicy = 'strict' | 'plain'

const wildcardLevels = 8

/**
 * Whether odd spellings of a path (`//`, `;`, needless or ambiguous `%xx`) get 400, by host pattern. A request obeys
 * the most specific pattern that takes its host. `auto` is strict where several services share the paths of
 * a host: only there can a spelling that HAProxy and a service read differently reach somebody else's service.
 */
export function pathPolicy(routes: readonly Route[], paths: RenderSettings['paths']): ReadonlyMap<string, PathPolicy> {
  const hosts = hostsOf(routes)
  const isAnyWild = [...hosts.keys()].some((host) => host.startsWith('*'))
  const policy = new Map<string, PathPolicy>()
  for (const [name, host] of hosts) {
    const isStrict = host.isShared || (isAnyWild && fallsThrough(name, host, hosts))
    policy.set(name, paths === 'auto' ? (isStrict ? 'strict' : 'plain') : paths)
  }
  return policy
}

interface Host {
  /** One of those that have routes of it. */
  readonly service: string
  isShared: boolean
  /** It has a route that takes every path, so nothing falls through to a less specific host. */
  isClosed: boolean
}

function hostsOf(routes: readonly Route[]): ReadonlyMap<string, Host> {
  const hosts = new Map<string, Host>()
  for (const { match, service } of routes) {
    const known = hosts.get(match.host)
    const host = known ?? { service, isShared: false, isClosed: false }
    if (known === undefined) hosts.set(match.host, host)
    if (service !== host.service) host.isShared = true
    if (match.path === '/' && match.kind !== 'exact') host.isClosed = true
  }
  return hosts
}

/** True when a request of the host can fall through to another service. */
function fallsThrough(pattern: string, { service, isClosed }: Host, hosts: ReadonlyMap<string, Host>): boolean {
  if (isClosed) return false
  for (const candidate of lessSpecific(pattern)) {
    const host = hosts.get(candidate)
    if (host === undefined) continue
    if (host.isShared || host.service !== service) return true
    if (host.isClosed) return false
  }
  return false
}

/** Patterns that can also take a host which `pattern` takes, most specific first. */
function lessSpecific(pattern: string): readonly string[] {
  if (pattern === '*') return []
  const patterns: string[] = []
  const isWildcard = pattern.startsWith('*.')
  // A wildcard's own `*` stands for at least one of the labels that the less specific one has to span.
  const furthest = isWildcard ? wildcardLevels - 1 : wildcardLevels
  let dot = isWildcard ? 1 : -1
  while (patterns.length < furthest) {
    dot = pattern.indexOf('.', dot + 1)
    if (dot === -1) break
    patterns.push(`*${pattern.slice(dot)}`)
  }
  return [...patterns, '*']
}
