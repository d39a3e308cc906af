import { withWordsOf } from '../plan/running.ts'
import type { Plan } from '../types.ts'
import { type Applied, applyCandidate } from './apply.ts'
import { isRecorded, reasonsOf } from './history.ts'
import { noteProved } from './install.ts'
import { startJob } from './jobs.ts'
import type { Known } from './known.ts'
import { failedReload, reloaded, satisfied } from './pacing.ts'
import type { LoopParts } from './parts.ts'
import { noteUnwritten, record, recordRefusal } from './record.ts'
import type { Report } from './report.ts'
import { lookEvery, noteFailedStart } from './sighting.ts'
import type { Made } from './wanted.ts'

/** Brings a candidate in by a reload, or puts it where a HAProxy that is not there yet finds it. */
export function startReload(parts: LoopParts, known: Known, made: Made, signal: AbortSignal): void {
  const { plan: open } = known
  const { running } = known.sight
  known.installFrom = null
  startJob(parts, known, 'reload', async () => {
    const { maxconn } = parts.inputs.loopSettings().render
    const applied = await applyCandidate(made.candidate, running, parts.target, maxconn, signal)
    return (_, now, report) => conclude(parts, now, report, { applied, made, open })
  })
}

interface Outcome {
  readonly applied: Applied
  readonly made: Made
  /** What the plan was when the candidate began to be brought in. */
  readonly open: Plan | null
}

async function conclude(
  parts: LoopParts,
  known: Known,
  report: Report,
  { applied, made, open }: Outcome,
): Promise<void> {
  report.durations.validate = applied.validate
  report.durations.apply = applied.apply
  if (applied.kind === 'interrupted') return
  const now = performance.now()
  if (applied.isReload) {
    known.pace = reloaded(known.pace, now)
    const { success, failure } = known.reloads
    const isSuccess = applied.kind !== 'rejected'
    known.reloads = isSuccess ? { success: success + 1, failure } : { success, failure: failure + 1 }
    report.reload = { outcome: isSuccess ? 'success' : 'failure', reasons: open?.reload ?? [] }
  }
  switch (applied.kind) {
    case 'rejected':
      return noteRejected(parts, known, made, applied)
    case 'installed':
      installedBy(known, made)
      known.sight = { running: null, trouble: applied.why, oldWorkers: known.sight.oldWorkers }
      known.pace = satisfied(known.pace)
      if (parts.kind === 'spawn') noteFailedStart(known, applied.why)
      return
    case 'running': {
      installedBy(known, made)
      const running = withWordsOf(applied.running, made.model)
      known.sight = { running, trouble: null, oldWorkers: known.sight.oldWorkers }
      known.parts = running.structure === made.candidate.structure ? made.candidate.parts : null
      known.lastPid = running.pid
      known.lacksOrigin = false
      known.farewells = new Map()
      known.refusedSteps = null
      known.lookFrom = now + lookEvery
      known.verifyFrom = now + parts.inputs.loopSettings().verify
      if (applied.isReload) return record(parts, known, made, 'reload', reasonsOf(open))
      if (!isRecorded(known.history, made.candidate)) return record(parts, known, made, 'reload', ['haproxy-start'])
      known.applied = made
    }
  }
}

function installedBy(known: Known, made: Made): void {
  known.installed = made
  noteProved(known, made.candidate)
  noteUnwritten(known, 'current', null)
}

async function noteRejected(
  parts: LoopParts,
  known: Known,
  made: Made,
  rejected: Extract<Applied, { kind: 'rejected' }>,
): Promise<void> {
  if (rejected.isReload) known.pace = failedReload(known.pace, performance.now())
  known.isSightDoubted = rejected.isReload
  known.lookFrom = 0
  await recordRefusal(parts, known, made, rejected)
}
