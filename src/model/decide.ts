import { addressBook } from '../addresses/resolve.ts'
import { byText } from '../order.ts'
import { patched } from '../patched.ts'
import type { Decision, Memory, ModelSettings, Ms, Problem, ServiceMemory, Unreachable, World } from '../types.ts'
import { admitCatalog, admitEngines, admitWeave, emptyCatalog } from './admit.ts'
import { settleConflicts } from './conflicts.ts'
import { earliest, type ServiceOutcome } from './service.ts'
import { isSettled, rememberRound, workRound } from './work.ts'

export const emptyMemory: Memory = {
  catalog: emptyCatalog,
  engines: new Map(),
  weave: null,
  owners: new Map(),
  services: new Map(),
}

const allReachable: ReadonlyMap<string, Unreachable> = new Map()

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

  const { unreachable = allReachable, at } = world
  const round = workRound(catalog, memory, { book, expose: settings.expose, unreachable, at })
  const { model, owners, problems, isContested } = settleConflicts(round.outcomes, memory.owners)
  const services = remember(round.outcomes, memory.services)
  const after = sameOr(memory, { catalog, engines, weave, owners, services })
  rememberRound(after, round)
  const deadlines: Ms[] = []
  const all = [...problems]
  for (const outcome of round.outcomes) {
    if (outcome.wakeAt !== null) deadlines.push(outcome.wakeAt)
    if (outcome.problems.length > 0) all.push(...outcome.problems)
  }
  return {
    model,
    memory: after,
    problems: sortProblems(all),
    endpoints: round.endpoints,
    wakeAt: earliest(deadlines),
    isSettled: !isContested && isSettled(round),
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

/** A service that lost its last route and instance, or its last tag of ours, is forgotten. */
function remember(outcomes: readonly ServiceOutcome[], before: Memory['services']): Memory['services'] {
  const changes = new Map<string, ServiceMemory>()
  let known = 0
  let isAlike = true
  for (const { service, memory } of outcomes) {
    const old = before.get(service) ?? null
    if (old !== null) known++
    if (old === memory) continue
    if (old === null || memory === null) isAlike = false
    else changes.set(service, memory)
  }
  if (isAlike && known === before.size) return changes.size === 0 ? before : patched(before, changes)
  const services = new Map<string, ServiceMemory>()
  for (const { service, memory } of outcomes) if (memory !== null) services.set(service, memory)
  return services
}

function sortProblems(problems: readonly Problem[]): readonly Problem[] {
  return [...problems].sort(
    (a, b) =>
      byText(a.service, b.service) ||
      byText(a.code, b.code) ||
      byText(a.instance ?? '', b.instance ?? '') ||
      byText(a.subject, b.subject),
  )
}
