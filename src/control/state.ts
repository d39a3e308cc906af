import type { Difference } from '../plan/running.ts'
import type { SourceStatus } from '../sources/source.ts'
import type { Candidate, Decision, Ms, Plan, ReloadReason, RevisionRecord, Running, Step } from '../types.ts'

/** What heddle knows of the HAProxy it works for. */
export interface HaproxyState {
  readonly process: 'attach' | 'spawn'
  /** Its master and its worker answered when last asked. */
  readonly isConnected: boolean
  readonly version: string | null
  readonly pid: number | null
  /** Workers that still finish requests after a reload. */
  readonly oldWorkers: number
  /** Sections that were declared ahead for new services, of the worker that runs. */
  readonly spares: { readonly free: number; readonly taken: number }
  /** Of this heddle's life. */
  readonly reloads: { readonly success: number; readonly failure: number }
  /** Why the newest wanted revision does not run; null when it does. */
  readonly error: string | null
}

/** A revision that was read back from the running worker. */
export interface Proof {
  readonly number: number
  readonly hash: string
  readonly routesHash: string
  readonly at: Ms
}

/** What one turn of the loop did, for log and metrics. */
export interface Turn {
  readonly at: Ms
  /** Each stage that ran, in milliseconds. */
  readonly durations: Partial<Record<'decide' | 'render' | 'runtime' | 'validate' | 'apply' | 'install', Ms>>
  /** `waiting`: a change stands, its time (pacing, backoff, a source) has not come. */
  readonly outcome: 'unchanged' | 'applied' | 'rejected' | 'waiting'
  readonly reload: { readonly outcome: 'success' | 'failure'; readonly reasons: readonly ReloadReason[] } | null
  /** From when the oldest change that this turn brought in was seen until it was read back; null: it brought in none. */
  readonly change: Ms | null
  /** What HAProxy was told without a reload. */
  readonly steps: readonly Step[]
  /** What was found otherwise than it was left, by whom or whatever. */
  readonly drift: readonly Drift[]
  /** A check of installed files as a whole; null: there was none. */
  readonly check: 'success' | 'failure' | null
}

/** Of HAProxy: it was changed by somebody else, or is another worker than it was though heddle made no reload. */
export interface Drift {
  readonly what: Difference['what'] | 'worker'
  readonly subject: string
}

/** All that status page, API, metrics and commands read. Published by the loop, whole, after each turn. */
export interface State {
  readonly version: string
  readonly startedAt: Ms
  readonly at: Ms
  /** `consul` or `snapshot`, `docker`, `weave`, by name. */
  readonly sources: ReadonlyMap<string, SourceStatus>
  /** Null until every source has spoken once. */
  readonly decision: Decision | null
  /** The newest wanted set of files. */
  readonly candidate: Candidate | null
  readonly plan: Plan | null
  readonly running: Running | null
  readonly proof: Proof | null
  readonly haproxy: HaproxyState
  /** Newest last, bounded. */
  readonly history: readonly RevisionRecord[]
  readonly ready: { readonly isReady: boolean; readonly reason: string }
  /** Why a new version of `settings` or `templates` was not taken; why `current`, `journal` or `memory` could not be written. */
  readonly notices: ReadonlyMap<string, string>
}
