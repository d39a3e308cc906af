import { type BackoffLimits, pause } from '../../backoff.ts'
import type { HaproxySockets } from '../../haproxy/worker.ts'
import { sameEntries } from '../../same.ts'
import type { Unreachable } from '../../types.ts'
import { silent } from '../slot.ts'
import type { Source } from '../source.ts'
import { examine } from './evidence.ts'
import { type LookLimits, looksOf } from './look.ts'
import { type ProbeLimits, probesOf } from './probe.ts'
import { dueAt, examinedAs, type WatchList, watchAfterLook } from './watched.ts'

export interface UnreachableOptions {
  readonly looks: LookLimits
  /** Of all probes. */
  readonly probes: ProbeLimits
  /** Of those of one server. */
  readonly backoff: BackoffLimits
}

const defaults: UnreachableOptions = {
  looks: { shortest: 1_000, longest: 10_000 },
  // as long as HAProxy waits for a connection by default
  probes: { every: 100, timeout: 2_000 },
  backoff: { first: 1_000, longest: 30_000 },
}

/** By `address:port`. */
export type UnreachableServers = ReadonlyMap<string, Unreachable>

/**
 * Servers that get no connections: HAProxy's counters say whom to suspect, probes of heddle's own whether it is so, and when it
 * is over (`examine`). HAProxy has no health checks here, and those of Consul may be missing or wrong.
 *
 * It reports only what has changed, at first nothing: who is in no report is taken for reachable.
 */
export function unreachableSource(
  sockets: HaproxySockets,
  options: Partial<UnreachableOptions> = {},
): Source<UnreachableServers> {
  const { looks, probes, backoff } = { ...defaults, ...options }
  return async (report, signal) => {
    const [look, probe] = [looksOf(sockets, looks), probesOf(probes)]
    let watched: WatchList = new Map()
    let reported: UnreachableServers = new Map()

    const watch = (next: WatchList) => {
      watched = next
      const out = new Map([...watched].flatMap(([name, one]) => (one.out === null ? [] : [[name, one.out] as const])))
      if (sameEntries(out, reported)) return
      reported = out
      report({ value: out, status: { ...silent, state: 'fresh', at: Date.now() } })
    }

    while (!signal.aborted) {
      const now = performance.now()
      const backends = dueAt(watched, now).map(([, { backend }]) => backend)
      const seen = await look(backends, signal)
      if (seen !== null && !signal.aborted) {
        watch(watchAfterLook(watched, seen, now, 2 * backoff.longest))
        const due = dueAt(watched, now)
        await Promise.all(
          due.map(async ([name, one]) => {
            const servers = seen.get(one.backend) ?? []
            const verdict = await examine(name, servers, (other) => reported.has(other), probe, signal)
            if (signal.aborted) return
            watch(new Map(watched).set(name, examinedAs(one, verdict, performance.now(), backoff, Date.now())))
          }),
        )
      }
      await pause(looks.shortest - (performance.now() - now), signal)
    }
  }
}
