import { setStates } from '../haproxy/runtime.ts'
import { emptyMemory } from '../model/decide.ts'
import { plan } from '../plan/plan.ts'
import { afterUrgent, type Urgent, urgentServers } from '../plan/urgent.ts'
import type { Candidate, Decision, Ms, World } from '../types.ts'
import { applyCandidate } from './apply.ts'
import { conclude, confirm, keepInstalled, save } from './conclusion.ts'
import { firstKnown, isInstalled, type Known } from './known.ts'
import { applyFrom, changed, lacking } from './pacing.ts'
import type { LoopParts } from './parts.ts'
import { stateOf } from './published.ts'
import { lookAtHaproxy, lookForEvery } from './sighting.ts'
import type { Turn } from './state.ts'
import { decideAnew, type Made, renderAnew } from './wanted.ts'

/**
 * The loop: one turn after another, each from the newest world to what HAProxy should have, compared with what runs. What
 * changes meanwhile is seen by the next turn. Nothing it fails at takes away what is being served. Resolves when
 * `signal` is aborted: what is under way then is left as it is, whole on disk.
 */
export async function runLoop(parts: LoopParts, signal: AbortSignal): Promise<void> {
  const { inputs, watch, version, kind: process, wakes } = parts
  const startedAt = Date.now()
  const known = firstKnown(parts.memory ?? emptyMemory, parts.history, parts.lastNumber)
  while (!signal.aborted) {
    const turn = await takeTurn(parts, known, signal)
    const [sources, notices] = [watch.statuses(), inputs.notices()]
    parts.publish(stateOf(known, { version, process, startedAt, at: Date.now(), sources, notices }), turn)
    const woken = await wakes.next(nextTurn(known), signal)
    for (const cause of woken.causes) known.causes.add(cause)
    if (woken.causes.has(haproxyEnded)) known.lookFrom = 0
  }
  await save(parts, known)
}

/** The cause of a turn that has to see what became of HAProxy. */
export const haproxyEnded = 'haproxy-end'

type Durations = { -readonly [stage in keyof Turn['durations']]: Turn['durations'][stage] }

async function takeTurn(parts: LoopParts, known: Known, signal: AbortSignal): Promise<Turn> {
  const durations: Durations = {}
  const told: Urgent[] = []
  let change: Ms | null = null
  const turn = (outcome: Turn['outcome'], reload: Turn['reload'] = null): Turn => {
    return { at: Date.now(), durations, outcome, reload, change, told }
  }
  known.applyFrom = null
  if (performance.now() >= known.lookFrom) await lookAtHaproxy(parts, known, signal)
  const world = parts.watch.world()
  if (world === null || signal.aborted) return turn('waiting')
  told.push(...(await want(parts, known, world, durations, signal)))
  const { made, fault } = known.wanted
  if (made === null) return turn('rejected')
  const { candidate } = made
  const settings = parts.inputs.loopSettings()
  if (known.memory !== known.saved) known.saveFrom ??= performance.now() + settings.persist
  if (known.saveFrom !== null && performance.now() >= known.saveFrom) await save(parts, known)

  if (isRunning(known, candidate)) {
    await confirm(parts, known, made)
    known.changedFrom = null
    return turn(fault === null ? 'unchanged' : 'rejected')
  }
  known.pace = lacking(known.pace, performance.now())
  // it is on disk for whenever HAProxy is there, which looking tells
  if (known.sight.running === null && isInstalled(known, candidate)) {
    await keepInstalled(parts, known, candidate)
    return turn('waiting')
  }
  // a HAProxy that does not come up is not started for every change
  const startFrom = known.sight.running === null ? known.starts.from : 0
  const from = Math.max(startFrom, applyFrom(known.pace, candidate.hash, settings))
  if (performance.now() < from) {
    known.applyFrom = from
    return turn('waiting')
  }
  await save(parts, known)
  const open = known.plan
  const { running } = known.sight
  const { changedFrom } = known
  known.changedFrom = null
  const applying = applyCandidate(candidate, running, parts.target, settings.render.maxconn, signal)
  told.push(...(await attend(parts, known, applying, signal)))
  const applied = await applying
  durations.validate = applied.validate
  durations.apply = applied.apply
  if (applied.kind !== 'running') known.changedFrom = changedFrom ?? known.changedFrom
  else if (changedFrom !== null) change = performance.now() - changedFrom
  await conclude(parts, known, applied, made, open)
  planWanted(known, known.wanted.made ?? made)
  const outcome = { running: 'applied', rejected: 'rejected', installed: 'waiting', interrupted: 'waiting' } as const
  if (!applied.isReload || applied.kind === 'interrupted') return turn(outcome[applied.kind])
  return turn(outcome[applied.kind], {
    outcome: applied.kind === 'rejected' ? 'failure' : 'success',
    reasons: open?.reload ?? [],
  })
}

/**
 * From the newest world to what HAProxy should have and what it lacks of that; what can't wait it is told, and that is what
 * this resolves with.
 */
async function want(
  parts: LoopParts,
  known: Known,
  world: World,
  durations: Durations,
  signal: AbortSignal,
): Promise<Turn['told']> {
  const before = known.wanted.made?.candidate
  // a snapshot file can carry a memory, which counts where the directory has none
  if (known.wanted.decision === null) known.memory = parts.memory ?? parts.watch.memory() ?? emptyMemory
  const settings = parts.inputs.loopSettings()
  durations.decide = timed(() => {
    known.wanted = decideAnew(known.wanted, world, known.memory, settings.model)
  })
  durations.render = timed(() => {
    known.wanted = renderAnew(known.wanted, parts.inputs.templates(), settings.render)
  })
  const { made, decision } = known.wanted
  known.memory = decision?.memory ?? known.memory
  if (made === null || decision === null) return []
  if (made.candidate !== before) {
    known.pace = changed(known.pace, performance.now())
    known.changedFrom ??= performance.now()
  }
  planWanted(known, made)
  return takeUrgent(parts, known, made, decision, signal)
}

/**
 * While a candidate is brought in, which takes from a tenth of a second to many: no new request to who turns critical or dies
 * meanwhile. The rest of what changes is for the next turn, which the same causes begin.
 */
async function attend(
  parts: LoopParts,
  known: Known,
  applying: Promise<unknown>,
  signal: AbortSignal,
): Promise<Turn['told']> {
  const over = new AbortController()
  void applying.finally(() => over.abort())
  const causes = new Set<string>()
  const told: Urgent[] = []
  while (!over.signal.aborted) {
    for (const cause of (await parts.wakes.next(null, over.signal)).causes) causes.add(cause)
    const world = parts.watch.world()
    if (world !== null && !over.signal.aborted) told.push(...(await want(parts, known, world, {}, signal)))
  }
  for (const cause of causes) parts.wakes.wake(cause)
  return told
}

/** Tells the running HAProxy what can't wait for a reload. What it was told it has, and a reload makes it lasting. */
async function takeUrgent(
  parts: LoopParts,
  known: Known,
  made: Made,
  { endpoints }: Decision,
  signal: AbortSignal,
): Promise<Turn['told']> {
  const { running } = known.sight
  if (running === null || known.plan === null) return []
  const urgent = urgentServers(known.plan, running, known.installed?.model ?? null, endpoints)
  if (urgent.length === 0) return []
  const told = await setStates(parts.target.sockets, urgent, { signal })
  if (told.kind === 'failed') {
    known.isSightDoubted = true
    known.lookFrom = Math.min(known.lookFrom, performance.now() + lookForEvery)
    return []
  }
  known.sight = { ...known.sight, running: afterUrgent(running, urgent) }
  planWanted(known, made)
  return urgent
}

function planWanted(known: Known, made: Made): void {
  const { installed } = known
  const { running } = known.sight
  known.plan = running === null ? null : plan(running, made, installed?.candidate ?? null, installed?.model ?? null)
}

/**
 * The worker that was read back runs this very candidate. Steps that the plan still has are what a file can't say
 * (draining) or what somebody did over the socket; a reload would not bring them.
 */
function isRunning({ sight }: Known, candidate: Candidate): boolean {
  return sight.running?.structure === candidate.structure && sight.running.revision === candidate.hash
}

/** Monotonic instant of the next thing to do though nothing is seen. */
function nextTurn({ lookFrom, saveFrom, applyFrom: from, wanted }: Known): Ms {
  const wakeAt = wanted.decision?.wakeAt ?? null
  const due = [lookFrom, saveFrom, from, wakeAt === null ? null : performance.now() + Math.max(0, wakeAt - Date.now())]
  return Math.min(...due.filter((instant) => instant !== null))
}

function timed(work: () => void): Ms {
  const started = performance.now()
  work()
  return performance.now() - started
}
