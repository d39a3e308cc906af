import { type BackoffLimits, backoff, pause } from '../../backoff.ts'
import type { Ms } from '../../types.ts'
import { type Answer, type Failure, failure } from './answer.ts'
import type { Client, Read } from './client.ts'

/** An answer is told with the moment it comes at. */
export interface Told {
  readonly answer: Answer
  /** It came without waiting and from a leader that made sure: it outranks all that was known. */
  readonly isResync: boolean
  /** Why this answer may be an artefact of a fault; null: it may be believed. */
  readonly doubt: string | null
}

/** What became of an answer. A doubtful one is asked for anew: the next may be better long before its index moves. */
export type Taken = Failure | 'doubtful' | null

export interface Query {
  readonly read: Read
  /** Where to go on from; null: ask anew. */
  readonly from: bigint | null
  /** Shortest time from one request to the next. */
  readonly interval: Ms
  /** Awaited before the query is issued again. A failure it returns is treated as one of the query itself. */
  readonly onAnswer: (told: Told) => Promise<Taken> | Taken
  readonly onFailure: (failure: Failure) => void
  /** Why the answer is doubtful for its own sake. */
  readonly judge: (answer: Answer) => string | null
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
 */
export async function followQuery(
  client: Client,
  query: Query,
  random: () => number,
  signal: AbortSignal,
): Promise<void> {
  const leave = client.connections.join()
  let failures = 0
  let index = query.from
  let startedAt = Number.NEGATIVE_INFINITY
  let interval = query.interval
  try {
    while (!signal.aborted) {
      await pause(startedAt + interval - performance.now(), signal)
      if (signal.aborted) return
      startedAt = performance.now()
      const sent = index
      const answer = await client.read(query.read, { index: sent, consistent: sent === null }, signal)
      if (signal.aborted) return
      const taken = answer.kind === 'failed' ? answer : await tell(query, answer, sent)
      if (signal.aborted) return
      if (taken !== null) {
        const isDoubtful = taken === 'doubtful'
        if (!isDoubtful) query.onFailure(taken)
        index = null
        interval = query.interval
        failures += 1
        await pause(backoff(failures, isDoubtful ? doubtRetry : retry, random()), signal)
        continue
      }
      failures = 0
      const next = answer.kind === 'answered' ? answer.index : null
      index = next === null || (sent !== null && next < sent) ? null : next
      interval = index === null || index === sent ? Math.max(query.interval, unblocked) : query.interval
    }
  } finally {
    leave()
  }
}

async function tell(query: Query, answer: Answer, sent: bigint | null): Promise<Taken> {
  const hasFallen = sent !== null && answer.index !== null && answer.index < sent
  const doubt = hasFallen ? `the index fell from ${sent} to ${answer.index}` : query.judge(answer)
  try {
    return await query.onAnswer({ answer, isResync: sent === null, doubt })
  } catch (error) {
    return failure(`the answer can't be read: ${String(error)}`)
  }
}

/**
 * Doubts answers that begin to leave things out. To be filtered from the start is normal for a token of least
 * privilege; to become so means that it lost rights.
 */
export function filterJudge(): (answer: Answer) => string | null {
  let wasFiltered: boolean | null = null
  return (answer) => {
    if (answer.isFiltered && wasFiltered === false) return 'the token may see less than before (filtered by ACLs)'
    wasFiltered = answer.isFiltered
    return null
  }
}
