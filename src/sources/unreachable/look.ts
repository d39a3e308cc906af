import { readBackendFailures, readServerCounters } from '../../haproxy/counters.ts'
import { connectWorker, type HaproxySockets } from '../../haproxy/worker.ts'
import type { BackendId, Ms } from '../../types.ts'
import { type RisenServer, risesOf } from './rises.ts'

/** By backend; those that nobody asked for and that HAProxy misses no connections to are not among them. */
export type Seen = ReadonlyMap<BackendId, readonly RisenServer[]>

/**
 * Reads the servers of these backends, and of those that HAProxy missed connections to since the last time. Null: HAProxy
 * does not say. Never rejects.
 */
export type Look = (backends: Iterable<BackendId>, signal: AbortSignal) => Promise<Seen | null>

export interface LookLimits {
  /** Between two readings of all backends: as long as to take a hundredth of the time, within these two. */
  readonly shortest: Ms
  readonly longest: Ms
}

export function looksOf(sockets: HaproxySockets, { shortest, longest }: LookLimits): Look {
  const rises = risesOf()
  let allFrom: Ms = 0

  return async (backends, signal) => {
    const started = performance.now()
    const wanted = new Set(backends)
    if (wanted.size === 0 && started < allFrom) return new Map()
    // one for each look: a connection that stayed would keep an old worker alive
    const connection = await connectWorker(sockets, { signal })
    if (!connection.ok) return null
    const { runtime } = connection
    try {
      if (started >= allFrom) {
        const read = await readBackendFailures(runtime)
        if (!read.ok) return null
        for (const backend of rises.backends(read.counted)) wanted.add(backend)
        // a machine that is busy for a moment must not blind us for minutes
        allFrom = started + Math.min(longest, Math.max(shortest, 100 * (performance.now() - started)))
      }
      const seen = new Map<BackendId, readonly RisenServer[]>()
      const asked = [...wanted].map(async (backend) => [backend, await readServerCounters(runtime, backend)] as const)
      for (const [backend, read] of await Promise.all(asked)) {
        if (!read.ok) return null
        seen.set(backend, rises.servers(backend, read.servers))
      }
      return seen
    } finally {
      runtime.close()
    }
  }
}
