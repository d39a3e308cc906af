import type {
  Decision,
  Endpoint,
  Instance,
  Memory,
  ModelSettings,
  Ms,
  Problem,
  ServiceMemory,
  World,
} from '../types.ts'
import { type AddressBook, addressBook, resolveEndpoints } from './addresses.ts'
import { admitCatalog, admitEngines, admitWeave, emptyCatalog, sameItems } from './admit.ts'
import { settleConflicts } from './conflicts.ts'
import { decideService, earliest, isExposed, lingerService, noMemory, type ServiceOutcome } from './service.ts'

export const emptyMemory: Memory = {
  catalog: emptyCatalog,
  engines: new Map(),
  weave: null,
  owners: new Map(),
  services: new Map(),
}

/**
 * From what was observed and what is remembered to what HAProxy should have. Pure: the same world, memory and
 * settings give the same decision on every machine; the only clock is `world.at`. Parts of the result that did not
 * change keep their identity, and work is done only for services whose inputs changed.
 */
export function decide(world: World, memory: Memory, settings: ModelSettings): Decision {
  const catalog = admitCatalog(memory.catalog, world.catalog)
  const engines = admitEngines(memory.engines, world.engines)
  const weave = admitWeave(memory.weave, world.weave)
  const answering = world.engines === 'unknown' ? [] : [...world.engines]
  const complete = new Set(answering.filter(([, { evidence }]) => evidence === 'fresh').map(([node]) => node))
  const book = addressBook({ engines, complete, weave, catalog }, settings.weave, settings.expose.prefix)

  const endpoints = new Map<string, readonly Endpoint[]>()
  const outcomes: ServiceOutcome[] = []
  for (const [service, instances] of catalog.services) {
    if (!isExposed(instances, settings.expose)) continue
    const known = memory.services.get(service) ?? noMemory
    const resolved = resolve(instances, book, known.bindings)
    endpoints.set(service, resolved)
    outcomes.push(outcomeOf(service, instances, resolved, known, settings.expose, world.at))
  }
  for (const [service, known] of memory.services) {
    if (!catalog.services.has(service)) outcomes.push(lingering(service, known, world.at))
  }
  const settlement = settleConflicts(outcomes, memory.owners)
  const services = remember(outcomes, memory.services)
  return {
    model: settlement.model,
    memory: sameOr(memory, { catalog, engines, weave, owners: settlement.owners, services }),
    problems: sortProblems([...outcomes.flatMap((outcome) => outcome.problems), ...settlement.problems]),
    endpoints,
    wakeAt: earliest(outcomes.flatMap(({ wakeAt }) => (wakeAt === null ? [] : [wakeAt]))),
  }
}

/** The former memory when nothing in it has changed: it is saved, and shown, when it is another object. */
function sameOr(before: Memory, after: Memory): Memory {
  const isSame =
    before.catalog === after.catalog &&
    before.engines === after.engines &&
    before.weave === after.weave &&
    before.owners === after.owners &&
    before.services === after.services
  return isSame ? before : after
}

interface Resolved {
  readonly book: AddressBook
  readonly bindings: ServiceMemory['bindings']
  readonly endpoints: readonly Endpoint[]
}
const resolutions = new WeakMap<readonly Instance[], Resolved>()

/** Memoised on the instance array; an equal result keeps its identity, so that a new book alone changes nothing. */
function resolve(
  instances: readonly Instance[],
  book: AddressBook,
  bindings: ServiceMemory['bindings'],
): readonly Endpoint[] {
  const known = resolutions.get(instances)
  if (known?.book === book && known.bindings === bindings) return known.endpoints
  const fresh = resolveEndpoints(instances, book, bindings)
  const merged = fresh.map((endpoint, index) => {
    const before = known?.endpoints[index]
    return before !== undefined && sameEndpoint(before, endpoint) ? before : endpoint
  })
  const endpoints = known !== undefined && sameItems(known.endpoints, merged) ? known.endpoints : merged
  resolutions.set(instances, { book, bindings, endpoints })
  return endpoints
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
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

interface Made {
  readonly endpoints: readonly Endpoint[]
  readonly memory: ServiceMemory
  readonly expose: ModelSettings['expose']
  readonly outcome: ServiceOutcome
}
const made = new WeakMap<readonly Instance[], Made>()
const lingered = new WeakMap<ServiceMemory, ServiceOutcome>()

function outcomeOf(
  service: string,
  instances: readonly Instance[],
  endpoints: readonly Endpoint[],
  memory: ServiceMemory,
  expose: ModelSettings['expose'],
  at: Ms,
): ServiceOutcome {
  const known = made.get(instances)
  const isSame = known?.endpoints === endpoints && known.memory === memory && known.expose === expose
  if (isSame && !isPast(known.outcome.wakeAt, at)) return known.outcome
  const decided = decideService(service, instances, endpoints, memory, expose, at)
  const outcome = keepMemory(decided, memory)
  // the outcome is that of its own memory as well: a second turn with nothing new finds it
  made.set(instances, { endpoints, memory: outcome.memory ?? memory, expose, outcome })
  return outcome
}

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

/** An equal memory keeps its identity. */
function keepMemory(outcome: ServiceOutcome, before: ServiceMemory): ServiceOutcome {
  const { memory } = outcome
  if (memory === null) return outcome
  const isSame =
    memory.lingeringSince === before.lingeringSince &&
    memory.disagreeingSince === before.disagreeingSince &&
    sameEntries(memory.draining, before.draining) &&
    sameEntries(memory.options, before.options) &&
    sameEntries(memory.routes, before.routes) &&
    sameText(memory.bindings, before.bindings)
  return isSame ? { ...outcome, memory: before } : outcome
}

export function sameEntries<V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value) return false
  return true
}

function sameText(a: ReadonlyMap<string, unknown>, b: ReadonlyMap<string, unknown>): boolean {
  return a === b || (a.size === b.size && (a.size === 0 || JSON.stringify([...a]) === JSON.stringify([...b])))
}

/** A service that lost its last route and instance, or its last tag of ours, is forgotten. */
function remember(outcomes: readonly ServiceOutcome[], before: Memory['services']): Memory['services'] {
  const services = new Map<string, ServiceMemory>()
  for (const { service, memory } of outcomes) if (memory !== null) services.set(service, memory)
  return sameEntries(services, before) ? before : services
}

function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  const order = ({ service, code, instance, subject }: Problem) => [service, code, instance ?? '', subject]
  return [...problems].sort((a, b) => {
    const [keysA, keysB] = [order(a), order(b)]
    for (const [index, key] of keysA.entries()) {
      const other = keysB[index] ?? ''
      if (key !== other) return key < other ? -1 : 1
    }
    return 0
  })
}
