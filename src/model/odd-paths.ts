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
  const policy = new Map<string, PathPolicy>()
  for (const host of hosts.keys()) {
    policy.set(host, paths === 'auto' ? (isShared(host, hosts) ? 'strict' : 'plain') : paths)
  }
  return policy
}

interface Host {
  readonly services: Set<string>
  /** It has a route that takes every path, so nothing falls through to a less specific host. */
  isClosed: boolean
}

function hostsOf(routes: readonly Route[]): ReadonlyMap<string, Host> {
  const hosts = new Map<string, Host>()
  for (const { match, service } of routes) {
    const host = hosts.get(match.host) ?? { services: new Set(), isClosed: false }
    hosts.set(match.host, host)
    host.services.add(service)
    if (match.path === '/' && match.kind !== 'exact') host.isClosed = true
  }
  return hosts
}

function isShared(pattern: string, hosts: ReadonlyMap<string, Host>): boolean {
  const first = hosts.get(pattern)
  if (first === undefined || first.isClosed) return first !== undefined && first.services.size > 1
  if (first.services.size > 1) return true
  const services = new Set(first.services)
  for (const candidate of lessSpecific(pattern)) {
    const host = hosts.get(candidate)
    if (host === undefined) continue
    for (const service of host.services) {
      services.add(service)
      if (services.size > 1) return true
    }
    if (host.isClosed) break
  }
  return services.size > 1
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
