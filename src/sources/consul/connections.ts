import type { Ms } from '../../types.ts'

/** How often each query gets its turn when there are more of them than connections. */
const turnaround: Ms = 10_000
const shortestWait: Ms = 250
/** Waits are cut already when this share of the connections is in use, so that a newcomer never finds all taken for long. */
const crowded = 0.75
/** After a 429 the limit grows again by one connection at a time, this far apart. */
const regrowth: Ms = 60_000

/** Who may talk to the agent now. A request holds a connection from `take` to `release`, also while it blocks. */
export interface Connections {
  /** False when `signal` was aborted first. Urgent requests (single reads) go before blocking queries; else first come, first served. */
  readonly take: (isUrgent: boolean, signal: AbortSignal) => Promise<boolean>
  readonly release: () => void
  /** Announces a blocking query that wants a connection nearly always. Returns its farewell. */
  readonly join: () => () => void
  /** The most there may be at a time. */
  readonly most: () => number
  /** That many are allowed from now on. */
  readonly allow: (most: number) => void
  /** How long a blocking query may hold its connection now. */
  readonly wait: () => Ms
  /** The agent answered 429: it has fewer connections for us than we thought. Called while the connection is still held. */
  readonly refused: () => void
  /** For people: why reads are slower than they could be; null when they aren't. */
  readonly note: () => string | null
}

interface Waiter {
  readonly grant: () => void
}

export function connections(maximum: number, longestWait: Ms): Connections {
  let most = Math.max(1, maximum)
  const urgent = new Set<Waiter>()
  const patient = new Set<Waiter>()
  let limit = most
  let refusedAt: Ms = 0
  let taken = 0
  let queries = 0

  function regrow(): void {
    if (limit === most || performance.now() - refusedAt < regrowth) return
    limit += 1
    refusedAt = performance.now()
  }

  function serve(): void {
    regrow()
    for (const queue of [urgent, patient]) {
      for (const waiter of queue) {
        if (taken >= limit) return
        queue.delete(waiter)
        taken += 1
        waiter.grant()
      }
    }
  }

  return {
    take: (isUrgent, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) return resolve(false)
        const queue = isUrgent ? urgent : patient
        const waiter = {
          grant: () => {
            signal.removeEventListener('abort', giveUp)
            resolve(true)
          },
        }
        const giveUp = () => {
          queue.delete(waiter)
          resolve(false)
        }
        signal.addEventListener('abort', giveUp, { once: true })
        queue.add(waiter)
        serve()
      }),
    release: () => {
      taken -= 1
      serve()
    },
    join: () => {
      queries += 1
      return () => {
        queries -= 1
      }
    },
    most: () => most,
    allow: (maximum) => {
      // after a refusal it grows step by step
      limit = limit === most ? maximum : Math.min(limit, maximum)
      most = maximum
      serve()
    },
    wait: () => {
      if (queries <= limit * crowded) return longestWait
      return Math.min(longestWait, Math.max(shortestWait, Math.floor((turnaround * limit) / queries)))
    },
    refused: () => {
      // what we hold may have been less than what the agent still counts: one refusal costs half of the limit at most
      limit = Math.max(1, Math.min(limit - 1, Math.max(taken - 1, limit >> 1)))
      refusedAt = performance.now()
    },
    note: () => {
      if (queries <= limit) return null
      const cause =
        limit < most
          ? 'the agent refuses more (429): raise its limits.http_max_conns_per_client'
          : 'raise consul.maxConnections'
      return `${queries} queries take turns on ${limit} connections, each about every ${Math.ceil(turnaround / 1000)} s; ${cause}`
    },
  }
}
