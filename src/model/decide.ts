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
import { admitCatalog, admitEngines, admitWeave, emptyCatalog } from './admit.ts'
import { settleConflicts } from './conflicts.ts'
import { isSameEndpoint, keepItems, keepOutcome } from './keep.ts'
import { decideService, earliest, isExposed, lingerService, noMemory, type ServiceOutcome } from './service.ts'

type Expose = ModelSettings['expose']

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
    const known = memory.services.get(service) ?? noMemory
    const work = workOn(service, instances, known, book, settings.expose, world.at)
    if (work === null) continue
    endpoints.set(service, work.endpoints)
    outcomes.push(work.outcome)
  }
  for (const [service, known] of memory.services) {
    if (!catalog.services.has(service)) outcomes.push(lingering(service, known, world.at))
  }
  const { model, owners, problems } = settleConflicts(outcomes, memory.owners)
  const services = remember(outcomes, memory.services)
  return {
    model,
    memory: sameOr(memory, { catalog, engines, weave, owners, services }),
    problems: sortProblems([...outcomes.flatMap((outcome) => outcome.problems), ...problems]),
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

/** What was made of one service, with all that it was made from. */
interface Work {
  readonly book: AddressBook
  readonly memory: ServiceMemory
  readonly endpoints: readonly Endpoint[]
  readonly outcome: ServiceOutcome
}

const exposure = new WeakMap<readonly Instance[], { readonly expose: Expose; readonly isExposed: boolean }>()
const worksOf = new WeakMap<readonly Instance[], Work & { readonly expose: Expose }>()
/** By the memory it made: with this the next work on the same service begins. */
const worksAfter = new WeakMap<ServiceMemory, Work>()

/** Null: nothing of the service is ours. Parts that are equal to what was made before keep their identity. */
function workOn(
  service: string,
  instances: readonly Instance[],
  memory: ServiceMemory,
  book: AddressBook,
  expose: Expose,
  at: Ms,
): Work | null {
  const done = worksOf.get(instances)
  const isSame = done?.memory === memory && done.book === book && done.expose === expose
  if (isSame && !isPast(done.outcome.wakeAt, at)) return done
  if (!isOurs(instances, expose)) return null
  const before = worksAfter.get(memory) ?? null
  const endpoints = keepItems(before?.endpoints, resolveEndpoints(instances, book, memory.bindings), isSameEndpoint)
  const isAsBefore = done?.endpoints === endpoints && done.memory === memory && done.expose === expose
  const outcome =
    isAsBefore && !isPast(done.outcome.wakeAt, at)
      ? done.outcome
      : keepOutcome(before?.outcome, decideService(service, instances, endpoints, memory, expose, at), memory)
  // the outcome is that of its own memory as well: a second turn with nothing new finds it
  const work = { book, memory: outcome.memory ?? memory, endpoints, outcome, expose }
  worksOf.set(instances, work)
  if (outcome.memory !== null) worksAfter.set(outcome.memory, work)
  return work
}

function isOurs(instances: readonly Instance[], expose: Expose): boolean {
  const known = exposure.get(instances)
  if (known?.expose === expose) return known.isExposed
  const made = { expose, isExposed: isExposed(instances, expose) }
  exposure.set(instances, made)
  return made.isExposed
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

/** A service that lost its last route and instance, or its last tag of ours, is forgotten. */
function remember(outcomes: readonly ServiceOutcome[], before: Memory['services']): Memory['services'] {
  let isSame = true
  let known = 0
  for (const { service, memory } of outcomes) {
    const old = before.get(service) ?? null
    if (old !== null) known++
    if (old !== memory) isSame = false
  }
  if (isSame && known === before.size) return before
  const services = new Map<string, ServiceMemory>()
  for (const { service, memory } of outcomes) if (memory !== null) services.set(service, memory)
  return services
}

function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  return [...problems].sort(
    (a, b) =>
      compare(a.service, b.service) ||
      compare(a.code, b.code) ||
      compare(a.instance ?? '', b.instance ?? '') ||
      compare(a.subject, b.subject),
  )
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
