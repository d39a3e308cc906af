import { type BackoffLimits, backoff } from '../backoff.ts'
import type { Ms } from '../types.ts'
import { type Known, noStarts } from './known.ts'
import { look } from './look.ts'
import { restarted } from './pacing.ts'
import type { LoopParts } from './parts.ts'
import type { Proof } from './state.ts'

/** How often the running HAProxy is asked whether it is still what was proved; sooner while it is not there. */
export const lookEvery: Ms = 3_000
export const lookForEvery: Ms = 500
/** Of starting a HAProxy of our own that does not come up. */
const restart: BackoffLimits = { first: 1_000, longest: 30_000 }

export async function lookAtHaproxy(parts: LoopParts, known: Known, signal: AbortSignal): Promise<void> {
  const seen = await look(known.isSightDoubted ? null : known.sight.running, parts.target.sockets, signal)
  if (seen === null) return
  known.isSightDoubted = false
  if (seen.running !== null) {
    if (seen.running.pid !== known.sight.running?.pid) known.pace = restarted(known.pace)
    known.starts = noStarts
    known.sight = seen
    known.proof ??= proofOfEarlierLife(known)
    known.lookFrom = performance.now() + lookEvery
    return
  }
  const isStarted = await startOwn(parts, known, signal)
  known.sight = { ...seen, trouble: known.starts.why ?? seen.trouble }
  known.lookFrom = performance.now() + (isStarted ? 0 : lookForEvery)
}

/** One that is ours to run and is not there is started from what is on disk; true when it was, and came up. */
async function startOwn({ kind, inputs, target }: LoopParts, known: Known, signal: AbortSignal): Promise<boolean> {
  if (
    kind !== 'spawn' ||
    !isStartable(known, inputs.loopSettings().maxStartAge) ||
    performance.now() < known.starts.from
  )
    return false
  const ensured = await target.process.ensure(signal)
  if (ensured.kind === 'down' && !signal.aborted) noteFailedStart(known, ensured.why)
  // a master that was found can be without its worker for long
  return ensured.kind === 'up' && ensured.how === 'started'
}

export function noteFailedStart(known: Known, why: string): void {
  const failures = known.starts.failures + 1
  known.starts = { failures, from: performance.now() + backoff(failures, restart), why }
}

/** Before the catalog has spoken, what is on disk is only believed while it is young: addresses are given away again. */
function isStartable({ installed, lastRun }: Known, maxStartAge: Ms): boolean {
  return installed !== null || (lastRun !== null && Date.now() - lastRun.at < maxStartAge)
}

/** What runs was proved by a heddle before this one, as the journal says. */
function proofOfEarlierLife({ sight, lastRun: line }: Known): Proof | null {
  if (line === null || line.hash !== sight.running?.revision) return null
  return { number: line.number, hash: line.hash, routesHash: line.routesHash, at: line.at }
}
