import { problem } from '../problems.ts'
import type { Backend, BackendId, MatchKey, Model, Problem, Route } from '../types.ts'
import type { Claim, ServiceOutcome } from './service.ts'

export interface Settlement {
  readonly model: Model
  readonly owners: ReadonlyMap<MatchKey, string>
  readonly problems: readonly Problem[]
}

/** Why a claim wins over another of the same match; docs/routes.md says them in this order. */
type Ground =
  | 'it is asked for now'
  | 'its priority is higher'
  | 'it owns the match'
  | 'it was registered first'
  | 'its name comes first'

/**
 * Gives each match to one service. A loser keeps its other routes. `owners` are those of the last settlement:
 * whoever has a match keeps it against a claim of the same priority, so that nobody is robbed by registering.
 */
export function settleConflicts(outcomes: Iterable<ServiceOutcome>, owners: ReadonlyMap<MatchKey, string>): Settlement {
  const claims = new Map<MatchKey, { readonly claim: Claim; readonly outcome: ServiceOutcome }>()
  const contested = new Map<MatchKey, { readonly claim: Claim; readonly outcome: ServiceOutcome }[]>()
  for (const outcome of outcomes) {
    for (const claim of outcome.claims) {
      const first = claims.get(claim.key)
      if (first === undefined) {
        claims.set(claim.key, { claim, outcome })
        continue
      }
      const rivals = contested.get(claim.key)
      if (rivals === undefined) contested.set(claim.key, [first, { claim, outcome }])
      else rivals.push({ claim, outcome })
    }
  }
  const problems: Problem[] = []
  for (const [key, rivals] of contested) {
    const owner = owners.get(key)
    const [winner, ...losers] = rivals.sort((a, b) => weigh(a.claim, b.claim, owner).difference)
    if (winner === undefined) continue
    claims.set(key, winner)
    for (const { claim } of losers) {
      // what only stays while nobody asks for the match has nothing to complain about
      if (claim.standing === 'live') problems.push(lost(winner.claim, claim, weigh(winner.claim, claim, owner).ground))
    }
  }
  return { ...modelOf(claims), problems, owners: ownersOf(claims, owners) }
}

function weigh(
  a: Claim,
  b: Claim,
  owner: string | undefined,
): { readonly difference: number; readonly ground: Ground } {
  const standing = (claim: Claim) => (claim.standing === 'live' ? 0 : 1)
  const ownership = (claim: Claim) => (claim.route.service === owner ? 0 : 1)
  const grounds: readonly (readonly [Ground, number])[] = [
    ['it is asked for now', standing(a) - standing(b)],
    ['its priority is higher', b.route.priority - a.route.priority],
    ['it owns the match', ownership(a) - ownership(b)],
    ['it was registered first', a.route.from.createIndex - b.route.from.createIndex],
  ]
  for (const [ground, difference] of grounds) if (difference !== 0) return { difference, ground }
  return { difference: a.route.service < b.route.service ? -1 : 1, ground: 'its name comes first' }
}

function lost(winner: Claim, loser: Claim, ground: Ground): Problem {
  return problem('conflict', {
    service: loser.route.service,
    subject: loser.key,
    reason: `${loser.key} belongs to the service ${winner.route.service}: ${ground}`,
  })
}

function modelOf(claims: ReadonlyMap<MatchKey, { readonly claim: Claim; readonly outcome: ServiceOutcome }>): {
  readonly model: Model
} {
  const routes: Route[] = []
  const named = new Map<BackendId, Backend>()
  for (const key of [...claims.keys()].sort()) {
    const won = claims.get(key)
    if (won === undefined) continue
    const { route } = won.claim
    routes.push(route)
    const backend = route.backend === null ? undefined : won.outcome.backends.get(route.backend)
    if (backend !== undefined) named.set(backend.id, backend)
  }
  const backends = new Map([...named].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
  return { model: { routes, backends } }
}

function ownersOf(
  claims: ReadonlyMap<MatchKey, { readonly claim: Claim }>,
  before: ReadonlyMap<MatchKey, string>,
): ReadonlyMap<MatchKey, string> {
  let isSame = claims.size === before.size
  const owners = new Map<MatchKey, string>()
  for (const [key, { claim }] of claims) {
    owners.set(key, claim.route.service)
    if (before.get(key) !== claim.route.service) isSame = false
  }
  return isSame ? before : owners
}
