import type { BackendFailures, ServerCounters } from '../../haproxy/counters.ts'
import type { BackendId } from '../../types.ts'

export interface RisenServer extends ServerCounters {
  /** HAProxy missed connections to it since its backend was last read. */
  readonly hasRisen: boolean
}

/** HAProxy's counters from one reading to the next. They begin at 0 with each worker. */
export interface Rises {
  /** Backends that HAProxy missed connections to since the last reading; none at the first, which may sum up weeks. */
  readonly backends: (counted: BackendFailures) => readonly BackendId[]
  readonly servers: (backend: BackendId, servers: readonly ServerCounters[]) => readonly RisenServer[]
}

export function risesOf(): Rises {
  let before: BackendFailures | null = null
  let known = new Map<BackendId, ReadonlyMap<string, number>>()

  return {
    backends: (counted) => {
      const isFirst = before === null
      const failures = before?.pid === counted.pid ? before.failures : null
      // those of another worker say nothing, those of a backend that is gone nothing any more
      known = new Map(failures === null ? [] : [...known].filter(([backend]) => counted.failures.has(backend)))
      before = counted
      if (isFirst) return []
      return [...counted.failures].flatMap(([backend, count]) =>
        count > (failures?.get(backend) ?? 0) ? [backend] : [],
      )
    },
    servers: (backend, servers) => {
      const counts = known.get(backend)
      known.set(backend, new Map(servers.map(({ name, failures }) => [name, failures])))
      return servers.map((server) => ({ ...server, hasRisen: server.failures > (counts?.get(server.name) ?? 0) }))
    },
  }
}
