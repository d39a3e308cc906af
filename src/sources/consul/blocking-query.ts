import { type BackoffLimits, backoff, pause } from '../../backoff.ts'
import type { Ms } from '../../types.ts'
import { type Answer, type Failure, failure } from './answer.ts'
import type { Client, Read } from './client.ts'

/** An answer is told with the moment it comes at. */
export interface Told {
  readonly answer: Answer
  /** It came without waiting and from a leader that made sure: it outranks all that was known. */
  readonly isResync: boolean
  /** Says that the index fell: the answer may be of the past, or of an agent that has only part of the catalog. Else null. */
  readonly relapse: string | null
}

/** What became of an answer. A doubtful one is asked for anew: the next may be better long before its index moves. */
export type Taken = Failure | 'doubtful' | null

export interface Query {
  readonly read: Read
  /** The bodies of its answers are their bytes. */
  readonly isRaw?: boolean
  /** Where to go on from; null: ask anew. */
  readonly from: bigint | null
  /** Shortest time from one request to the next. */
  readonly interval: Ms
  /** Awaited before the query is issued again. A failure it returns is treated as one of the query itself. */
  readonly onAnswer: (told: Told) => Promise<Taken> | Taken
  readonly onFailure: (failure: Failure) => void
}

/** After an error. */
export const retry: BackoffLimits = { first: 250, longest: 10_000 }
/** After a doubtful answer. */
const doubtRetry: BackoffLimits = { first: 1_000, longest: 30_000 }
/** Requests of a query that can't or doesn't block are this far apart at least. */
const unblocked: Ms = 500

/**
 * Keeps one blocking query going until `signal` is aborted. The index is opaque but for its order: it is taken from
 * clean answers only; the first query, and the one after any error or after an index that fell, go without it and
 * ask for a consistent answer, since an index from before a wipe blocks for a whole wait and an agent that has just
 * started answers others with part of its catalog.
 *
 * After a doubtful answer the query goes on from its index, so that every change is seen at once, but it blocks for the
 * time of a backoff only. When that ends without a change it is asked anew: a right that is given back moves no index.
 */
export async function followQuery(
  client: Client,
  query: Query,
  random: () => number,
  signal: AbortSignal,
): Promise<void> {
  const leave = client.connections.join()
  let failures = 0
  let doubts = 0
  let index = query.from
  let startedAt = Number.NEGATIVE_INFINITY
  let interval = query.interval
  // all queries begin at once, and would end their waits at once for ever: a burst of answers that tell nothing
  let share = 0.5 + random() / 2
  try {
    while (!signal.aborted) {
      await pause(startedAt + interval - performance.now(), signal)
      if (signal.aborted) return
      startedAt = performance.now()
      const sent = index
      const limit = doubts === 0 ? {} : { wait: Math.ceil(backoff(doubts, doubtRetry, random())) + 1 }
      const how = { index: sent, consistent: sent === null, isRaw: query.isRaw === true, share, ...limit }
      if (sent !== null) share = 1
      const answer = await client.read(query.read, how, signal)
      if (signal.aborted) return
      const taken = answer.kind === 'failed' ? answer : await tell(query, answer, sent)
      if (signal.aborted) return
      interval = query.interval
      if (taken !== null && taken !== 'doubtful') {
        query.onFailure(taken)
        index = null
        failures += 1
        await pause(backoff(failures, retry, random()), signal)
        continue
      }
      failures = 0
      const isDoubtful = taken === 'doubtful'
      if (!isDoubtful) doubts = 0
      else if (doubts === 0 || sent === null) doubts += 1
      const next = answer.kind === 'answered' ? answer.index : null
      const isWaitable = next !== null && (sent === null || next > sent || (next === sent && !isDoubtful))
      index = isWaitable ? next : null
      if (next === null || next === sent) interval = Math.max(interval, unblocked)
      // else the time until it is asked anew is spent on waiting for a change
      if (isDoubtful && index === null && next !== sent) await pause(backoff(doubts, doubtRetry, random()), signal)
    }
  } finally {
    leave()
  }
}

async function tell(query: Query, answer: Answer, sent: bigint | null): Promise<Taken> {
  const hasFallen = sent !== null && answer.index !== null && answer.index < sent
  const relapse = hasFallen ? `the index fell from ${sent} to ${answer.index}` : null
  try {
    return await query.onAnswer({ answer, isResync: sent === null, relapse })
  } catch (error) {
    return failure(`the answer can't be read: ${String(error)}`)
  }
}
