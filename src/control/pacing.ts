import { type BackoffLimits, backoff } from '../backoff.ts'
import type { Ms } from '../types.ts'

/**
 * When a wanted revision may be brought into HAProxy by a reload: the burst of changes has settled, the last reload is long
 * enough ago, a refusal has cooled. Immutable. Instants are monotonic (`performance.now()`).
 */
export interface Pace {
  /** First and last of the changes that HAProxy does not have yet; null: it has them all. */
  readonly burst: { readonly first: Ms; readonly last: Ms } | null
  /** When something else was last wanted. */
  readonly lastChange: Ms
  /** Since when there is a reason for a reload that nobody waits for; null: there is none. */
  readonly tidySince: Ms | null
  /** With a random part, between 0 and 1, so that many edges which see the same change don't reload together. */
  readonly lastReload: { readonly at: Ms; readonly random: number } | null
  /** No reload before, because the last ones failed. */
  readonly heldUntil: Ms
  readonly refusal: Refusal | null
  /** Since the last reload that went through. */
  readonly failedReloads: number
}

/** Why a candidate, or the steps to it, were not taken, and when they are tried again; another candidate need not wait for that. */
export interface Refusal {
  /** Of the candidate. */
  readonly hash: string
  readonly why: string
  /** How often it was refused, 1 at first. */
  readonly count: number
  readonly retryFrom: Ms
}

export interface PacingSettings {
  /** A reload waits for so long a quiet, but not longer than `longest` after the first change. */
  readonly settle: { readonly quiet: Ms; readonly longest: Ms }
  readonly reloadEvery: Ms
  /** The same for a reload that nobody waits for. */
  readonly tidy: { readonly quiet: Ms; readonly longest: Ms }
}

export const calm: Pace = {
  burst: null,
  lastChange: 0,
  tidySince: null,
  lastReload: null,
  heldUntil: 0,
  refusal: null,
  failedReloads: 0,
}

const retry: BackoffLimits = { first: 1_000, longest: 60_000 }
const shortestRetry: Ms = 1_000
const shortestRetryOfReload: Ms = 15_000

/** Something else is wanted from now on. */
export function changed(pace: Pace, now: Ms): Pace {
  return { ...pace, burst: { first: pace.burst?.first ?? now, last: now }, lastChange: now }
}

/** HAProxy lacks something, be it for a change of its own. */
export function lacking(pace: Pace, now: Ms): Pace {
  return pace.burst === null ? changed(pace, now) : pace
}

/** HAProxy has what is wanted, or gets it when it starts. */
export function satisfied(pace: Pace): Pace {
  return { ...pace, burst: null, tidySince: null, refusal: null, failedReloads: 0 }
}

/** HAProxy serves what is wanted; what it lacks hurts nobody. */
export function untidy(pace: Pace, now: Ms): Pace {
  return { ...pace, burst: null, tidySince: pace.tidySince ?? now }
}

/** A reload was tried. */
export function reloaded(pace: Pace, now: Ms, random: number = Math.random()): Pace {
  return { ...pace, lastReload: { at: now, random } }
}

export function refused(pace: Pace, hash: string, why: string, now: Ms): Pace {
  const count = pace.refusal?.hash === hash ? pace.refusal.count + 1 : 1
  return { ...pace, refusal: { hash, why, count, retryFrom: now + shortestRetry + backoff(count, retry) } }
}

/**
 * A reload that HAProxy tried and could not do. It holds up other candidates as well: a new worker that can't start costs
 * traffic each time (listeners pause for 2 s when a port is in use), and the next one mostly fails for the same reason.
 */
export function failedReload(pace: Pace, now: Ms): Pace {
  const failedReloads = pace.failedReloads + 1
  return { ...pace, failedReloads, heldUntil: now + shortestRetryOfReload + backoff(failedReloads, retry) }
}

/** Another HAProxy is there: what the former one could not load, this one may. */
export function restarted(pace: Pace): Pace {
  return { ...pace, heldUntil: 0, failedReloads: 0 }
}

/** When the candidate of that hash may be brought in by a reload that traffic waits for. */
export function reloadFrom(pace: Pace, hash: string, { settle, reloadEvery }: PacingSettings): Ms {
  const { burst } = pace
  const settled = burst === null ? 0 : Math.min(burst.last + settle.quiet, burst.first + settle.longest)
  return Math.max(settled, allowedFrom(pace, hash, reloadEvery))
}

/**
 * The same for a reload that nobody waits for: in a quiet moment, and while there are no more old workers than there may be,
 * since one more would end the oldest with what it still does. It can't be put off for ever.
 */
export function tidyReloadFrom(
  pace: Pace,
  hash: string,
  { tidy, reloadEvery }: PacingSettings,
  isCrowded: boolean,
): Ms {
  const { tidySince, lastChange } = pace
  const longest = (tidySince ?? lastChange) + tidy.longest
  const settled = isCrowded ? longest : Math.min(lastChange + tidy.quiet, longest)
  return Math.max(settled, allowedFrom(pace, hash, reloadEvery))
}

function allowedFrom({ lastReload, heldUntil, refusal }: Pace, hash: string, reloadEvery: Ms): Ms {
  const spaced = lastReload === null ? 0 : lastReload.at + (1 + lastReload.random) * reloadEvery
  return Math.max(spaced, heldUntil, refusal?.hash === hash ? refusal.retryFrom : 0)
}
