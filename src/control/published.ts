import { isSpare } from '../render/spares.ts'
import type { SourceStatus } from '../sources/source.ts'
import { lastRunOf } from './history.ts'
import type { Known } from './known.ts'
import type { HaproxyState, State } from './state.ts'

/** What the loop knows, as everybody else may read it. */
export function stateOf(
  known: Known,
  about: Pick<State, 'version' | 'startedAt' | 'at' | 'sources' | 'notices'> & Pick<HaproxyState, 'process'>,
): State {
  const { process, notices, ...rest } = about
  const { sight, pace, wanted } = known
  return {
    ...rest,
    decision: wanted.decision,
    candidate: wanted.made?.candidate ?? null,
    plan: known.plan,
    running: sight.running,
    proof: known.proof,
    haproxy: {
      process,
      isConnected: sight.running !== null && sight.trouble === null,
      version: sight.running?.version ?? null,
      pid: sight.running?.pid ?? null,
      oldWorkers: sight.oldWorkers,
      spares: sparesOf(known),
      reloads: known.reloads,
      error: pace.refusal?.why ?? wanted.fault ?? sight.trouble,
    },
    history: known.history,
    ready: readiness(known, about.sources),
    notices: new Map([...notices, ...known.unwritten]),
  }
}

function sparesOf({ sight, parts }: Known): HaproxyState['spares'] {
  const taken = sight.running?.seats?.size ?? 0
  return { taken, free: sight.running?.seats == null ? 0 : Math.max(0, spareNames(parts).length - taken) }
}

const names = new WeakMap<NonNullable<Known['parts']>, readonly string[]>()

function spareNames(parts: Known['parts']): readonly string[] {
  if (parts === null) return []
  const known = names.get(parts) ?? [...parts.keys()].filter(isSpare)
  names.set(parts, known)
  return known
}

/** Ready: a proved revision runs in HAProxy. Old data or a newer revision that waits do not make it unready. */
function readiness(known: Known, sources: ReadonlyMap<string, SourceStatus>): State['ready'] {
  const { sight, proof, wanted, pace } = known
  const { running, trouble } = sight
  if (proof !== null && running !== null && isProved(running.revision, known))
    return { isReady: true, reason: 'a proved revision runs' }
  if (wanted.decision === null) return { isReady: false, reason: waitingFor(sources) }
  if (running === null) return { isReady: false, reason: trouble ?? 'HAProxy does not answer' }
  return { isReady: false, reason: pace.refusal?.why ?? 'no revision has been proved yet' }
}

/** The newest, or one before it: a HAProxy that restarts may have that for a moment. */
function isProved(revision: string, { proof, history }: Known): boolean {
  return revision === proof?.hash || lastRunOf(history, revision) !== undefined
}

/** What nothing can be decided without. */
export function waitingFor(sources: ReadonlyMap<string, SourceStatus>): string {
  const waiting = [...sources].find(([, { state }]) => state === 'waiting')
  return `waiting for ${waiting?.[0] ?? 'the sources'}`
}
