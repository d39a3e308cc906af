import { type AddressBook, resolveEndpoints } from '../addresses/resolve.ts'
import { patched } from '../patched.ts'
import { changedKeys, sameEntries } from '../same.ts'
import type { Catalog, Endpoint, Instance, Memory, ModelSettings, Ms, ServiceMemory, Unreachable } from '../types.ts'
import { isSameEndpoint, keepItems, keepOutcome } from './keep.ts'
import { decideService, isExposed, lingerService, noMemory, type ServiceOutcome } from './service.ts'

/**
 * Goes through all services and works only on those whose inputs changed. What is kept for that is derived, and may be
 * forgotten at any time: the results are equal without it.
 */

/** What all services have in common. */
interface Basis {
  readonly book: AddressBook
  readonly expose: ModelSettings['expose']
  /** By `address:port`. */
  readonly unreachable: ReadonlyMap<string, Unreachable>
  readonly at: Ms
}

/** What was made of one service; its outcome's memory is the one that the next work on it begins with. */
interface Work {
  readonly expose: ModelSettings['expose']
  readonly endpoints: readonly Endpoint[]
  /** Of these endpoints. */
  readonly unreachable: ReadonlyMap<string, Unreachable>
  readonly outcome: ServiceOutcome
  /** False: it has learned which containers there are, and with that its addresses may be found in another way. */
  readonly isSettled: boolean
}

interface Entry {
  readonly service: string
  readonly instances: readonly Instance[]
  /** Null: nothing of the service is ours. */
  readonly work: Work | null
}

export interface Round {
  readonly basis: Basis
  readonly catalog: Catalog
  /** In the order of the catalog. */
  readonly entries: readonly Entry[]
  /** Of registered services, then of those that linger. */
  readonly outcomes: readonly ServiceOutcome[]
  readonly endpoints: ReadonlyMap<string, readonly Endpoint[]>
}

const rounds = new WeakMap<Memory, Round>()
const works = new WeakMap<ServiceMemory, Work>()

/** `memory` is what came of the round: the next one begins with it. */
export function rememberRound(memory: Memory, round: Round): void {
  rounds.set(memory, round)
}

export function workRound(catalog: Catalog, memory: Memory, basis: Basis): Round {
  const before = rounds.get(memory)
  const isRight = before === undefined ? null : rightness(before.basis, basis)
  if (before === undefined || isRight === null) return wholeRound(catalog, memory, basis, () => null)
  return (
    patchedRound(before, catalog, memory, basis, isRight) ??
    wholeRound(catalog, memory, basis, finder(before.entries, isRight))
  )
}

/** A round that begins with what came of this one in the same world gives the same until something is due. */
export function isSettled({ entries }: Round): boolean {
  return entries.every(({ work }) => work === null || work.isSettled)
}

/** The same services as before, of which few have changed; null: others. */
function patchedRound(
  before: Round,
  catalog: Catalog,
  memory: Memory,
  basis: Basis,
  isRight: (entry: Entry) => boolean,
): Round | null {
  const isLingering = before.outcomes.length > before.endpoints.size
  const changed = changedKeys(before.catalog.services, catalog.services)
  if (isLingering || catalog.services.size !== before.entries.length) return null
  const entries = [...before.entries]
  const moved = new Map<string, readonly Endpoint[]>()
  for (const [place, entry] of before.entries.entries()) {
    const { service } = entry
    if (!changed.has(service) && isRight(entry)) continue
    const instances = catalog.services.get(service)
    if (instances === undefined) return null
    const work = workOn(service, instances, memory, basis)
    // in their order there would be one more or less
    if ((work === null) !== (entry.work === null)) return null
    entries[place] = { service, instances, work }
    if (work !== null && work.endpoints !== entry.work?.endpoints) moved.set(service, work.endpoints)
  }
  const outcomes = entries.flatMap(({ work }) => work?.outcome ?? [])
  const endpoints = moved.size === 0 ? before.endpoints : patched(before.endpoints, moved)
  return { basis, catalog, entries, outcomes, endpoints }
}

function wholeRound(
  catalog: Catalog,
  memory: Memory,
  basis: Basis,
  find: (service: string, instances: readonly Instance[]) => Entry | null,
): Round {
  const entries: Entry[] = []
  const outcomes: ServiceOutcome[] = []
  const endpoints = new Map<string, readonly Endpoint[]>()
  // of what is remembered: how much is registered
  let registered = 0
  for (const [service, instances] of catalog.services) {
    const known = find(service, instances)
    const work = known === null ? workOn(service, instances, memory, basis) : known.work
    if (known === null ? memory.services.has(service) : work !== null) registered++
    entries.push(known ?? { service, instances, work })
    if (work === null) continue
    endpoints.set(service, work.endpoints)
    outcomes.push(work.outcome)
  }
  if (registered < memory.services.size) {
    for (const [service, known] of memory.services) {
      if (!catalog.services.has(service)) outcomes.push(lingering(service, known, basis.at))
    }
  }
  return { basis, catalog, entries, outcomes, endpoints }
}

/** Whether an entry whose instances have not changed is still right; null: none is. */
function rightness(before: Basis, { book, expose, unreachable, at }: Basis): ((entry: Entry) => boolean) | null {
  if (before.book !== book || before.expose !== expose) return null
  // without ports, which would have to be put behind every address there is
  const changed = new Set([...changedKeys(before.unreachable, unreachable)].map((name) => name.replace(/:.*/, '')))
  return ({ work }) =>
    work === null || (work.isSettled && !isPast(work.outcome.wakeAt, at) && !isAnyAt(work.endpoints, changed))
}

/**
 * Finds entries that are still right. Asked in the order of the catalog, which hardly changes: then nothing has to be
 * looked up by name.
 */
function finder(
  entries: readonly Entry[],
  isRight: (entry: Entry) => boolean,
): (service: string, instances: readonly Instance[]) => Entry | null {
  let places: ReadonlyMap<string, number> | null = null
  let next = 0
  return (service, instances) => {
    if (entries[next]?.service !== service) {
      places ??= new Map(entries.map((entry, place) => [entry.service, place]))
      const place = places.get(service)
      if (place === undefined) return null
      next = place
    }
    const entry = entries[next++]
    return entry?.instances === instances && isRight(entry) ? entry : null
  }
}

function isAnyAt(endpoints: readonly Endpoint[], addresses: ReadonlySet<string>): boolean {
  if (addresses.size === 0) return false
  return endpoints.some((endpoint) => endpoint.kind === 'reachable' && addresses.has(endpoint.address))
}

/** Those of the endpoints. */
function unreachableOf(
  endpoints: readonly Endpoint[],
  unreachable: ReadonlyMap<string, Unreachable>,
): ReadonlyMap<string, Unreachable> {
  const found = new Map<string, Unreachable>()
  if (unreachable.size === 0) return found
  for (const endpoint of endpoints) {
    if (endpoint.kind !== 'reachable') continue
    const name = `${endpoint.address}:${endpoint.port}`
    const one = unreachable.get(name)
    if (one !== undefined) found.set(name, one)
  }
  return found
}

function workOn(
  service: string,
  instances: readonly Instance[],
  memory: Memory,
  { book, expose, unreachable: everywhere, at }: Basis,
): Work | null {
  if (!isExposed(instances, expose)) return null
  const known = memory.services.get(service) ?? noMemory
  const before = works.get(known)
  const endpoints = keepItems(before?.endpoints, resolveEndpoints(instances, book, known.bindings), isSameEndpoint)
  const unreachable = unreachableOf(endpoints, everywhere)
  const isAsBefore =
    before?.endpoints === endpoints && before.expose === expose && sameEntries(before.unreachable, unreachable)
  const outcome =
    isAsBefore && !isPast(before.outcome.wakeAt, at)
      ? before.outcome
      : keepOutcome(
          before?.outcome,
          decideService(service, instances, endpoints, unreachable, known, expose, at),
          known,
        )
  const isSettled = sameEntries((outcome.memory ?? noMemory).bindings, known.bindings)
  const work = { expose, endpoints, unreachable, outcome, isSettled }
  if (outcome.memory !== null && outcome.memory !== noMemory) works.set(outcome.memory, work)
  return work
}

const lingered = new WeakMap<ServiceMemory, ServiceOutcome>()

function lingering(service: string, memory: ServiceMemory, at: Ms): ServiceOutcome {
  const known = lingered.get(memory)
  if (known !== undefined && !isPast(known.wakeAt, at)) return known
  const outcome = lingerService(service, memory, at)
  if (outcome.memory !== null) lingered.set(outcome.memory, outcome)
  return outcome
}

function isPast(wakeAt: Ms | null, at: Ms): boolean {
  return wakeAt !== null && wakeAt <= at
}
