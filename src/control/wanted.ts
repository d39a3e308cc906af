import { sameItems } from '../model/admit.ts'
import { decide } from '../model/decide.ts'
import { renderCandidate } from '../render/config.ts'
import type { Templates } from '../render/templates.ts'
import type { Candidate, Decision, Memory, Model, ModelSettings, RenderSettings, World } from '../types.ts'

/** What HAProxy should have, as far as it could be made. Immutable; what did not change keeps its identity. */
export interface Wanted {
  /** Null until every source has spoken once. */
  readonly decision: Decision | null
  /** The newest set of files that could be rendered; null: none could. */
  readonly candidate: Candidate | null
  /** What was rendered last, with or without success. */
  readonly rendered: Rendered | null
  /** Why the newest model could not be rendered. */
  readonly fault: string | null
}

interface Rendered {
  readonly model: Model
  readonly templates: Templates
  readonly settings: RenderSettings
}

export const nothingWanted: Wanted = { decision: null, candidate: null, rendered: null, fault: null }

/** The same with a decision on the newest world. An equal model keeps its identity, so that it is not rendered again. */
export function decideAnew(before: Wanted, world: World, memory: Memory, settings: ModelSettings): Wanted {
  const decision = decide(world, memory, settings)
  const known = before.decision?.model
  const model = known !== undefined && isSameModel(known, decision.model) ? known : decision.model
  return { ...before, decision: { ...decision, model } }
}

/** The same with the files of its model, unless they are there. A template that fails on it keeps the former candidate. */
export function renderAnew(before: Wanted, templates: Templates, settings: RenderSettings): Wanted {
  const model = before.decision?.model
  const last = before.rendered
  const isRendered = last?.model === model && last?.templates === templates && last.settings === settings
  if (model === undefined || isRendered) return before
  const rendered = { model, templates, settings }
  const rendering = renderCandidate(model, templates, settings)
  if (rendering.kind === 'failed') {
    return { ...before, rendered, fault: `${rendering.file}:${rendering.line ?? '?'}: ${rendering.reason}` }
  }
  const isSame = rendering.candidate.hash === before.candidate?.hash
  return { ...before, rendered, fault: null, candidate: isSame ? before.candidate : rendering.candidate }
}

function isSameModel(a: Model, b: Model): boolean {
  return sameItems(a.routes, b.routes) && sameItems([...a.backends.values()], [...b.backends.values()])
}
