import { isDeepStrictEqual } from 'node:util'
import { stackOf } from '../errors.ts'
import { decide } from '../model/decide.ts'
import { renderCandidate } from '../render/config.ts'
import type { Templates } from '../render/templates.ts'
import { sameEntries, sameItems } from '../same.ts'
import type { Candidate, Decision, Memory, Model, ModelSettings, Problem, RenderSettings, World } from '../types.ts'

/** What HAProxy should have, as far as it could be made. Immutable; what did not change keeps its identity. */
export interface Wanted {
  /** Null until every source has spoken once. */
  readonly decision: Decision | null
  /** What it was made of. */
  readonly decided: Decided | null
  /** The newest set of files that could be rendered, with the model they were made from; null: none could. */
  readonly made: Made | null
  /** What was rendered last, with or without success. */
  readonly rendered: Rendered | null
  /** Why the newest world could not be decided on, or its model not rendered. */
  readonly fault: string | null
}

export interface Made {
  readonly candidate: Candidate
  readonly model: Model
}

interface Decided {
  readonly world: World
  readonly memory: Memory
  readonly settings: ModelSettings
}

interface Rendered {
  readonly model: Model
  readonly templates: Templates
  readonly settings: RenderSettings
}

export const nothingWanted: Wanted = { decision: null, decided: null, made: null, rendered: null, fault: null }

/** The same with a decision on the newest world. Equal parts keep their identity, so that nothing is done about them again. */
export function decideAnew(before: Wanted, world: World, memory: Memory, settings: ModelSettings): Wanted {
  const decided = { world, memory, settings }
  if (isDecided(before, decided)) return before
  const decision = attempt(() => decide(world, memory, settings))
  if (typeof decision === 'string') return { ...before, decided, fault: decision }
  const kept = before.decision === null ? decision : keepSame(before.decision, decision)
  return { ...before, decided, fault: null, decision: kept }
}

/** Deciding once more would give the same: nothing new was seen, remembered or set, and no deadline has come. */
function isDecided({ decision, decided, fault }: Wanted, { world, memory, settings }: Decided): boolean {
  if (decision === null || decided === null || fault !== null) return false
  const isKnown = decision.memory === memory && (decided.memory === memory || decision.isSettled)
  return (
    isKnown &&
    decided.settings === settings &&
    isSameWorld(decided.world, world) &&
    (decision.wakeAt === null || world.at < decision.wakeAt)
  )
}

/** But for when it was seen. */
function isSameWorld(before: World, world: World): boolean {
  const { at: _at, catalog, engines, weave, unreachable, ...more } = world
  // a field that is new to World is a type error here
  const nothing: Record<string, never> = more
  return (
    before.catalog === catalog &&
    before.engines === engines &&
    before.weave === weave &&
    before.unreachable === unreachable &&
    Object.keys(nothing).length === 0
  )
}

/** The same with the files of its model, unless they are there. A template that fails on it keeps the former ones. */
export function renderAnew(before: Wanted, templates: Templates, settings: RenderSettings): Wanted {
  const model = before.decision?.model
  const last = before.rendered
  if (model === undefined || before.fault !== null) return before
  if (last?.model === model && last.templates === templates && last.settings === settings) return before
  const rendered = { model, templates, settings }
  const rendering = attempt(() => renderCandidate(model, templates, settings))
  if (typeof rendering === 'string') return { ...before, rendered, fault: rendering }
  if (rendering.kind === 'failed') {
    return { ...before, rendered, fault: `${rendering.file}:${rendering.line ?? '?'}: ${rendering.reason}` }
  }
  const known = before.made?.candidate
  const candidate = known?.hash === rendering.candidate.hash ? known : rendering.candidate
  return { ...before, rendered, made: { candidate, model } }
}

/** An exception here is a bug of ours. What is served must not end with it: it is shown, and what was wanted before stays. */
function attempt<T>(work: () => T): T | string {
  try {
    return work()
  } catch (error) {
    return `this is a bug of heddle: ${stackOf(error)}`
  }
}

function keepSame(before: Decision, after: Decision): Decision {
  const model = isSameModel(before.model, after.model) ? before.model : after.model
  const problems = sameProblems(before.problems, after.problems) ? before.problems : after.problems
  const endpoints = sameEntries(before.endpoints, after.endpoints) ? before.endpoints : after.endpoints
  const isSame =
    model === before.model &&
    problems === before.problems &&
    endpoints === before.endpoints &&
    after.memory === before.memory &&
    after.wakeAt === before.wakeAt &&
    after.isSettled === before.isSettled
  return isSame ? before : { ...after, model, problems, endpoints }
}

function isSameModel(a: Model, b: Model): boolean {
  return a === b || (sameItems(a.routes, b.routes) && sameEntries(a.backends, b.backends))
}

function sameProblems(a: readonly Problem[], b: readonly Problem[]): boolean {
  return a.length === b.length && a.every((problem, at) => problem === b[at] || isDeepStrictEqual(problem, b[at]))
}
