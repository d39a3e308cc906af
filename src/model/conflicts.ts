import { byText } from '../order.ts'
import { patched } from '../patched.ts'
import { problem } from '../problems.ts'
import type { Backend, BackendId, MatchKey, Model, Problem, Route } from '../types.ts'
import type { Claim, ServiceOutcome } from './service.ts'

export interface Settlement {
  readonly model: Model
  /** Some match is claimed by more than one service. */
  readonly isContested: boolean
  readonly owners: ReadonlyMap<MatchKey, string>
  readonly problems: readonly Problem[]
}

/** A settlement with what the next one needs of it. */
interface Settled extends Omit<Settlement, 'isContested'> {
  readonly outcomes: readonly ServiceOutcome[]
  /** Match keys of the model's routes, in their order. */
  readonly keys: readonly MatchKey[]
  /** Matches that more than one service claims. */
  readonly contested: ReadonlySet<MatchKey>
}

/** Why a claim wins over another of the same match; docs/routes.md says them in this order. */
type Ground =
  | 'it is asked for now'
  | 'its priority is higher'
  | 'it owns the match'
  | 'it was registered first'
  | 'its name comes first'

/** By the owners they made: with these the next settlement begins. */
const settlements = new WeakMap<ReadonlyMap<MatchKey, string>, Settled>()

/**
 * Gives each match to one service. A loser keeps its other routes. `owners` are those of the last settlement:
 * whoever has a match keeps it against a claim of the same priority, so that nobody is robbed by registering.
 *
 * Costs about as much as has changed since the settlement that made `owners`, while no changed claim is contested.
 */
export function settleConflicts(
  outcomes: readonly ServiceOutcome[],
  owners: ReadonlyMap<MatchKey, string>,
): Settlement {
  const before = settlements.get(owners)
  const settled = (before === undefined ? null : settleChanges(before, outcomes)) ?? settleAll(outcomes, owners)
  // of claims that are contested, the winner's ground may be another one once it is the owner
  if (settled.contested.size === 0 || settled.owners === owners) settlements.set(settled.owners, settled)
  return { ...settled, isContested: settled.contested.size > 0 }
}

// ---------------------------------------------------------------------------------------------- all

interface Standing {
  readonly claim: Claim
  readonly outcome: ServiceOutcome
}

function settleAll(outcomes: readonly ServiceOutcome[], owners: ReadonlyMap<MatchKey, string>): Settled {
  const claims = new Map<MatchKey, Standing>()
  const contested = new Map<MatchKey, Standing[]>()
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
  const keys = [...claims.keys()].sort()
  return {
    model: modelOf(keys, claims),
    problems,
    owners: ownersOf(claims, owners),
    outcomes,
    keys,
    contested: new Set(contested.keys()),
  }
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

function modelOf(keys: readonly MatchKey[], claims: ReadonlyMap<MatchKey, Standing>): Model {
  const routes: Route[] = []
  const named = new Map<BackendId, Backend>()
  for (const key of keys) {
    const won = claims.get(key)
    if (won === undefined) continue
    const { route } = won.claim
    routes.push(route)
    const backend = backendOf(won.outcome, route)
    if (backend !== undefined) named.set(backend.id, backend)
  }
  return { routes, backends: inOrderOfIds(named) }
}

function backendOf(outcome: ServiceOutcome, route: Route): Backend | undefined {
  return route.backend === null ? undefined : outcome.backends.get(route.backend)
}

function inOrderOfIds(backends: Iterable<readonly [BackendId, Backend]>): Model['backends'] {
  return new Map([...backends].sort(([a], [b]) => byText(a, b)))
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

// ---------------------------------------------------------------------------------------------- changes

/** More changed services than this are settled as quickly by beginning anew. */
const mostChanges = 500

interface Change {
  readonly before: ServiceOutcome | null
  readonly after: ServiceOutcome | null
}

/** What `settleAll` gives for these outcomes, made from what it gave before. Null: a changed claim has or gets a rival. */
function settleChanges(settled: Settled, outcomes: readonly ServiceOutcome[]): Settled | null {
  const changes = changesOf(settled.outcomes, outcomes)
  if (changes.length > mostChanges) return null
  if (changes.length === 0) return settled
  const table = patchRoutes(settled, changes)
  if (table === null) return null
  const { keys, routes, owners } = table
  const backends = patchBackends(settled.model.backends, changes)
  return {
    model: { routes, backends },
    owners,
    problems: settled.problems,
    outcomes,
    keys,
    contested: settled.contested,
  }
}

function changesOf(before: readonly ServiceOutcome[], after: readonly ServiceOutcome[]): readonly Change[] {
  const isInStep = before.length === after.length && after.every(({ service }, at) => service === before[at]?.service)
  if (isInStep) {
    return after.flatMap((outcome, at) => {
      const old = before[at] ?? null
      return isSameClaim(old, outcome) ? [] : [{ before: old, after: outcome }]
    })
  }
  const known = new Map(before.map((outcome) => [outcome.service, outcome]))
  const changes: Change[] = []
  for (const outcome of after) {
    const old = known.get(outcome.service) ?? null
    known.delete(outcome.service)
    if (!isSameClaim(old, outcome)) changes.push({ before: old, after: outcome })
  }
  for (const old of known.values()) changes.push({ before: old, after: null })
  return changes
}

function isSameClaim(before: ServiceOutcome | null, after: ServiceOutcome): boolean {
  return before === after || (before?.claims === after.claims && before.backends === after.backends)
}

function patchRoutes(
  settled: Settled,
  changes: readonly Change[],
): {
  readonly keys: readonly MatchKey[]
  readonly routes: readonly Route[]
  readonly owners: Settled['owners']
} | null {
  const changed = changes.filter(({ before, after }) => before?.claims !== after?.claims)
  if (changed.length === 0) return { keys: settled.keys, routes: settled.model.routes, owners: settled.owners }
  const gone = new Set(changed.flatMap(({ before }) => before?.claims.map(({ key }) => key) ?? []))
  const claims = changed.flatMap(({ after }) => after?.claims ?? [])
  if ([...gone, ...claims.map(({ key }) => key)].some((key) => settled.contested.has(key))) return null
  const keys = [...settled.keys]
  const routes = [...settled.model.routes]
  const taken = new Map<MatchKey, string | null>()
  const come = new Set<MatchKey>()
  for (const { key, route } of claims) {
    if (come.has(key)) return null
    come.add(key)
    const index = placeOf(keys, key)
    const isThere = keys[index] === key
    if (isThere && !gone.has(key)) return null
    keys.splice(index, isThere ? 1 : 0, key)
    routes.splice(index, isThere ? 1 : 0, route)
    if (settled.owners.get(key) !== route.service) taken.set(key, route.service)
  }
  for (const key of gone) {
    if (come.has(key)) continue
    const index = placeOf(keys, key)
    keys.splice(index, 1)
    routes.splice(index, 1)
    taken.set(key, null)
  }
  return { keys, routes, owners: taken.size === 0 ? settled.owners : patched(settled.owners, taken) }
}

/** Where a key is, or would have to be, among keys in order. */
function placeOf(keys: readonly MatchKey[], key: MatchKey): number {
  let [low, high] = [0, keys.length]
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((keys[middle] ?? '') < key) low = middle + 1
    else high = middle
  }
  return low
}

function patchBackends(before: Model['backends'], changes: readonly Change[]): Model['backends'] {
  const patches = new Map<BackendId, Backend | null>()
  let isInOrder = true
  for (const { before: old, after } of changes) {
    for (const [id, backend] of namedBy(after)) {
      // a claim that has not changed may be contested, and lost
      if (!before.has(id) && old?.claims === after?.claims) continue
      if (!before.has(id)) isInOrder = false
      patches.set(id, backend)
    }
  }
  for (const { before: old } of changes)
    for (const id of namedBy(old).keys()) if (!patches.has(id)) patches.set(id, null)
  const backends = patched(before, patches)
  return isInOrder ? backends : inOrderOfIds(backends)
}

/** The backends that the routes of a service name. */
function namedBy(outcome: ServiceOutcome | null): ReadonlyMap<BackendId, Backend> {
  const named = new Map<BackendId, Backend>()
  for (const { route } of outcome?.claims ?? []) {
    const backend = outcome === null ? undefined : backendOf(outcome, route)
    if (backend !== undefined) named.set(backend.id, backend)
  }
  return named
}
