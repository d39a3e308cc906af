import { type BackoffLimits, backoff } from '../backoff.ts'
import { observeRunning } from '../haproxy/observe.ts'
import { differences, withKnown, withReading } from '../plan/running.ts'
import type { Ms, Running } from '../types.ts'
import { lastRunOf } from './history.ts'
import { startJob } from './jobs.ts'
import { type Known, noStarts } from './known.ts'
import { look } from './look.ts'
import { restarted } from './pacing.ts'
import type { LoopParts } from './parts.ts'
import type { Report } from './report.ts'
import type { Drift, Proof } from './state.ts'

/** How often the running HAProxy is asked whether it is still what was proved; sooner while it is not there. */
export const lookEvery: Ms = 1_000
export const lookForEvery: Ms = 500
/** Of starting a HAProxy of our own that does not come up. */
const restart: BackoffLimits = { first: 1_000, longest: 30_000 }

/** Asks HAProxy what it is, and reads all of it where that is not what it was. */
export async function lookAtHaproxy(
  parts: LoopParts,
  known: Known,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const { running: before } = known.sight
  const seen = await look(known.isSightDoubted ? null : before, parts.target.sockets, signal)
  if (seen === null) return
  known.isSightDoubted = false
  // somebody may have removed the files, and the next start or reload, by whomever, is to find them
  const current = known.installed === null ? null : await parts.target.store.current()
  if (current !== (known.installed?.candidate.hash ?? null)) known.installed = null
  if (seen.running !== null) {
    if (seen.running !== before) await takeIn(parts, known, seen.running, report)
    known.starts = noStarts
    known.sight = { ...seen, running: known.sight.running ?? seen.running }
    known.lookFrom = performance.now() + lookEvery
    return
  }
  const isStarted = await startOwn(parts, known, signal)
  known.sight = { ...seen, trouble: known.starts.why ?? seen.trouble }
  known.lookFrom = performance.now() + (isStarted ? 0 : lookForEvery)
}

/** A whole reading, of the same worker or of another. */
async function takeIn({ target, inputs }: LoopParts, known: Known, read: Running, report: Report): Promise<void> {
  const { running: before } = known.sight
  known.verifyFrom = performance.now() + inputs.loopSettings().verify
  if (before?.pid === read.pid) {
    const running = withKnown(before, read)
    noteDrift(known, report, differences(before, running))
    known.sight = { ...known.sight, running }
  } else {
    if (known.lastPid !== null && known.lastPid !== read.pid)
      noteDrift(known, report, [{ what: 'worker', subject: `process ${read.pid} instead of ${known.lastPid}` }])
    known.pace = restarted(known.pace)
    known.farewells = new Map()
    known.refusedSteps = null
    known.lacksOrigin = true
    known.sight = { ...known.sight, running: read }
    known.lastPid = read.pid
  }
  if (before?.structure !== read.structure) known.parts = await target.store.parts(read.structure)
  known.proof ??= proofOfEarlierLife(known)
}

function noteDrift(known: Known, report: Report, drift: readonly Drift[]): void {
  if (drift.length === 0) return
  report.drift.push(...drift)
  known.causes.add('drift')
}

/** Reads all of it back beside the turns; what they touch meanwhile has been read back by them. */
export function startVerify(parts: LoopParts, known: Known, start: Running, signal: AbortSignal): void {
  known.verifyFrom = performance.now() + parts.inputs.loopSettings().verify
  startJob(parts, known, 'verify', async () => {
    const observed = await observeRunning({ ...parts.target.sockets, signal })
    return (_, now, report) => {
      const { running: current } = now.sight
      if (observed.kind === 'absent' || current === null || observed.running.pid !== current.pid) {
        now.lookFrom = performance.now()
        return
      }
      const running = withReading(current, start, withKnown(start, observed.running))
      const drift = differences(current, running)
      if (drift.length === 0) return
      noteDrift(now, report, drift)
      now.sight = { ...now.sight, running }
    }
  })
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
function proofOfEarlierLife({ sight, history }: Known): Proof | null {
  const line = lastRunOf(history, sight.running?.revision)
  if (line === undefined) return null
  return { number: line.number, hash: line.hash, routesHash: line.routesHash, at: line.at }
}
