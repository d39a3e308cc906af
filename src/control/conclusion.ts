import type { Candidate, Plan, RevisionAction } from '../types.ts'
import type { Applied } from './apply.ts'
import { isRecorded, reasonsOf, recordOf, withRecord } from './history.ts'
import { isInstalled, type Known } from './known.ts'
import { failedReload, refused, reloaded, satisfied } from './pacing.ts'
import type { LoopParts } from './parts.ts'
import { lookEvery, noteFailedStart } from './sighting.ts'
import type { Made } from './wanted.ts'

/** Makes a proof of what runs, and sees to it that a HAProxy which restarts finds the same on disk. */
export async function confirm(parts: LoopParts, known: Known, made: Made): Promise<void> {
  const { candidate } = made
  const wasProved = known.proof?.hash === candidate.hash
  if (!isInstalled(known, candidate) || !wasProved || !(await isInPlace(parts, candidate))) {
    const why = await install(parts, candidate)
    noteUnwritten(known, 'current', why)
    if (!wasProved && !isRecorded(known.history, candidate))
      await record(parts, known, made, 'reload', ['haproxy-start'])
    // it runs all the same; the next turn tries again
    if (why !== null) return proveRunning(known, made)
  }
  prove(known, made)
}

/** What HAProxy is to start with, when it isn't there: a HAProxy that ended may have lost the files as well. */
export async function keepInstalled(parts: LoopParts, known: Known, candidate: Candidate): Promise<void> {
  if (!(await isInPlace(parts, candidate))) noteUnwritten(known, 'current', await install(parts, candidate))
}

/** Cheap enough for every turn: somebody may have removed it, and the next reload, by whomever, is to find it. */
async function isInPlace({ target: { store } }: LoopParts, candidate: Candidate): Promise<boolean> {
  return (await store.current()) === candidate.hash
}

/** Lets `current` lead to the candidate, unless it does; null: it does, else why not. */
async function install(parts: LoopParts, candidate: Candidate): Promise<string | null> {
  const { store } = parts.target
  if ((await isInPlace(parts, candidate)) && (await store.matches(candidate))) return null
  const written = await store.write(candidate)
  if (written.kind === 'failed') return written.why
  const used = await store.use(candidate.hash)
  return used.kind === 'failed' ? used.why : null
}

function prove(known: Known, made: Made): void {
  known.installed = made
  proveRunning(known, made)
}

function proveRunning(known: Known, { candidate: { hash, routesHash } }: Made): void {
  if (known.proof?.hash !== hash) known.proof = { number: known.lastNumber, hash, routesHash, at: Date.now() }
  known.pace = satisfied(known.pace)
  known.causes.clear()
}

/** `open` is what the plan was when the candidate began to be brought in. */
export async function conclude(
  parts: LoopParts,
  known: Known,
  applied: Applied,
  made: Made,
  open: Plan | null,
): Promise<void> {
  const { candidate } = made
  const now = performance.now()
  if (applied.kind === 'interrupted') return
  if (applied.isReload) {
    known.pace = reloaded(known.pace, now)
    const { success, failure } = known.reloads
    known.reloads = applied.kind === 'rejected' ? { success, failure: failure + 1 } : { success: success + 1, failure }
  }
  const { oldWorkers } = known.sight
  switch (applied.kind) {
    case 'rejected': {
      const isNews = known.pace.refusal?.hash !== candidate.hash || known.pace.refusal.why !== applied.why
      known.pace = refused(known.pace, candidate.hash, applied.why, now)
      if (applied.isReload) known.pace = failedReload(known.pace, now)
      if (isNews) await record(parts, known, made, 'rejected', [`${applied.stage}: ${applied.why}`])
      known.lookFrom = 0
      return
    }
    case 'installed':
      known.installed = made
      known.sight = { running: null, trouble: applied.why, oldWorkers }
      known.pace = satisfied(known.pace)
      if (parts.kind === 'spawn') noteFailedStart(known, applied.why)
      return
    case 'running':
      known.sight = { running: applied.running, trouble: null, oldWorkers }
      known.lookFrom = now + lookEvery
      if (!isRecorded(known.history, candidate)) {
        const reasons = applied.isReload ? reasonsOf(open) : ['haproxy-start']
        await record(parts, known, made, 'reload', reasons)
      }
      prove(known, made)
  }
}

async function record(
  parts: LoopParts,
  known: Known,
  { candidate, model }: Made,
  action: RevisionAction,
  reasons: readonly string[],
): Promise<void> {
  const models = { before: known.installed?.model ?? null, after: model }
  const line = recordOf(known.lastNumber + 1, candidate, models, { action, reasons, causes: known.causes })
  known.lastNumber = line.number
  known.history = withRecord(known.history, line)
  if (action !== 'rejected') known.lastRun = line
  // a full disk must not stop traffic from following the catalog; the line is in the history of this life
  const appended = await parts.journal.append(line)
  noteUnwritten(known, 'journal', appended.kind === 'failed' ? appended.why : null)
}

export async function save(parts: LoopParts, known: Known): Promise<void> {
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
