import type { Farewells } from '../plan/leaving.ts'
import type { Candidate, Memory, Ms, Plan, RevisionRecord, Running } from '../types.ts'
import { type History, lastRun, recentHistory } from './history.ts'
import type { Job } from './jobs.ts'
import { calm, type Pace, type Refusal } from './pacing.ts'
import type { HaproxyState, Proof } from './state.ts'
import type { Planned } from './steps.ts'
import { type Made, nothingWanted, type Wanted } from './wanted.ts'

/** Everything the loop knows between two turns: the only mutable state, written by the loop and its parts alone. Instants are monotonic. */
export interface Known {
  memory: Memory
  /** The memory on disk, and when the newest one has to be there too; null: it is. */
  saved: Memory
  saveFrom: Ms | null
  wanted: Wanted
  plan: Plan | null
  planned: Planned | null
  sight: Sight
  /** What runs may be otherwise than it was read back: all of it is read again. */
  isSightDoubted: boolean
  /** The running servers were made from something that has to be found out: HAProxy doesn't tell all of it. */
  lacksOrigin: boolean
  /** Of the last worker that was known; null: there was none. */
  lastPid: number | null
  lookFrom: Ms
  /** When all of it is read again though nothing speaks for a change. */
  verifyFrom: Ms
  /** What the running structure is made of; null: not known. */
  parts: Candidate['parts'] | null
  /** What the running servers and routes were last made from. */
  applied: Made | null
  farewells: Farewells
  /** When there are steps to take though nothing else is wanted: servers that leave, steps that were refused. */
  stepsFrom: Ms | null
  /** Of steps, by HAProxy; those that lead elsewhere need not wait for it. */
  refusedSteps: Refusal | null
  starts: Starts
  /** What `current` was last made to lead to. */
  installed: Made | null
  /** When it has to lead to what is wanted; null: it does, or a reload sees to it. */
  installFrom: Ms | null
  /** Shapes that `haproxy -c` has accepted. */
  provedShapes: Set<string>
  /** When the installed files are checked as a whole, beside everything else; null: they were. */
  checkFrom: Ms | null
  /** Checks cost: the next one is not before. */
  checkAllowedFrom: Ms
  /** What is under way beside the turns. */
  job: Job | null
  saving: Job | null
  proof: Proof | null
  pace: Pace
  /** When the oldest change of what is wanted was seen that is not in effect yet; null: there is none. */
  changedFrom: Ms | null
  /** Null: nothing waits for its time. */
  reloadFrom: Ms | null
  /** Of changes that are not brought in yet. */
  causes: Set<string>
  history: History
  /** The newest line of what was brought into HAProxy, however many refusals came since. */
  lastRun: RevisionRecord | null
  lastNumber: number
  reloads: HaproxyState['reloads']
  /** What could not be written or is not right on disk, by what it is. */
  unwritten: ReadonlyMap<string, string>
}

/** What was seen of HAProxy when last looked at. */
export interface Sight {
  /** Null: none answers. */
  readonly running: Running | null
  /** Why none answers, or why there can be no reload though a worker does; null: all is well. */
  readonly trouble: string | null
  readonly oldWorkers: number
}

/** Attempts to start a HAProxy of our own that did not come up. */
export interface Starts {
  readonly failures: number
  /** No further attempt before. */
  readonly from: Ms
  /** Of the last one; null: there was none. */
  readonly why: string | null
}

export const noStarts: Starts = { failures: 0, from: 0, why: null }

export function firstKnown(memory: Memory, history: History, lastNumber: number): Known {
  return {
    memory,
    saved: memory,
    saveFrom: null,
    wanted: nothingWanted,
    plan: null,
    planned: null,
    sight: { running: null, trouble: 'HAProxy has not been looked for yet', oldWorkers: 0 },
    isSightDoubted: false,
    lacksOrigin: false,
    lastPid: null,
    lookFrom: 0,
    verifyFrom: 0,
    parts: null,
    applied: null,
    farewells: new Map(),
    stepsFrom: null,
    refusedSteps: null,
    starts: noStarts,
    installed: null,
    installFrom: null,
    provedShapes: new Set(),
    checkFrom: null,
    checkAllowedFrom: 0,
    job: null,
    saving: null,
    proof: null,
    pace: calm,
    changedFrom: null,
    reloadFrom: null,
    causes: new Set(['start']),
    history: recentHistory(history),
    lastRun: lastRun(history),
    lastNumber,
    reloads: { success: 0, failure: 0 },
    unwritten: new Map(),
  }
}

export function isInstalled(known: Known, candidate: Candidate): boolean {
  return known.installed?.candidate.hash === candidate.hash
}
