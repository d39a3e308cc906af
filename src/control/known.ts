import type { Candidate, Memory, Ms, Plan, RevisionRecord, Running } from '../types.ts'
import { type History, lastRun, recentHistory } from './history.ts'
import { calm, type Pace } from './pacing.ts'
import type { HaproxyState, Proof } from './state.ts'
import { type Made, nothingWanted, type Wanted } from './wanted.ts'

/** Everything the loop knows between two turns: the only mutable state, written by the loop and its parts (sighting.ts, conclusion.ts) alone. Instants are monotonic. */
export interface Known {
  memory: Memory
  /** The memory on disk, and when the newest one has to be there too; null: it is. */
  saved: Memory
  saveFrom: Ms | null
  wanted: Wanted
  plan: Plan | null
  sight: Sight
  /** What runs may be otherwise than it was read back: all of it is read again. */
  isSightDoubted: boolean
  lookFrom: Ms
  starts: Starts
  /** What was installed last. */
  installed: Made | null
  proof: Proof | null
  pace: Pace
  /** When the oldest change of what is wanted was seen that is not being brought in yet; null: there is none. */
  changedFrom: Ms | null
  /** Null: nothing waits for its time. */
  applyFrom: Ms | null
  /** Of changes that are not brought in yet. */
  causes: Set<string>
  history: History
  /** The newest line of what was brought into HAProxy, however many refusals came since. */
  lastRun: RevisionRecord | null
  lastNumber: number
  reloads: HaproxyState['reloads']
  /** What could not be written, by what it is. */
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
    sight: { running: null, trouble: 'HAProxy has not been looked for yet', oldWorkers: 0 },
    isSightDoubted: false,
    lookFrom: 0,
    starts: noStarts,
    installed: null,
    proof: null,
    pace: calm,
    changedFrom: null,
    applyFrom: null,
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
