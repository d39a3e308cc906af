import { decide } from '../model/decide.ts'
import { renderCandidate } from '../render/config.ts'
import type { Memory, Ms, World } from '../types.ts'
import type { LoopParts } from './parts.ts'
import type { Made } from './wanted.ts'

/**
 * What an earlier life of heddle brought into the worker that is found running: deciding is pure, so what it remembered
 * leads to the same revision again. Null: it does not, something has changed besides. `at` is when that was.
 */
export function madeEarlier({ inputs, memory }: LoopParts, revision: string, at: Ms): Made | null {
  if (memory === null) return null
  const settings = inputs.loopSettings()
  try {
    const { model } = decide(worldOf(memory, at), memory, settings.model)
    const rendering = renderCandidate(model, inputs.templates(), settings.render)
    if (rendering.kind === 'failed' || rendering.candidate.hash !== revision) return null
    return { candidate: rendering.candidate, model }
  } catch {
    // what is remembered was read from a file, and is not needed here
    return null
  }
}

/** As if all that is remembered had been seen at that moment. */
function worldOf({ catalog, engines, weave }: Memory, at: Ms): World {
  const seen = <T>(value: T) => ({ value, evidence: 'fresh', why: null, at }) as const
  return {
    catalog: {
      by: 'service',
      partitions: new Map([...catalog.services].map(([service, instances]) => [service, seen(instances)])),
    },
    engines: new Map([...engines].map(([node, engine]) => [node, seen(engine)])),
    weave: weave === null ? null : seen(weave),
    at,
  }
}
