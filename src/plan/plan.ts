import { byText } from '../order.ts'
import { mapFiles } from '../render/maps.ts'
import { framePart } from '../render/parts.ts'
import { isSpare } from '../render/spares.ts'
import { changedKeys } from '../same.ts'
import type { BackendId, Candidate, Model, Plan, ReloadReason, Running, Step } from '../types.ts'
import { mapStep, mapSteps, standIns } from './maps.ts'
import { memberSteps } from './members.ts'
import { planSeats, type Seating } from './seats.ts'

/** What is wanted, in both of its forms; `candidate` was rendered from `model`. */
export interface Wanted {
  readonly model: Model
  readonly candidate: Candidate
}

/**
 * How well the running structure is known. `same`: it is the wanted one. `known`: what it is made of is known. `unknown`: of
 * ours by its looks, made by who knows which version. `foreign`: it names no structure of ours.
 */
type Standing = 'same' | 'known' | 'unknown' | 'foreign'

/**
 * Reasons that hurt nobody while they stand: traffic is served as it should be. Their reload waits for a quiet moment, and the
 * revision is in effect without it.
 */
const tidying: ReadonlySet<ReloadReason['code']> = new Set(['in-spare', 'gone-backend', 'spares'])

/** True when a reload for these reasons can wait for as long as it takes. */
export function isTidying(reasons: readonly ReloadReason[]): boolean {
  return reasons.every(({ code }) => tidying.has(code))
}

/**
 * What takes the running HAProxy to what is wanted: always against what runs, never against what was hoped for, so it can be
 * asked again after any surprise.
 *
 * The steps are in an order that is safe to stop at any point: servers come before the routes that need them, routes go
 * before the servers they used. The entry of revision.map, the claim that everything is in effect, is planned when nothing else
 * is left to do but what can wait: so it is set only after the rest has been read back. Routes into backends that only a reload
 * can make are held back: until then such a request goes where it went before, to servers that stay for it.
 *
 * A structure that isn't known to be ours gets no map entries (another version may read them otherwise), a foreign one gets
 * no steps at all.
 *
 * `parts` is what the running structure is made of; null: not known.
 */
export function plan(running: Running, { model, candidate }: Wanted, parts: Candidate['parts'] | null): Plan {
  const standing = standingOf(running, candidate, parts)
  const known = standing === 'same' ? candidate.parts : standing === 'known' ? parts : null
  const isDeclared = (id: BackendId) => standing === 'same' || running.servers.has(id) || known?.has(id) === true

  const changed = standing === 'known' && parts !== null ? partsThatChange(parts, candidate.parts) : none
  const seating = planSeats(running, model, parts, changed)
  const exists = (id: BackendId) => isDeclared(id) || seating.seats.has(id)
  const structure = structureReasons(standing, running, candidate, parts, changed, seating)
  if (standing === 'foreign') return { steps: [], leaving: [], reload: structure }

  // a section that is no part of the structure is of a template of the user's own
  const isOurs = (id: BackendId) => known?.has(id) === true || running.seats?.has(id) === true
  const isAwaited = structure.some(({ code }) => code === 'new-backend')
  const needed = isAwaited ? standIns(running, candidate, exists) : nobody
  const members = memberSteps(running, model, exists, (id) => isOurs(id) && !needed.has(id))
  const maps = known === null ? [] : mapSteps(running, candidate, exists)
  const reload = [...structure, ...members.reload]
  const opening = [...running.closed].sort(byText).map((frontend): Step => ({ do: 'open', frontend }))
  const steps = [...seating.steps, ...members.grow, ...maps, ...members.change, ...members.shrink, ...opening]
  const isWhole = known !== null && steps.length === 0 && isTidying(reload)
  const claim: readonly Step[] = isWhole ? mapStep(mapFiles.revision, running, candidate, () => true) : []
  return { steps: [...steps, ...claim], leaving: members.leaving, reload }
}

const nobody: ReadonlySet<BackendId> = new Set()

function standingOf(running: Running, candidate: Candidate, parts: Candidate['parts'] | null): Standing {
  if (running.structure === candidate.structure) return 'same'
  if (parts !== null) return 'known'
  const looksOurs = /^[0-9a-f]+$/.test(running.structure) && running.structure.length === candidate.structure.length
  return looksOurs ? 'unknown' : 'foreign'
}

const none: readonly string[] = []
let newest: {
  readonly before: Candidate['parts']
  readonly after: Candidate['parts']
  readonly changed: readonly string[]
} | null = null

/** Sections, in order of their ids. Asked for again and again while a reload waits. */
function partsThatChange(before: Candidate['parts'], after: Candidate['parts']): readonly string[] {
  if (newest?.before === before && newest.after === after) return newest.changed
  const changed = [...changedKeys(before, after)].filter((id) => id !== framePart).sort(byText)
  newest = { before, after, changed }
  return changed
}

function structureReasons(
  standing: Standing,
  running: Running,
  candidate: Candidate,
  before: Candidate['parts'] | null,
  changed: readonly string[],
  { seats }: Seating,
): readonly ReloadReason[] {
  if (standing === 'same') return []
  if (standing !== 'known' || before === null) return [{ code: 'not-ours', subject: running.structure }]
  const after = candidate.parts
  const global: ReloadReason[] =
    before.get(framePart) === after.get(framePart) ? [] : [{ code: 'global', subject: 'global' }]
  const sections = changed
    .filter((id) => !isSpare(id))
    .map((id): ReloadReason => {
      if (before.has(id)) return { code: after.has(id) ? 'section' : 'gone-backend', subject: id }
      return { code: seats.get(id) ?? 'new-backend', subject: id }
    })
  const spares: ReloadReason[] = changed.some(isSpare) ? [{ code: 'spares', subject: '' }] : []
  // the structures differ, so there is a reason even if no part shows it
  if (global.length + sections.length + spares.length === 0) return [{ code: 'global', subject: 'global' }]
  return [...global, ...sections, ...spares]
}
