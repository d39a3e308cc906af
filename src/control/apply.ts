import { type CheckResult, checkConfiguration, haproxyVersion } from '../haproxy/check.ts'
import { versionProblem } from '../haproxy/dialect.ts'
import { describedStructure, type RevisionStore, type Used } from '../haproxy/files.ts'
import { takenListeners } from '../haproxy/listeners.ts'
import { observeIdentity, observeRunning } from '../haproxy/observe.ts'
import { fileLimit, type HaproxyProcess } from '../haproxy/process.ts'
import { maxconnProblem, reload } from '../haproxy/reload.ts'
import type { HaproxySockets } from '../haproxy/worker.ts'
import type { Candidate, Ms, Running } from '../types.ts'

/** The HAProxy that a candidate is brought into. */
export interface Target {
  readonly bin: string
  readonly sockets: HaproxySockets
  readonly store: RevisionStore
  readonly process: HaproxyProcess
}

type Outcome = { /** A reload was tried. */ readonly isReload: boolean } & (
  | { /** Read back: this is what serves now. */ readonly kind: 'running'; readonly running: Running }
  | { /** On disk for whenever HAProxy is there. */ readonly kind: 'installed'; readonly why: string }
  | {
      /** The signal came first: what is on disk is whole, how far it got is for the next start to find out. */
      readonly kind: 'interrupted'
    }
  | { readonly kind: 'rejected'; readonly stage: 'write' | 'check' | 'reload'; readonly why: string }
)

export type Applied = Outcome & { readonly validate: Ms; readonly apply: Ms }

/** Of what HAProxy says, in characters. */
export const longestWhy = 2000
/** How long what HAProxy makes of a reload is waited for after `signal`: less than supervisors give us. */
const patience: Ms = 2_000

/**
 * Brings a candidate into HAProxy: write, prove with `haproxy -c`, swap `current`, reload, read back. When the reload
 * does not go through, what `current` was before is back on disk, so that a HAProxy which restarts finds what served last.
 * `running` is what runs now, null when no worker answers; `maxconn` is what the candidate asks for, null if nothing.
 * Never rejects.
 */
export async function applyCandidate(
  candidate: Candidate,
  running: Running | null,
  target: Target,
  maxconn: number | null,
  signal: AbortSignal,
): Promise<Applied> {
  const started = performance.now()
  const proved = await prove(candidate, running, target, signal)
  const validated = performance.now()
  const brought = proved ?? (await seenThrough(signal, (late) => bringIn(candidate, running, target, maxconn, late)))
  if (brought?.kind === 'running') await target.store.prune()
  const outcome = brought ?? interrupted
  return { ...outcome, validate: validated - started, apply: performance.now() - validated }
}

const interrupted: Outcome = { kind: 'interrupted', isReload: false }

function rejected(stage: 'write' | 'check' | 'reload', why: string, isReload = false): Outcome {
  return { kind: 'rejected', stage, why: why.slice(0, longestWhy), isReload }
}

/** Writes the candidate and tries what can be tried beside the running HAProxy. Null: nothing speaks against it. */
async function prove(
  candidate: Candidate,
  running: Running | null,
  target: Target,
  signal: AbortSignal,
): Promise<Outcome | null> {
  const written = await target.store.write(candidate)
  if (written.kind === 'failed') return rejected('write', written.why)
  const check = await checkConfiguration(target.bin, `${written.path}/haproxy.cfg`, { signal })
  if (signal.aborted) return interrupted
  const refusal = refusalOf(target.bin, check)
  if (refusal !== null) return rejected('check', refusal)
  const mismatch = running === null ? null : await versionMismatch(target.bin, running.version, signal)
  if (signal.aborted) return interrupted
  if (mismatch !== null) return rejected('check', mismatch)
  const taken = running === null ? [] : await newlyTaken(running, candidate, target)
  if (taken.length === 0) return null
  return rejected('check', `another program listens on ${taken.join(', ')}, which is to be HAProxy's`)
}

/** What `haproxy -c` has against files, or why it could not be asked, for a person; null: nothing. */
export function refusalOf(bin: string, check: CheckResult): string | null {
  if (check.kind === 'valid') return null
  return check.kind === 'invalid' ? `${bin} -c refuses it: ${check.output}` : check.why
}

async function bringIn(
  candidate: Candidate,
  running: Running | null,
  target: Target,
  maxconn: number | null,
  signal: AbortSignal,
): Promise<Outcome> {
  // where a worker serves whose master can't be told, the files stay as they are
  const serving = running === null ? null : await target.process.ensure(signal)
  if (serving?.kind === 'down') return rejected('reload', serving.why)
  const used = await target.store.use(candidate.hash)
  if (used.kind === 'failed') return rejected('write', used.why)
  const present = serving ?? (await target.process.ensure(signal))
  if (present.kind === 'down') return { kind: 'installed', why: present.why, isReload: false }
  // one that was started just now has read the new files already
  const isReload = serving !== null || present.how === 'found'
  if (isReload) {
    // a master may answer without its worker: one that runs on other files
    const other = running === null ? await versionMismatch(target.bin, present.version, signal) : null
    if (other !== null) return rejected('check', `${other}${await goBack(used)}`)
    const excess = maxconn === null ? null : await excessOf(maxconn, present.pid, target, signal)
    if (excess !== null) return rejected('check', `${excess}${await goBack(used)}`)
    const expected = { structure: candidate.structure, revision: candidate.hash }
    const outcome = await reload({ ...target.sockets, file: target.store.file, expected, signal })
    // HAProxy may have loaded it, and it was proved: going back would only make disk and worker differ
    if (outcome.kind === 'failed' && !signal.aborted)
      return rejected('reload', `${outcome.why}${await goBack(used)}`, true)
  }
  const observed = await observeRunning({ ...target.sockets, signal })
  if (observed.kind === 'absent') return { kind: 'installed', why: observed.why, isReload }
  return { kind: 'running', running: observed.running, isReload }
}

/** Once `current` leads to it, it is seen through, so that what runs is on record. Null: that took too long after `signal`. */
async function seenThrough<T>(signal: AbortSignal, work: (late: AbortSignal) => Promise<T>): Promise<T | null> {
  const late = new AbortController()
  let timer: NodeJS.Timeout | null = null
  const stop = () => {
    timer = setTimeout(() => late.abort(), patience)
  }
  if (signal.aborted) stop()
  signal.addEventListener('abort', stop, { once: true })
  const result = await work(late.signal)
  signal.removeEventListener('abort', stop)
  if (timer !== null) clearTimeout(timer)
  return late.signal.aborted ? null : result
}

/** Nothing where the running HAProxy has not what is on disk: then it may itself have what is asked for. */
async function newlyTaken(running: Running, candidate: Candidate, { store }: Target): Promise<readonly string[]> {
  const installed = await store.configuration()
  if (installed === null || describedStructure(installed) !== running.structure) return []
  return takenListeners(installed, (candidate.files.get('haproxy.cfg') ?? []).join(''))
}

/** What `haproxy -c` does not find: more connections than the running HAProxy may open files for. */
async function excessOf(
  maxconn: number,
  masterPid: number,
  { sockets }: Target,
  signal: AbortSignal,
): Promise<string | null> {
  const observed = await observeIdentity({ ...sockets, signal })
  if (observed.kind === 'absent') return null
  return maxconnProblem(maxconn, observed.identity, await fileLimit(masterPid, sockets.masterSocket))
}

/** The files that served before are back in place when this resolves; else it says why not. */
async function goBack({ undo }: Used): Promise<string> {
  const undone = await undo()
  return undone.kind === 'failed' ? `; and the files before could not be put back: ${undone.why}` : ''
}

async function versionMismatch(bin: string, running: string, signal: AbortSignal): Promise<string | null> {
  const version = await haproxyVersion(bin, { signal })
  return version.kind === 'failed' ? version.why : versionProblem(version.version, running)
}
