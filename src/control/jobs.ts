import type { Known } from './known.ts'
import type { LoopParts } from './parts.ts'
import type { Report } from './report.ts'

/**
 * What takes longer than a turn may: a reload, a whole set of files, a check, a whole read back, and, by itself, memory. One of
 * each lane runs beside the turns, which go on telling HAProxy what changes; only its end, which is a part of a turn again,
 * changes what is known.
 */
export interface Job {
  readonly kind: 'reload' | 'install' | 'check' | 'verify' | 'save'
  /** What to do with the result; null: it is not there yet. */
  end: JobEnd | null
  /** Resolves when it is. */
  readonly ended: Promise<void>
}

/** May write to `known`. */
export type JobEnd = (parts: LoopParts, known: Known, report: Report) => Promise<void> | void

/** The cause of a turn that takes up the result of a job; no cause of a revision. */
export const jobEnded = 'job'

/** `work` never rejects. */
export function startJob(parts: LoopParts, known: Known, kind: Job['kind'], work: () => Promise<JobEnd>): void {
  const ended = work().then((end) => {
    job.end = end
    parts.wakes.wake(jobEnded)
  })
  const job: Job = { kind, end: null, ended }
  known[laneOf(kind)] = job
}

const lanes = ['job', 'saving'] as const

function laneOf(kind: Job['kind']): (typeof lanes)[number] {
  return kind === 'save' ? 'saving' : 'job'
}

export async function takeUpJobs(parts: LoopParts, known: Known, report: Report): Promise<void> {
  for (const lane of lanes) {
    const job = known[lane]
    if (job === null || job.end === null) continue
    known[lane] = null
    await job.end(parts, known, report)
  }
}

/** Resolves when nothing runs beside the turns any more. */
export async function jobsEnded(known: Known): Promise<void> {
  await Promise.all(lanes.map((lane) => known[lane]?.ended))
}
