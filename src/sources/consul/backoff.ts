import { setTimeout as delay } from 'node:timers/promises'
import type { Ms } from '../../types.ts'

const shortest: Ms = 250
const longest: Ms = 10_000

export interface Backoff {
  /** How long to wait before the next attempt; grows with every call since the last success. */
  readonly next: () => Ms
  readonly succeeded: () => void
}

/** Full jitter over a span that doubles from 0.25 s to 10 s, for ever, so that many edges don't come back together. */
export function backoff(random: () => number): Backoff {
  let failures = 0
  return {
    next: () => {
      const span = Math.min(longest, shortest * 2 ** Math.min(failures, 10))
      failures += 1
      return random() * span
    },
    succeeded: () => {
      failures = 0
    },
  }
}

/** Resolves after `ms`, or as soon as `signal` is aborted. */
export async function pause(ms: Ms, signal: AbortSignal): Promise<void> {
  if (ms <= 0 || signal.aborted) return
  await delay(ms, undefined, { signal }).catch(() => {})
}
