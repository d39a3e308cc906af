import { setTimeout as delay } from 'node:timers/promises'
import type { Ms } from './types.ts'

export interface BackoffLimits {
  /** Ceiling before the second attempt; it doubles with every failure. */
  readonly first: Ms
  /** Highest ceiling. */
  readonly longest: Ms
}

/**
 * How long to wait after so many failures (1: the first one): full jitter, so anything from 0 up to a ceiling that doubles
 * with every failure, for ever, so that many edges don't come back together. `random` is from [0, 1).
 */
export function backoff(failures: number, { first, longest }: BackoffLimits, random: number = Math.random()): Ms {
  const doublings = Math.max(0, failures - 1)
  return random * Math.min(longest, first * 2 ** doublings)
}

/** Resolves after `length`, or as soon as `signal` is aborted; never rejects. */
export async function pause(length: Ms, signal: AbortSignal): Promise<void> {
  if (length <= 0 || signal.aborted) return
  await delay(length, undefined, { signal }).catch(() => {})
}
