import { type BackoffLimits, backoff } from '../backoff.ts'
import { setStates } from '../haproxy/runtime.ts'
import { emptyMemory } from '../model/decide.ts'
import { plan } from '../plan/plan.ts'
import { afterUrgent, urgentServers } from '../plan/urgent.ts'
import type { WorldWatch } from '../sources/world.ts'
import type {
  Candidate,
  Decision,
  Memory,
  Model,
  ModelSettings,
  Ms,
  RenderSettings,
  RevisionAction,
  RevisionRecord,
} from '../types.ts'
import { type Applied, applyCandidate, type Target } from './apply.ts'
import type { Wakes } from './flow.ts'
import { isRecorded, lastRun, reasonsOf, recordOf, withRecord } from './history.ts'
import type { Inputs } from './inputs.ts'
import type { Journal } from './journal.ts'
import { firstKnown, type Known, noStarts } from './known.ts'
import { look } from './look.ts'
import {
  applyFrom,
  changed,
  failedReload,
  lacking,
  type PacingSettings,
  refused,
  reloaded,
  satisfied,
} from './pacing.ts'
import { stateOf } from './published.ts'
import type { Proof, State, Turn } from './state.ts'
import { decideAnew, renderAnew } from './wanted.ts'

export interface LoopSettings extends PacingSettings {
  readonly model: ModelSettings
  readonly render: RenderSettings
  readonly persist: Ms
  /** How old files may be that a HAProxy of ours is started with before the catalog has spoken; Infinity: any age. */
  readonly maxStartAge: Ms
}

export interface LoopParts {
  readonly version: string
  readonly kind: 'attach' | 'spawn'
  /** Asked at each turn, always for the newest. */
  readonly inputs: Pick<Inputs, 'loopSettings' | 'templates' | 'notices'>
  /** `world` is null until every source has spoken once. */
  readonly watch: Pick<WorldWatch, 'world' | 'statuses' | 'memory'>
  readonly target: Target
  readonly wakes: Wakes
  readonly journal: Pick<Journal, 'append'>
  /** Newest last. */
  readonly history: readonly RevisionRecord[]
  readonly lastNumber: number
  /** That of the directory; null: there is none. */
  readonly memory: Memory | null
  /** Never rejects; null: saved. */
  readonly saveMemory: (memory: Memory) => Promise<string | null>
  readonly publish: (state: State, turn: Turn) => void
}

/** How often the running HAProxy is asked whether it is still what was proved; sooner while it is not there. */
const lookEvery: Ms = 3_000
const lookForEvery: Ms = 500
/** Of starting a HAProxy of our own that does not come up. */
const restart: BackoffLimits = { first: 1_000, longest: 30_000 }

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
  }
  await save(parts, known)
}

async function takeTurn(parts: LoopParts, known: Known, signal: AbortSignal): Promise<Turn> {
  const durations: { decide?: Ms; render?: Ms; validate?: Ms; apply?: Ms } = {}
  let told: Turn['told'] = []
  const turn = (outcome: Turn['outcome'], reload: Turn['reload'] = null): Turn => {
    return { at: Date.now(), durations, outcome, reload, told }
  }
  known.applyFrom = null
  const before = known.wanted.candidate
  if (performance.now() >= known.lookFrom) await lookAtHaproxy(parts, known, signal)
  const world = parts.watch.world()
  if (world === null || signal.aborted) return turn('waiting')
  // a snapshot file can carry a memory, which counts where the directory has none
  if (known.wanted.decision === null) known.memory = parts.memory ?? parts.watch.memory() ?? emptyMemory
  const settings = parts.inputs.loopSettings()
  durations.decide = timed(() => {
    known.wanted = decideAnew(known.wanted, world, known.memory, settings.model)
  })
  durations.render = timed(() => {
    known.wanted = renderAnew(known.wanted, parts.inputs.templates(), settings.render)
  })
  const { candidate, decision } = known.wanted
  if (candidate !== before) known.pace = changed(known.pace, performance.now())
  known.memory = decision?.memory ?? known.memory
  if (candidate === null || decision === null) return turn('rejected')
  if (known.memory !== known.saved) known.saveFrom ??= performance.now() + settings.persist
  if (known.saveFrom !== null && performance.now() >= known.saveFrom) await save(parts, known)
  planWanted(known, candidate, decision.model)
  told = await takeUrgent(parts, known, candidate, decision, signal)

  if (isRunning(known, candidate)) {
    await confirm(parts, known, candidate, decision.model)
    return turn('unchanged')
  }
  known.pace = lacking(known.pace, performance.now())
  // it is on disk for whenever HAProxy is there, which looking tells
  if (known.sight.running === null && isInstalled(known, candidate)) return turn('waiting')
  const from = applyFrom(known.pace, candidate.hash, settings)
  if (performance.now() < from) {
    known.applyFrom = from
    return turn('waiting')
  }
  await save(parts, known)
  const reasons = known.plan?.reload ?? []
  const { running } = known.sight
  const applied = await applyCandidate(candidate, running, parts.target, settings.render.maxconn, signal)
  durations.validate = applied.validate
  durations.apply = applied.apply
  await conclude(parts, known, applied, candidate, decision.model)
  const outcome = { running: 'applied', rejected: 'rejected', installed: 'waiting', interrupted: 'waiting' } as const
  if (!applied.isReload || applied.kind === 'interrupted') return turn(outcome[applied.kind])
  return turn(outcome[applied.kind], { outcome: applied.kind === 'rejected' ? 'failure' : 'success', reasons })
}

/** Tells the running HAProxy what can't wait for a reload. What it was told it has, and a reload makes it lasting. */
async function takeUrgent(
  parts: LoopParts,
  known: Known,
  candidate: Candidate,
  { endpoints, model }: Decision,
  signal: AbortSignal,
): Promise<Turn['told']> {
  const { running } = known.sight
  if (running === null || known.plan === null) return []
  const urgent = urgentServers(known.plan, running, known.installed?.model ?? null, endpoints)
  if (urgent.length === 0) return []
  const told = await setStates(parts.target.sockets.statsSocket, urgent, { signal })
  if (told.kind === 'failed') {
    known.isSightDoubted = true
    known.lookFrom = Math.min(known.lookFrom, performance.now() + lookForEvery)
    return []
  }
  known.sight = { ...known.sight, running: afterUrgent(running, urgent) }
  planWanted(known, candidate, model)
  return urgent
}

// ---------------------------------------------------------------------------------------------- HAProxy as it is

async function lookAtHaproxy(parts: LoopParts, known: Known, signal: AbortSignal): Promise<void> {
  const seen = await look(known.isSightDoubted ? null : known.sight.running, parts.target.sockets, signal)
  if (seen === null) return
  known.isSightDoubted = false
  if (seen.running !== null) {
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

/** One that is ours to run and is not there is started from what is on disk; true when it came up. */
async function startOwn({ kind, inputs, target }: LoopParts, known: Known, signal: AbortSignal): Promise<boolean> {
  if (
    kind !== 'spawn' ||
    !isStartable(known, inputs.loopSettings().maxStartAge) ||
    performance.now() < known.starts.from
  )
    return false
  const ensured = await target.process.ensure(signal)
  if (ensured.kind === 'up') return true
  if (!signal.aborted) noteFailedStart(known, ensured.why)
  return false
}

function noteFailedStart(known: Known, why: string): void {
  const failures = known.starts.failures + 1
  known.starts = { failures, from: performance.now() + backoff(failures, restart), why }
}

/** Before the catalog has spoken, what is on disk is only believed while it is young: addresses are given away again. */
function isStartable({ installed, history }: Known, maxStartAge: Ms): boolean {
  const line = lastRun(history)
  return installed !== null || (line !== null && Date.now() - line.at < maxStartAge)
}

/** What runs was proved by a heddle before this one, as the journal says. */
function proofOfEarlierLife({ sight, history }: Known): Proof | null {
  const line = lastRun(history)
  if (line === null || line.hash !== sight.running?.revision) return null
  return { number: line.number, hash: line.hash, routesHash: line.routesHash, at: line.at }
}

// ---------------------------------------------------------------------------------------------- what is wanted

function planWanted(known: Known, candidate: Candidate, model: Model): void {
  const { installed } = known
  const { running } = known.sight
  const wanted = { model, candidate }
  known.plan = running === null ? null : plan(running, wanted, installed?.candidate ?? null, installed?.model ?? null)
}

/**
 * The worker that was read back runs this very candidate. Steps that the plan still has are what a file can't say
 * (draining) or what somebody did over the socket; a reload would not bring them.
 */
function isRunning({ sight }: Known, candidate: Candidate): boolean {
  return sight.running?.structure === candidate.structure && sight.running.revision === candidate.hash
}

function isInstalled(known: Known, candidate: Candidate): boolean {
  return known.installed?.candidate.hash === candidate.hash
}

// ---------------------------------------------------------------------------------------------- what was done

/** Makes a proof of what runs, and sees to it that a HAProxy which restarts finds the same on disk. */
async function confirm(parts: LoopParts, known: Known, candidate: Candidate, model: Model): Promise<void> {
  const wasProved = known.proof?.hash === candidate.hash
  if (!isInstalled(known, candidate) || !wasProved) {
    const { store } = parts.target
    if ((await store.current()) !== candidate.hash || !(await store.matches(candidate))) {
      const written = await store.write(candidate)
      if (written.kind === 'written') await store.use(candidate.hash)
    }
    const isNews = !wasProved && !isRecorded(known.history, candidate)
    if (isNews) await record(parts, known, candidate, model, 'reload', ['haproxy-start'])
  }
  prove(known, candidate, model)
}

function prove(known: Known, candidate: Candidate, model: Model): void {
  known.installed = { candidate, model }
  const { hash, routesHash } = candidate
  if (known.proof?.hash !== hash) known.proof = { number: known.lastNumber, hash, routesHash, at: Date.now() }
  known.pace = satisfied(known.pace)
  known.causes.clear()
}

async function conclude(
  parts: LoopParts,
  known: Known,
  applied: Applied,
  candidate: Candidate,
  model: Model,
): Promise<void> {
  const now = performance.now()
  if (applied.kind === 'interrupted') return
  if (applied.isReload) {
    known.pace = reloaded(known.pace, now, parts.inputs.loopSettings().reloadEvery)
    const { success, failure } = known.reloads
    known.reloads = applied.kind === 'rejected' ? { success, failure: failure + 1 } : { success: success + 1, failure }
  }
  const { oldWorkers } = known.sight
  switch (applied.kind) {
    case 'rejected': {
      const isNews = known.pace.refusal?.hash !== candidate.hash || known.pace.refusal.why !== applied.why
      known.pace = refused(known.pace, candidate.hash, applied.why, now)
      if (applied.isReload) known.pace = failedReload(known.pace, now)
      if (isNews) await record(parts, known, candidate, model, 'rejected', [`${applied.stage}: ${applied.why}`])
      known.lookFrom = 0
      return
    }
    case 'installed':
      known.installed = { candidate, model }
      known.sight = { running: null, trouble: applied.why, oldWorkers }
      known.pace = satisfied(known.pace)
      if (parts.kind === 'spawn') noteFailedStart(known, applied.why)
      return
    case 'running':
      known.sight = { running: applied.running, trouble: null, oldWorkers }
      known.lookFrom = now + lookEvery
      if (!isRecorded(known.history, candidate)) {
        const reasons = applied.isReload ? reasonsOf(known.plan) : ['haproxy-start']
        await record(parts, known, candidate, model, 'reload', reasons)
      }
      prove(known, candidate, model)
      planWanted(known, candidate, model)
  }
}

async function record(
  parts: LoopParts,
  known: Known,
  candidate: Candidate,
  model: Model,
  action: RevisionAction,
  reasons: readonly string[],
): Promise<void> {
  const models = { before: known.installed?.model ?? null, after: model }
  const line = recordOf(known.lastNumber + 1, candidate, models, { action, reasons, causes: known.causes })
  known.lastNumber = line.number
  known.history = withRecord(known.history, line)
  // a full disk must not stop traffic from following the catalog; the line is in the history of this life
  const appended = await parts.journal.append(line)
  noteUnwritten(known, 'journal', appended.kind === 'failed' ? appended.why : null)
}

async function save(parts: LoopParts, known: Known): Promise<void> {
  known.saveFrom = null
  if (known.memory === known.saved) return
  const { memory } = known
  const why = await parts.saveMemory(memory)
  noteUnwritten(known, 'memory', why)
  if (why === null) known.saved = memory
}

function noteUnwritten(known: Known, what: string, why: string | null): void {
  if (why === null && !known.unwritten.has(what)) return
  const others = [...known.unwritten].filter(([name]) => name !== what)
  known.unwritten = new Map(why === null ? others : [...others, [what, why]])
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
