import type { Evidence, Ms } from '../types.ts'

/** How a source is doing; shown by the status endpoint and counted by metrics. */
export interface SourceStatus {
  /** `waiting`: it has not spoken once, so nothing may be decided without it. */
  readonly state: Evidence | 'waiting'
  /** The last fresh answer of its worst partition, of those that had one; null: none yet. */
  readonly at: Ms | null
  /** The newest error that still stands, without secrets. */
  readonly error: string | null
  /** Failed requests since the start. */
  readonly errors: number
  readonly partitions: { readonly total: number; readonly stale: number }
  /** For people: what makes it slower than it could be though it is no error; null: nothing. */
  readonly note: string | null
}

export interface Report<T> {
  /** All the source knows, not a change; null until every partition has spoken once. */
  readonly value: T | null
  readonly status: SourceStatus
}

/**
 * A source watches one thing of the outside world and reports what it learned, whole, each time its value or its
 * status has changed. It knows nothing of routes or HAProxy and decides nothing.
 *
 * It runs until `signal` is aborted and then resolves; it never rejects: errors are retried for ever with backoff
 * and show in the status. A part of the value that did not change keeps its identity.
 */
export type Source<T> = (report: (report: Report<T>) => void, signal: AbortSignal) => Promise<void>
