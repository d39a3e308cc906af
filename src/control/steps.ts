import { type BackoffLimits, backoff } from '../backoff.ts'
import { type OpenedSession, openSession, type Session } from '../haproxy/runtime.ts'
import { takeLeave } from '../plan/leaving.ts'
import { plan } from '../plan/plan.ts'
import { mapFiles } from '../render/maps.ts'
import type { Candidate, Plan, Running, Step } from '../types.ts'
import { isRecorded } from './history.ts'
import type { Known } from './known.ts'
import type { LoopParts } from './parts.ts'
import { record } from './record.ts'
import type { Report } from './report.ts'
import type { Drift } from './state.ts'
import type { Made } from './wanted.ts'

const retry: BackoffLimits = { first: 100, longest: 5_000 }
/** With so many refusals a reload is the way. */
const enoughRefusals = 2
/** The steps, the claim that all is in effect, and what a read back may have brought up. */
const mostRounds = 4
/** Of a line of the journal. */
const mostReasons = 20

/**
 * Tells the running HAProxy at once whatever needs no reload, in the order journal, socket, read back: what is planned next is
 * planned against what was read. What it does not take is tried again later, and after that a reload brings it.
 */
export async function takeSteps(
  parts: LoopParts,
  known: Known,
  made: Made,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  let session: Session | null = null
  try {
    for (let round = 0; round < mostRounds; round++) {
      planWanted(known, made)
      const steps = dueSteps(known, made)
      const { running } = known.sight
      if (steps.length === 0 || running === null || signal.aborted) return
      const opening: Promise<OpenedSession> | null =
        session === null ? openSession(parts.target.sockets, running, { signal }) : null
      if (isRevision(steps)) await recordSteps(parts, known, made, round === 0 ? report.drift : [])
      const opened: OpenedSession | null = await opening
      if (opened?.kind === 'failed') return noteFailure(known, made, opened.why)
      session ??= opened?.session ?? null
      if (session === null) return
      const started = performance.now()
      const taken = await session.take(running, steps)
      report.durations.runtime = (report.durations.runtime ?? 0) + performance.now() - started
      if (taken.kind === 'failed') return noteFailure(known, made, taken.why)
      if (taken.kind === 'refused') return noteRefusal(known, made, taken.why)
      known.sight = { ...known.sight, running: taken.running }
      report.steps.push(...steps.filter((step) => !taken.waiting.includes(step)))
    }
    // what is left was told and did not come to pass
    planWanted(known, made)
    const [step] = dueSteps(known, made)
    if (step !== undefined) noteRefusal(known, made, `${step.do} has no effect`)
  } finally {
    session?.close()
  }
}

/** Before they are taken. What puts right somebody else's doing leads to no new revision, and is on record all the same. */
async function recordSteps(parts: LoopParts, known: Known, made: Made, drift: readonly Drift[]): Promise<void> {
  if (drift.length === 0 && isRecorded(known.history, made.candidate)) return
  const reasons = drift.slice(0, mostReasons).map(({ what, subject }) => `${what} ${subject}`)
  await record(parts, known, made, 'runtime', reasons)
}

/** Deleting what has left is no change of what is served. */
function isRevision(steps: readonly Step[]): boolean {
  return steps.some(({ do: what }) => what !== 'delete' && what !== 'shutdown')
}

/** Those of the plan, and of servers that leave what is due. */
function dueSteps(known: Known, { candidate: { hash } }: Made): readonly Step[] {
  const { plan: open, refusedSteps } = known
  const { running } = known.sight
  known.stepsFrom = null
  if (open === null || running === null) return []
  const now = performance.now()
  if (refusedSteps?.hash === hash && now < refusedSteps.retryFrom) {
    known.stepsFrom = refusedSteps.retryFrom
    return []
  }
  const { farewells, steps, nextAt } = takeLeave(known.farewells, open, running, {
    applied: known.applied?.model ?? null,
    endpoints: known.wanted.decision?.endpoints ?? new Map(),
    now,
  })
  known.farewells = farewells
  known.stepsFrom = nextAt
  // a new worker has its own: were it told now, its start could not be told from somebody else's doing
  const isReloading = known.job?.kind === 'reload'
  return [...open.steps.filter((step) => !(isReloading && isClaim(step))), ...steps]
}

function isClaim(step: Step): boolean {
  return step.do === 'map' && step.file === mapFiles.revision
}

/** What runs may be another worker by now, or somebody has changed it: all of it is read again, and planned for. */
function noteRefusal(known: Known, { candidate: { hash } }: Made, why: string): void {
  known.isSightDoubted = true
  known.lookFrom = performance.now()
  const count = (known.refusedSteps?.count ?? 0) + 1
  const retryFrom = performance.now() + (count === 1 ? 0 : backoff(count, retry))
  known.refusedSteps = { hash, why, count, retryFrom }
  known.stepsFrom = retryFrom
}

/** Nobody answers, or not who was asked. In the middle of a reload that is how it goes, and its end tells who does. */
function noteFailure(known: Known, made: Made, why: string): void {
  if (known.job?.kind !== 'reload') {
    noteRefusal(known, made, why)
    return
  }
  const retryFrom = performance.now() + retry.first
  known.refusedSteps = { hash: made.candidate.hash, why, count: 0, retryFrom }
  known.stepsFrom = retryFrom
}

/** What takes HAProxy to what is wanted, as far as both are known. */
export function planWanted(known: Known, made: Made): void {
  const { refusedSteps } = known
  const { running } = known.sight
  if (running === null) {
    known.plan = null
    return
  }
  const open = planAgain(known.planned, running, made, known.parts)
  known.planned = { running, made, parts: known.parts, plan: open }
  if (refusedSteps !== null && open.steps.length === 0) known.refusedSteps = null
  const isStuck = open.steps.length > 0 && refusedSteps !== null && refusedSteps.count >= enoughRefusals
  known.plan = isStuck ? { ...open, reload: [...open.reload, { code: 'refused', subject: refusedSteps.why }] } : open
}

/** What was planned last, and for what. */
export interface Planned {
  readonly running: Running
  readonly made: Made
  readonly parts: Candidate['parts'] | null
  readonly plan: Plan
}

function planAgain(before: Planned | null, running: Running, made: Made, parts: Planned['parts']): Plan {
  const isSame = before?.running === running && before.made === made && before.parts === parts
  return isSame ? before.plan : plan(running, made, parts)
}
