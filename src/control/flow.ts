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
   * is first, and takes the causes with it. It never rejects. One waiter at a time. Timers and I/O get their turn even
   * when there is nothing to wait for.
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
      if (causes.size > 0 || signal.aborted || isPast(until)) await new Promise((resolve) => setImmediate(resolve))
      else {
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
