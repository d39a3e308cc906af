import { type BackoffLimits, backoff } from '../../backoff.ts'
import type { BackendId, Ms, Unreachable } from '../../types.ts'
import type { Verdict } from './evidence.ts'
import type { Seen } from './look.ts'
import { isPlace } from './probe.ts'

/** A server that HAProxy misses connections to, or did so a while ago. Instants are monotonic. */
export interface Watched {
  /** Where it was seen first; it may be in others, too. */
  readonly backend: BackendId
  /** When it was last in trouble: it is forgotten when it has been quiet for long. */
  readonly troubledAt: Ms
  /** How often it was examined, and not before this again: neither many errors nor coming and going make it more often. */
  readonly examined: number
  readonly from: Ms
  /** HAProxy missed connections since it last answered heddle. */
  readonly isSuspected: boolean
  /** Null: it gets requests. */
  readonly out: Unreachable | null
}

/** By `address:port`. */
export type WatchList = ReadonlyMap<string, Watched>

/** Examined at once; with their witnesses they keep probes busy for some seconds. */
const mostExamined = 20

/** The list after a look: who is suspected now, without those that have left HAProxy or have been quiet for `longest`. */
export function watchAfterLook(before: WatchList, seen: Seen, now: Ms, longest: Ms): WatchList {
  const watched = new Map(before)
  for (const [backend, servers] of seen) {
    for (const { name, hasRisen, isInMaintenance } of servers) {
      const known = watched.get(name)
      // by somebody else: nobody tries it any more
      if (isInMaintenance && (known?.out ?? null) === null) {
        if (known !== undefined) watched.set(name, { ...known, isSuspected: false })
      } else if (hasRisen && isPlace(name)) {
        const one = known ?? { backend, examined: 0, from: now, out: null }
        watched.set(name, { ...one, troubledAt: now, isSuspected: true })
      }
    }
  }
  for (const [name, { backend, troubledAt, out }] of watched) {
    const hasLeft = seen.get(backend)?.every((server) => server.name !== name) ?? false
    if (hasLeft || (out === null && now > troubledAt + longest)) watched.delete(name)
  }
  return watched
}

/** Who is to be examined, who waits longest first. */
export function dueAt(watched: WatchList, now: Ms): readonly (readonly [string, Watched])[] {
  return [...watched]
    .filter(([, { from, isSuspected, out }]) => from <= now && (isSuspected || out !== null))
    .sort(([, a], [, b]) => a.from - b.from)
    .slice(0, mostExamined)
}

/** The same after it was examined. `at` is by the clock, for people. */
export function examinedAs(before: Watched, verdict: Verdict, now: Ms, limits: BackoffLimits, at: Ms): Watched {
  const examined = before.examined + 1
  // in full, not at random: there is nobody to keep apart from
  const one = { ...before, examined, from: now + backoff(examined, limits, 1) }
  switch (verdict.kind) {
    case 'answers':
      return { ...one, troubledAt: before.out === null ? before.troubledAt : now, isSuspected: false, out: null }
    case 'unreachable':
      return { ...one, out: before.out ?? { since: at, why: verdict.why } }
    case 'unknown':
      return { ...one, out: verdict.isCutOff ? null : before.out }
  }
}
