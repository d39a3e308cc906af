import { workers } from '../haproxy/master.ts'
import { observeIdentity, observeRunning } from '../haproxy/observe.ts'
import { sameItems } from '../model/admit.ts'
import { decide } from '../model/decide.ts'
import { diffModels } from '../plan/diff.ts'
import { plan } from '../plan/plan.ts'
import { renderCandidate } from '../render/config.ts'
import type { Templates } from '../render/templates.ts'
import type { SourceStatus } from '../sources/source.ts'
import type {
  Candidate,
  Decision,
  Memory,
  Model,
  ModelSettings,
  Ms,
  Plan,
  RenderSettings,
  RevisionAction,
  RevisionRecord,
  Running,
  World,
} from '../types.ts'
import { type Applied, applyCandidate, type Target } from './apply.ts'
import { backoff, settleAt, type Wakes } from './flow.ts'
import type { Journal } from './journal.ts'
import type { HaproxyState, Proof, State, Turn } from './state.ts'

/** What the loop asks for at each turn: always the newest. */
export interface Inputs {
  /** Null until every source has spoken once. */
  readonly world: () => World | null
  readonly sources: () => ReadonlyMap<string, SourceStatus>
  readonly templates: () => Templates
  /** Parts that did not change keep their identity. */
  readonly settings: () => LoopSettings
  readonly notices: () => ReadonlyMap<string, string>
}

export interface LoopSettings {
  readonly model: ModelSettings
  readonly render: RenderSettings
  readonly settle: { readonly quiet: Ms; readonly longest: Ms }
  readonly reloadEvery: Ms
  readonly persist: Ms
}

export interface LoopParts {
  readonly version: string
  readonly kind: 'attach' | 'spawn'
  /** How old files may be that a HAProxy of ours is started with before the catalog has spoken; Infinity: any age. */
  readonly maxStartAge: Ms
  readonly inputs: Inputs
  readonly target: Target
  readonly wakes: Wakes
  readonly journal: Journal
  /** Newest last. */
  readonly history: readonly RevisionRecord[]
  readonly lastNumber: number
  readonly memory: Memory
  /** Never rejects; null: saved. */
  readonly saveMemory: (memory: Memory) => Promise<string | null>
  readonly publish: (state: State, turn: Turn) => void
}

/** How often the running HAProxy is asked whether it is still what was proved; sooner while it is not there. */
const verifyEvery: Ms = 3_000
const lookForEvery: Ms = 500
const retry = { first: 1_000, longest: 60_000 }
const longestHistory = 200

/** Everything the loop knows. It is the only code that writes it. Instants are monotonic unless said otherwise. */
interface Mutable {
  memory: Memory
  saved: Memory
  decision: Decision | null
  candidate: Candidate | null
  rendered: { model: Model; templates: Templates; settings: RenderSettings } | null
  /** Why the newest model could not be rendered. */
  renderFault: string | null
  plan: Plan | null
  running: Running | null
  absence: string | null
  /** What was installed last, with the model it was made from. */
  installed: { candidate: Candidate; model: Model } | null
  proof: Proof | null
  history: readonly RevisionRecord[]
  lastNumber: number
  oldWorkers: number
  reloads: { success: number; failure: number }
  /** Causes of changes that are not applied yet. */
  causes: Set<string>
  /** First and last change since the wanted revision was applied. */
  burst: { first: Ms; last: Ms } | null
  reloadFrom: Ms
  /** Why the newest candidate does not run, and when to try it again. */
  failure: { hash: string; why: string; count: number; until: Ms } | null
  verifyAt: Ms
  saveAt: Ms | null
}

/**
 * The loop: one turn after another, each from the newest world to what HAProxy should have, compared with what runs. What
 * changes meanwhile is seen by the next turn. Nothing it fails at takes away what is being served. Resolves when
 * `signal` is aborted, after the turn under way.
 */
export async function runLoop(parts: LoopParts, signal: AbortSignal): Promise<void> {
  const startedAt = Date.now()
  const state: Mutable = {
    memory: parts.memory,
    saved: parts.memory,
    decision: null,
    candidate: null,
    rendered: null,
    renderFault: null,
    plan: null,
    running: null,
    absence: 'HAProxy has not been looked for yet',
    installed: null,
    proof: null,
    history: parts.history.slice(-longestHistory),
    lastNumber: parts.lastNumber,
    oldWorkers: 0,
    reloads: { success: 0, failure: 0 },
    causes: new Set(['start']),
    burst: null,
    reloadFrom: 0,
    failure: null,
    verifyAt: 0,
    saveAt: null,
  }
  while (!signal.aborted) {
    const turn = await takeTurn(parts, state, signal)
    parts.publish(stateOf(parts, state, startedAt), turn)
    if (signal.aborted) break
    const woken = await parts.wakes.next(nextDue(parts, state), signal)
    for (const cause of woken.causes) state.causes.add(cause)
  }
  await save(parts, state)
}

async function takeTurn(parts: LoopParts, state: Mutable, signal: AbortSignal): Promise<Turn> {
  const durations: { decide?: Ms; render?: Ms; validate?: Ms; apply?: Ms } = {}
  const turn = (outcome: Turn['outcome'], reload: Turn['reload'] = null): Turn => {
    return { at: Date.now(), durations, outcome, reload }
  }
  await look(parts, state, signal)
  const world = parts.inputs.world()
  if (world === null) return turn('waiting')
  const settings = parts.inputs.settings()
  durations.decide = timed(() => want(state, world, settings))
  durations.render = timed(() => renderWanted(parts, state, settings))
  const { candidate, decision } = state
  if (state.memory !== state.saved) state.saveAt ??= performance.now() + settings.persist
  if (candidate === null || decision === null) return turn('rejected')
  planWanted(state, candidate, decision)

  if (isProved(state, candidate)) {
    await settle(parts, state, candidate, decision)
    if (state.saveAt !== null && performance.now() >= state.saveAt) await save(parts, state)
    return turn('unchanged')
  }
  state.burst ??= { first: performance.now(), last: performance.now() }
  if (performance.now() < applyAt(state, settings)) return turn('waiting')
  if (state.running === null && isInstalled(state, candidate)) return turn('waiting')
  await save(parts, state)
  const applied = await applyCandidate(candidate, state.running, parts.target, settings.render.maxconn, signal)
  durations.validate = applied.validate
  durations.apply = applied.apply
  const reasons = state.plan?.reload ?? []
  await conclude(parts, state, applied, candidate, decision.model)
  const outcome = applied.kind === 'rejected' ? 'rejected' : applied.kind === 'installed' ? 'waiting' : 'applied'
  if (!applied.isReload) return turn(outcome)
  return turn(outcome, { outcome: applied.kind === 'rejected' ? 'failure' : 'success', reasons })
}

/** Asks HAProxy what it is, when it is time to. A worker that is not what it was is read back whole. */
async function look(parts: LoopParts, state: Mutable, signal: AbortSignal): Promise<void> {
  if (performance.now() < state.verifyAt) return
  const { sockets, process } = parts.target
  const [identity, group] = await Promise.all([
    observeIdentity({ statsSocket: sockets.statsSocket, signal }),
    workers(sockets.masterSocket, { signal }),
  ])
  if (signal.aborted) return
  state.oldWorkers = group.ok ? group.old.length : 0
  if (identity.kind === 'absent') {
    state.running = null
    state.absence = identity.why
    // one that we own and that is not there is started from what is on disk
    if (parts.kind === 'spawn' && isStartable(parts, state)) await process.ensure(signal)
  } else if (!isSame(state.running, identity.identity)) {
    const observed = await observeRunning({ ...sockets, signal })
    state.running = observed.kind === 'running' ? observed.running : null
    state.absence = observed.kind === 'running' ? observed.masterProblem : observed.why
    state.proof ??= proofOfEarlierLife(state)
  } else {
    state.absence = group.ok ? null : group.why
  }
  state.verifyAt = performance.now() + (state.running === null ? lookForEvery : verifyEvery)
}

/** Before the catalog has spoken, what is on disk is only believed while it is young: addresses are given away again. */
function isStartable({ maxStartAge }: LoopParts, { installed, history }: Mutable): boolean {
  if (installed !== null) return true
  const line = history.findLast(({ action }) => action === 'reload' || action === 'runtime')
  return line !== undefined && Date.now() - line.at < maxStartAge
}

/** What runs was proved by a heddle before this one, as the journal says. */
function proofOfEarlierLife({ running, history }: Mutable): Proof | null {
  const line = history.findLast(({ action }) => action === 'reload' || action === 'runtime')
  if (running === null || line?.hash !== running.revision) return null
  return { number: line.number, hash: line.hash, routesHash: line.routesHash, at: line.at }
}

function isSame(running: Running | null, identity: { pid: number; structure: string; revision: string }): boolean {
  return (
    running !== null &&
    running.pid === identity.pid &&
    running.structure === identity.structure &&
    running.revision === identity.revision
  )
}

function want(state: Mutable, world: World, settings: LoopSettings): void {
  const decision = decide(world, state.memory, settings.model)
  const before = state.decision?.model
  const model = before !== undefined && isSameModel(before, decision.model) ? before : decision.model
  state.decision = { ...decision, model }
  state.memory = decision.memory
}

function isSameModel(a: Model, b: Model): boolean {
  return sameItems(a.routes, b.routes) && sameItems([...a.backends.values()], [...b.backends.values()])
}

/** Renders the wanted model, unless that has been done. A template that fails on it keeps the former candidate. */
function renderWanted(parts: LoopParts, state: Mutable, { render }: LoopSettings): void {
  const model = state.decision?.model
  const templates = parts.inputs.templates()
  if (model === undefined) return
  const known = state.rendered
  if (known?.model === model && known.templates === templates && known.settings === render) return
  state.rendered = { model, templates, settings: render }
  const rendering = renderCandidate(model, templates, render)
  if (rendering.kind === 'failed') {
    state.renderFault = `${rendering.file}:${rendering.line ?? '?'}: ${rendering.reason}`
    return
  }
  state.renderFault = null
  if (rendering.candidate.hash === state.candidate?.hash) return
  const now = performance.now()
  state.burst = { first: state.burst?.first ?? now, last: now }
  state.candidate = rendering.candidate
}

function planWanted(state: Mutable, candidate: Candidate, { model }: Decision): void {
  const { running, installed } = state
  state.plan =
    running === null
      ? null
      : plan(running, { model, candidate }, installed?.candidate ?? null, installed?.model ?? null)
}

/**
 * The worker that was read back runs this very candidate. Steps that the plan still has are what a file can't say
 * (draining) or what somebody did over the socket; a reload would not bring them.
 */
function isProved({ running }: Mutable, candidate: Candidate): boolean {
  return running?.structure === candidate.structure && running.revision === candidate.hash
}

function isInstalled(state: Mutable, candidate: Candidate): boolean {
  return state.installed?.candidate.hash === candidate.hash
}

/** When a change may be applied: the burst has settled, the last reload was long enough ago, a failure has cooled. */
function applyAt(state: Mutable, settings: LoopSettings): Ms {
  const settled = state.burst === null ? 0 : settleAt(state.burst, settings.settle)
  const { failure, candidate } = state
  const cooled = failure !== null && failure.hash === candidate?.hash ? failure.until : 0
  return Math.max(settled, state.reloadFrom, cooled)
}

/** Makes a proof of what runs, and sees to it that a HAProxy which restarts finds the same on disk. */
async function settle(parts: LoopParts, state: Mutable, candidate: Candidate, decision: Decision): Promise<void> {
  state.burst = null
  state.failure = null
  if (isInstalled(state, candidate) && state.proof?.hash === candidate.hash) {
    state.causes.clear()
    return
  }
  const { store } = parts.target
  if ((await store.current()) !== candidate.hash || !(await store.matches(candidate))) {
    const written = await store.write(candidate)
    if (written.kind === 'written') await store.use(candidate.hash)
  }
  // proved in an earlier life: nothing has happened
  if (state.proof?.hash === candidate.hash) {
    state.installed = { candidate, model: decision.model }
    state.causes.clear()
    return
  }
  await recordRun(parts, state, candidate, decision.model, ['haproxy-start'])
  prove(state, candidate, decision.model)
}

function prove(state: Mutable, candidate: Candidate, model: Model): void {
  state.installed = { candidate, model }
  state.proof = { number: state.lastNumber, hash: candidate.hash, routesHash: candidate.routesHash, at: Date.now() }
  state.causes.clear()
  state.burst = null
  state.failure = null
}

async function conclude(
  parts: LoopParts,
  state: Mutable,
  applied: Applied,
  candidate: Candidate,
  model: Model,
): Promise<void> {
  const now = performance.now()
  const { reloadEvery } = parts.inputs.settings()
  if (applied.isReload) {
    // a random part, so that many edges which see the same change don't reload together
    state.reloadFrom = now + reloadEvery + Math.random() * reloadEvery
    state.reloads[applied.kind === 'rejected' ? 'failure' : 'success']++
  }
  if (applied.kind === 'rejected') {
    const known = state.failure?.hash === candidate.hash ? state.failure : null
    const count = (known?.count ?? 0) + 1
    const isNews = known?.why !== applied.why
    state.failure = { hash: candidate.hash, why: applied.why, count, until: now + backoff(count, retry) + retry.first }
    if (isNews) await record(parts, state, candidate, model, 'rejected', [`${applied.stage}: ${applied.why}`])
    state.running = null
    state.verifyAt = 0
    return
  }
  if (applied.kind === 'installed') {
    state.installed = { candidate, model }
    state.running = null
    state.absence = applied.why
    state.burst = null
    return
  }
  state.running = applied.running
  state.absence = null
  state.verifyAt = now + verifyEvery
  await recordRun(parts, state, candidate, model, applied.isReload ? reasonsOf(state.plan) : ['haproxy-start'])
  prove(state, candidate, model)
}

function reasonsOf(open: Plan | null): readonly string[] {
  const reasons = (open?.reload ?? []).map(({ code, subject }) => `${code} ${subject}`.trim())
  return reasons.length === 0 ? ['members'] : reasons
}

/** A HAProxy that was started with the revision of the last line has no line of its own: nothing has changed. */
async function recordRun(
  parts: LoopParts,
  state: Mutable,
  candidate: Candidate,
  model: Model,
  reasons: readonly string[],
): Promise<void> {
  const last = state.history.at(-1)
  if (last?.hash === candidate.hash && last.action !== 'rejected') return
  await record(parts, state, candidate, model, 'reload', reasons)
}

async function record(
  parts: LoopParts,
  state: Mutable,
  candidate: Candidate,
  model: Model,
  action: RevisionAction,
  reasons: readonly string[],
): Promise<void> {
  const line: RevisionRecord = {
    number: state.lastNumber + 1,
    hash: candidate.hash,
    routesHash: candidate.routesHash,
    at: Date.now(),
    action,
    reasons,
    cause: [...state.causes].sort(),
    diff: diffModels(state.installed?.model ?? null, model),
  }
  state.lastNumber = line.number
  state.history = [...state.history, line].slice(-longestHistory)
  // a full disk must not stop traffic from following the catalog; the line is in the history of this life
  await parts.journal.append(line)
}

async function save(parts: LoopParts, state: Mutable): Promise<void> {
  state.saveAt = null
  if (state.memory === state.saved) return
  const memory = state.memory
  if ((await parts.saveMemory(memory)) === null) state.saved = memory
}

/** Monotonic instant of the next thing to do though nothing is seen; null: nothing. */
function nextDue(parts: LoopParts, state: Mutable): Ms {
  const due: Ms[] = [state.verifyAt]
  if (state.saveAt !== null) due.push(state.saveAt)
  const wakeAt = state.decision?.wakeAt ?? null
  if (wakeAt !== null) due.push(performance.now() + Math.max(0, wakeAt - Date.now()))
  if (state.burst !== null) due.push(applyAt(state, parts.inputs.settings()))
  return Math.min(...due)
}

function timed(work: () => void): Ms {
  const started = performance.now()
  work()
  return performance.now() - started
}

function stateOf(parts: LoopParts, state: Mutable, startedAt: Ms): State {
  const haproxy: HaproxyState = {
    process: parts.kind,
    isConnected: state.running !== null && state.absence === null,
    version: state.running?.version ?? null,
    pid: state.running?.pid ?? null,
    oldWorkers: state.oldWorkers,
    reloads: { ...state.reloads },
    error: state.failure?.why ?? state.renderFault ?? state.absence,
  }
  return {
    version: parts.version,
    startedAt,
    at: Date.now(),
    sources: parts.inputs.sources(),
    decision: state.decision,
    candidate: state.candidate,
    plan: state.plan,
    running: state.running,
    proof: state.proof,
    haproxy,
    history: state.history,
    ready: readiness(state, parts.inputs.sources()),
    notices: parts.inputs.notices(),
  }
}

/** Ready: a proved revision runs in HAProxy. Old data or a newer revision that waits do not make it unready. */
function readiness(state: Mutable, sources: ReadonlyMap<string, SourceStatus>): State['ready'] {
  if (state.running === null) return { isReady: false, reason: state.absence ?? 'HAProxy does not answer' }
  const isOurs = state.proof !== null && state.running.revision === state.proof.hash
  if (isOurs) return { isReady: true, reason: 'a proved revision runs' }
  const waiting = [...sources].find(([, { state: standing }]) => standing === 'waiting')
  if (state.decision === null) return { isReady: false, reason: `waiting for ${waiting?.[0] ?? 'the sources'}` }
  return { isReady: false, reason: state.failure?.why ?? 'no revision has been proved yet' }
}
