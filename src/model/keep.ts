import { isDeepStrictEqual } from 'node:util'
import { sameEntries, sameItems } from '../same.ts'
import type { Backend, BackendId, Endpoint, Server, ServiceMemory } from '../types.ts'
import type { ServiceOutcome } from './service.ts'

/**
 * What is equal to what was before keeps its identity: whoever has worked on it need not look at it again. It only ever
 * saves work; with no `before` the result is equal.
 */

/** The items in their order, those that were there before as the objects they were; `before` itself if it is those. */
export function keepItems<T extends { readonly instance: object }>(
  before: readonly T[] | undefined,
  items: readonly T[],
  isSame: (a: T, b: T) => boolean,
): readonly T[] {
  if (before === undefined) return items
  const known = new Map(before.map((item) => [item.instance, item]))
  const kept = items.map((item) => {
    const old = known.get(item.instance)
    return old !== undefined && isSame(old, item) ? old : item
  })
  return keepList(before, kept)
}

export function isSameEndpoint(a: Endpoint, b: Endpoint): boolean {
  if (a.instance !== b.instance) return false
  if (a.kind === 'dead') return b.kind === 'dead' && a.why === b.why
  if (a.kind === 'unresolved') {
    return b.kind === 'unresolved' && a.problem.code === b.problem.code && a.problem.reason === b.problem.reason
  }
  return (
    b.kind === 'reachable' &&
    a.address === b.address &&
    a.port === b.port &&
    a.source === b.source &&
    a.isCorrected === b.isCorrected &&
    a.container?.id === b.container?.id &&
    a.container?.name === b.container?.name &&
    a.container?.startedAt === b.container?.startedAt
  )
}

/** The outcome of a service, where `memory` is what it was made from. */
export function keepOutcome(
  before: ServiceOutcome | undefined,
  outcome: ServiceOutcome,
  memory: ServiceMemory,
): ServiceOutcome {
  const kept = { ...outcome, memory: keepMemory(outcome.memory, memory) }
  if (before === undefined) return kept
  const claims = new Map(before.claims.map((claim) => [claim.key, claim]))
  return {
    ...kept,
    claims: keepList(
      before.claims,
      outcome.claims.map((claim) => keepEqual(claims.get(claim.key), claim)),
    ),
    backends: keepBackends(before.backends, outcome.backends),
    problems: keepEqual(before.problems, outcome.problems),
  }
}

function keepMemory(after: ServiceMemory | null, before: ServiceMemory): ServiceMemory | null {
  if (after === null) return null
  const isSame =
    after.lingeringSince === before.lingeringSince &&
    after.disagreeingSince === before.disagreeingSince &&
    sameEntries(after.draining, before.draining) &&
    sameEntries(after.options, before.options) &&
    sameEntries(after.bindings, before.bindings) &&
    after.routes.size === before.routes.size &&
    isDeepStrictEqual(after.routes, before.routes)
  return isSame ? before : after
}

function keepBackends(
  before: ReadonlyMap<BackendId, Backend>,
  after: ReadonlyMap<BackendId, Backend>,
): ReadonlyMap<BackendId, Backend> {
  const kept = new Map<BackendId, Backend>()
  for (const [id, backend] of after) kept.set(id, keepBackend(before.get(id), backend))
  return sameEntries(kept, before) ? before : kept
}

function keepBackend(before: Backend | undefined, backend: Backend): Backend {
  if (before === undefined) return backend
  const known = new Map(before.servers.map((server) => [server.name, server]))
  const servers = keepList(
    before.servers,
    backend.servers.map((server) => {
      const old = known.get(server.name)
      return old !== undefined && isSameServer(old, server) ? old : server
    }),
  )
  const section = keepEqual(before.section, backend.section)
  const isSame =
    servers === before.servers &&
    section === before.section &&
    backend.service === before.service &&
    backend.drain === before.drain
  return isSame ? before : { ...backend, servers, section }
}

function isSameServer(a: Server, b: Server): boolean {
  return (
    a.weight === b.weight &&
    a.state === b.state &&
    a.backup === b.backup &&
    a.source === b.source &&
    a.instance.key === b.instance.key &&
    a.instance.id === b.instance.id &&
    a.instance.node === b.instance.node
  )
}

function keepEqual<T>(before: T | undefined, after: T): T {
  return before !== undefined && isDeepStrictEqual(before, after) ? before : after
}

function keepList<T>(before: readonly T[], after: readonly T[]): readonly T[] {
  return sameItems(before, after) ? before : after
}
