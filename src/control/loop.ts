import { emptyMemory } from '../model/decide.ts'
import { isTidying } from '../plan/plan.ts'
import { withWordsOf } from '../plan/running.ts'
import type { Ms, World } from '../types.ts'
import { madeEarlier } from './earlier.ts'
import { lastRunOf } from './history.ts'
import { installAtEnd, planInstall, startCheck, startInstall } from './install.ts'
import { jobEnded, jobsEnded, startJob, takeUpJobs } from './jobs.ts'
import { firstKnown, isInstalled, type Known } from './known.ts'
import { changed, lacking, reloadFrom, satisfied, tidyReloadFrom, untidy } from './pacing.ts'
import type { LoopParts } from './parts.ts'
import { stateOf } from './published.ts'
import { noteUnwritten } from './record.ts'
import { startReload } from './reloading.ts'
import { newReport, type Report, turnOf } from './report.ts'
import { lookAtHaproxy, startVerify } from './sighting.ts'
import { takeSteps } from './steps.ts'
import { decideAnew, type Made, renderAnew } from './wanted.ts'

/**
 * The loop: one turn after another, each from the newest world to what HAProxy should have, compared with what runs. What needs
 * no reload HAProxy is told in the turn; a reload, files and whole readings are jobs beside the turns. What changes meanwhile is
 * seen by the next turn. Nothing it fails at takes away what is being served. Resolves when `signal` is aborted: what is
 * under way then is seen through, as far as the patience of supervisors allows, and left whole on disk.
 */
export async function runLoop(parts: LoopParts, signal: AbortSignal): Promise<void> {
  const { inputs, watch, version, kind: process, wakes } = parts
  const startedAt = Date.now()
  const known = firstKnown(parts.memory ?? emptyMemory, parts.history, parts.lastNumber)
  while (!signal.aborted) {
    const report = newReport()
    await takeTurn(parts, known, report, signal)
    const [sources, notices] = [watch.statuses(), inputs.notices()]
    const about = { version, process, startedAt, at: Date.now(), sources, notices }
    parts.publish(stateOf(known, about), turnOf(report))
    const woken = await wakes.next(nextTurn(known), signal)
    for (const cause of woken.causes) if (cause !== jobEnded) known.causes.add(cause)
    if (woken.causes.has(haproxyEnded)) known.lookFrom = 0
  }
  await jobsEnded(known)
  await takeUpJobs(parts, known, newReport())
  await installAtEnd(parts, known)
  if (known.memory !== known.saved) startSave(parts, known)
  await jobsEnded(known)
}

/** A turn comes even if nothing is due. */
const longestSleep: Ms = 10_000

/** The cause of a turn that has to see what became of HAProxy. */
export const haproxyEnded = 'haproxy-end'

async function takeTurn(parts: LoopParts, known: Known, report: Report, signal: AbortSignal): Promise<void> {
  known.reloadFrom = null
  await takeUpJobs(parts, known, report)
  // while one reloads, which worker answers is for the reload to find out
  if (performance.now() >= known.lookFrom && known.job?.kind !== 'reload')
    await lookAtHaproxy(parts, known, report, signal)
  const world = parts.watch.world()
  if (world === null || signal.aborted) return
  want(parts, known, world, report)
  const { made, fault } = known.wanted
  if (made === null) {
    report.outcome = 'rejected'
    return
  }
  planSave(parts, known)
  learnOrigin(parts, known, made)
  await takeSteps(parts, known, made, report, signal)
  prove(known, made, report)
  planJobs(parts, known, made)
  if (known.job === null && !signal.aborted) startDueJob(parts, known, made, signal)
  const isRefused = report.outcome === 'waiting' && known.pace.refusal?.hash === made.candidate.hash
  if (fault !== null || isRefused) report.outcome = 'rejected'
}

/** From the newest world to what HAProxy should have. */
function want(parts: LoopParts, known: Known, world: World, report: Report): void {
  const before = known.wanted.made?.candidate
  // a snapshot file can carry a memory, which counts where the directory has none
  if (known.wanted.decision === null) known.memory = parts.memory ?? parts.watch.memory() ?? emptyMemory
  const settings = parts.inputs.loopSettings()
  report.durations.decide = timed(() => {
    known.wanted = decideAnew(known.wanted, world, known.memory, settings.model)
  })
  report.durations.render = timed(() => {
    known.wanted = renderAnew(known.wanted, parts.inputs.templates(), settings.render)
  })
  const { made, decision } = known.wanted
  known.memory = decision?.memory ?? known.memory
  if (made === null || made.candidate === before) return
  known.pace = changed(known.pace, performance.now())
  known.changedFrom ??= performance.now()
}

/** Of a worker that is found running: what its servers were made from, if that can be told. */
function learnOrigin(parts: LoopParts, known: Known, made: Made): void {
  const { running } = known.sight
  if (!known.lacksOrigin || running === null) return
  known.lacksOrigin = false
  const { revision } = running
  const line = lastRunOf(known.history, revision)
  const origin =
    [made, known.installed, known.applied].find((one) => one?.candidate.hash === revision) ??
    (line === undefined ? null : madeEarlier(parts, revision, line.at))
  if (origin === null) return
  known.applied = origin
  known.sight = { ...known.sight, running: withWordsOf(running, origin.model) }
}

/** Makes a proof of what was read back, if that is what is wanted. */
function prove(known: Known, made: Made, report: Report): void {
  const { plan: open } = known
  const { hash, routesHash } = made.candidate
  const isInEffect =
    known.sight.running?.revision === hash && open !== null && open.steps.length === 0 && isTidying(open.reload)
  if (!isInEffect) {
    known.pace = lacking(known.pace, performance.now())
    return
  }
  known.applied = made
  const isNew = known.proof?.hash !== hash
  if (isNew) known.proof = { number: known.lastNumber, hash, routesHash, at: Date.now() }
  if (isNew && known.changedFrom !== null) report.change = performance.now() - known.changedFrom
  known.changedFrom = null
  known.causes.clear()
  const { refusal } = known.pace
  known.pace = open.reload.length === 0 ? satisfied(known.pace) : untidy(known.pace, performance.now())
  // it serves, but a HAProxy that restarts would not have it
  if (!isInstalled(known, made.candidate)) known.pace = { ...known.pace, refusal }
  report.outcome = isNew || report.steps.length > 0 ? 'applied' : 'unchanged'
}

/** Says when what may wait is due. */
function planJobs(parts: LoopParts, known: Known, made: Made): void {
  const settings = parts.inputs.loopSettings()
  const { candidate } = made
  const { plan: open, sight, pace } = known
  if (known.proof?.hash === candidate.hash) planInstall(known, made, settings.persist)
  if (sight.running === null) {
    // a HAProxy that does not come up is not started for every change
    if (!isInstalled(known, candidate))
      known.reloadFrom = Math.max(known.starts.from, reloadFrom(pace, candidate.hash, settings))
    return
  }
  if (open === null || open.reload.length === 0) return
  known.reloadFrom = isTidying(open.reload)
    ? tidyReloadFrom(pace, candidate.hash, settings, sight.oldWorkers >= settings.render.maxOldWorkers)
    : reloadFrom(pace, candidate.hash, settings)
}

/** When which job may begin, in the order of their importance. */
function jobsDue({ reloadFrom: from, installFrom, checkFrom, verifyFrom, installed, sight }: Known) {
  return [from, installFrom, installed === null ? null : checkFrom, sight.running === null ? null : verifyFrom] as const
}

function startDueJob(parts: LoopParts, known: Known, made: Made, signal: AbortSignal): void {
  const { installed } = known
  const { running } = known.sight
  const first = jobsDue(known).findIndex((instant) => instant !== null && performance.now() >= instant)
  if (first === 0) startReload(parts, known, made, signal)
  if (first === 1) startInstall(parts, known, made, signal)
  if (first === 2 && installed !== null) startCheck(parts, known, installed, signal)
  if (first === 3 && running !== null) startVerify(parts, known, running, signal)
}

/** One save at a time; the next one is of the memory that is the newest then. */
function planSave(parts: LoopParts, known: Known): void {
  const isDue = known.saving === null && known.memory !== known.saved
  known.saveFrom = isDue ? (known.saveFrom ?? performance.now() + parts.inputs.loopSettings().persist) : null
  if (known.saveFrom !== null && performance.now() >= known.saveFrom) startSave(parts, known)
}

function startSave(parts: LoopParts, known: Known): void {
  const { memory } = known
  known.saveFrom = null
  startJob(parts, known, 'save', async () => {
    const why = await parts.saveMemory(memory)
    return (_, now) => {
      noteUnwritten(now, 'memory', why)
      if (why === null) now.saved = memory
    }
  })
}

/** Monotonic instant of the next thing to do though nothing is seen. */
function nextTurn(known: Known): Ms {
  const { stepsFrom, wanted, job } = known
  const wakeAt = wanted.decision?.wakeAt ?? null
  const due = [
    job?.kind === 'reload' ? null : known.lookFrom,
    known.saveFrom,
    stepsFrom,
    wakeAt === null ? null : performance.now() + Math.max(0, wakeAt - Date.now()),
    ...(job === null ? jobsDue(known) : []),
  ]
  const instants = due.filter((instant) => instant !== null)
  return Math.min(performance.now() + longestSleep, ...instants)
}

function timed(work: () => void): Ms {
  const started = performance.now()
  work()
  return performance.now() - started
}
