import type { Ms } from '../types.ts'

/**
 * Waiting, and how long: the only place of the loop that knows of timers. Instants here are monotonic
 * (`performance.now()`), so that a clock that is set forward or back neither stalls nor storms anything.
 */

/** Why a turn of the loop begins. */
export interface Awoken {
  /** Every cause since the last turn; however often one came, it is there once. */
  readonly causes: ReadonlySet<string>
  /** The asked-for instant has come. */
  readonly isDue: boolean
}

export interface Wakes {
  /** Ends the present or the next wait. Never blocks; a cause that stands already is not counted twice. */
  readonly wake: (cause: string) => void
  /**
   * Resolves as soon as a cause stands, `until` (monotonic; null: never) has come, or `signal` is aborted, whichever
   * is first, and takes the causes with it. It never rejects. One waiter at a time.
   */
  readonly next: (until: Ms | null, signal: AbortSignal) => Promise<Awoken>
}

/** Longest delay that `setTimeout` takes; beyond it would fire at once. */
const longestTimer: Ms = 2 ** 31 - 1

/**
 * Coalesces wakes: many of them between two turns make one turn. Each wait has a promise of its own: racing against
 * a long-lived one would keep every loser for ever.
 */
export function wakes(): Wakes {
  let causes = new Set<string>()
  let ring: (() => void) | null = null

  return {
    wake: (cause) => {
      causes.add(cause)
      ring?.()
    },
    next: async (until, signal) => {
      if (ring !== null) throw new Error('expected one waiter, got a second')
      if (causes.size === 0 && !signal.aborted && !isPast(until)) {
        await new Promise<void>((resolve) => {
          let timer: NodeJS.Timeout | null = null
          const end = () => {
            if (timer !== null) clearTimeout(timer)
            signal.removeEventListener('abort', end)
            ring = null
            resolve()
          }
          // a timer may fire early, or have been cut to the longest: it decides nothing, the clock does
          const arm = () => {
            if (until === null) return
            if (isPast(until)) end()
            else timer = setTimeout(arm, Math.min(Math.ceil(until - performance.now()), longestTimer))
          }
          ring = end
          signal.addEventListener('abort', end)
          arm()
        })
      }
      const taken = causes
      causes = new Set()
      return { causes: taken, isDue: isPast(until) }
    },
  }
}

function isPast(until: Ms | null): boolean {
  return until !== null && performance.now() >= until
}

/**
 * When a burst is taken for settled: `quiet` after its last change, but never later than `longest` after its first.
 * All four are milliseconds; `first` and `last` on one clock, which the answer is on too.
 */
export function settleAt(burst: { first: Ms; last: Ms }, settle: { quiet: Ms; longest: Ms }): Ms {
  return Math.min(burst.last + settle.quiet, burst.first + settle.longest)
}

/**
 * How long to wait before attempt number `failures + 1`: full jitter, so anything from 0 up to a ceiling that doubles with
 * every failure from `first` to `longest`. `random` is from [0, 1), for tests to choose.
 */
export function backoff(failures: number, limits: { first: Ms; longest: Ms }, random: number = Math.random()): Ms {
  const doublings = Math.max(0, failures - 1)
  return random * Math.min(limits.longest, limits.first * 2 ** doublings)
}
