import { checkConfiguration, haproxyVersion } from '../haproxy/check.ts'
import { versionProblem } from '../haproxy/dialect.ts'
import { describedStructure, type RevisionStore, type Used } from '../haproxy/files.ts'
import { takenListeners } from '../haproxy/listeners.ts'
import { type HaproxySockets, observeIdentity, observeRunning } from '../haproxy/observe.ts'
import { fileLimit, type HaproxyProcess } from '../haproxy/process.ts'
import { maxconnProblem, reload } from '../haproxy/reload.ts'
import type { Candidate, Ms, Running } from '../types.ts'

/** The HAProxy that a candidate is brought into. */
export interface Target {
  readonly bin: string
  readonly sockets: HaproxySockets
  readonly store: RevisionStore
  readonly process: HaproxyProcess
}

export type Applied = (
  | { /** Read back: this is what serves now. */ readonly kind: 'running'; readonly running: Running }
  | { /** On disk for whenever HAProxy is there. */ readonly kind: 'installed'; readonly why: string }
  | {
      /** The signal came first: what is on disk is whole, how far it got is for the next start to find out. */ readonly kind: 'interrupted'
    }
  | {
      readonly kind: 'rejected'
      readonly stage: 'write' | 'check' | 'reload'
      readonly why: string
    }
) & { readonly validate: Ms; readonly apply: Ms /** A reload was tried. */; readonly isReload: boolean }

const longestWhy = 2000

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
  let validated = started
  const end = () => ({ validate: validated - started, apply: performance.now() - validated })
  const rejected = (stage: 'write' | 'check' | 'reload', why: string, isReload = false): Applied => {
    return { kind: 'rejected', stage, why: why.slice(0, longestWhy), isReload, ...end() }
  }

  const written = await target.store.write(candidate)
  if (written.kind === 'failed') return rejected('write', written.why)
  const check = await checkConfiguration(target.bin, `${written.path}/haproxy.cfg`, { signal })
  validated = performance.now()
  if (signal.aborted) return { kind: 'interrupted', isReload: false, ...end() }
  if (check.kind === 'invalid') return rejected('check', `${target.bin} -c refuses it: ${check.output}`)
  if (check.kind === 'failed') return rejected('check', check.why)
  const mismatch = running === null ? null : await versionMismatch(target.bin, running.version, signal)
  if (signal.aborted) return { kind: 'interrupted', isReload: false, ...end() }
  if (mismatch !== null) return rejected('check', mismatch)

  const taken = running === null ? [] : await newlyTaken(running, candidate, target)
  if (taken.length > 0)
    return rejected('check', `another program listens on ${taken.join(', ')}, which is to be HAProxy's`)

  const used = await target.store.use(candidate.hash)
  if (used.kind === 'failed') return rejected('write', used.why)
  const present = await target.process.ensure(signal)
  if (present.kind === 'down') {
    if (signal.aborted) return { kind: 'interrupted', isReload: false, ...end() }
    if (running === null) return { kind: 'installed', why: present.why, isReload: false, ...end() }
    // a worker serves, but its master can't be told
    return rejected('reload', `${present.why}${await goBack(used)}`)
  }
  // one that was started just now has read the new files already
  const isReload = present.how === 'found'
  if (isReload) {
    // a master may answer without its worker: one that runs on other files
    const other = running === null ? await versionMismatch(target.bin, present.version, signal) : null
    if (other !== null) return rejected('check', `${other}${await goBack(used)}`)
    const excess = maxconn === null ? null : await excessOf(maxconn, present.pid, target, signal)
    if (excess !== null) return rejected('check', `${excess}${await goBack(used)}`)
    const expected = { structure: candidate.structure, revision: candidate.hash }
    const outcome = await reload({ ...target.sockets, expected, signal })
    // it was proved, and HAProxy may have loaded it already: going back would only make disk and worker differ
    if (signal.aborted) return { kind: 'interrupted', isReload, ...end() }
    if (outcome.kind === 'failed') {
      const note = await goBack(used)
      return rejected('reload', `${outcome.why}${note}`, true)
    }
  }
  const observed = await observeRunning({ ...target.sockets, signal })
  if (signal.aborted) return { kind: 'interrupted', isReload, ...end() }
  if (observed.kind === 'absent') return { kind: 'installed', why: observed.why, isReload, ...end() }
  await target.store.prune()
  return { kind: 'running', running: observed.running, isReload, ...end() }
}

/** Nothing where the running HAProxy has not what is on disk: then it may itself have what is asked for. */
async function newlyTaken(running: Running, candidate: Candidate, { store }: Target): Promise<readonly string[]> {
  const installed = await store.configuration()
  if (installed === null || describedStructure(installed) !== running.structure) return []
  return takenListeners(installed, candidate.files.get('haproxy.cfg') ?? '')
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
