import type { State } from '../../src/control/state.ts'
import { loadReader } from '../../src/haproxy/loads.ts'
import type { HaproxySockets } from '../../src/haproxy/worker.ts'
import { explainRequest } from '../../src/status/explain.ts'
import { createMetrics } from '../../src/status/metrics.ts'
import { createStatusServer, type StatusServerSettings } from '../../src/status/server.ts'

/** The real status server, answering from a state instead of from a loop. */

export type StatusServer = ReturnType<typeof createStatusServer>

const nowhere: HaproxySockets = { masterSocket: '/nowhere/m.sock', statsSocket: '/nowhere/s.sock' }

/** It does not listen yet; whoever asks for it closes it. */
export function statusServer(
  state: () => State,
  more: Partial<StatusServerSettings> = {},
  sockets = nowhere,
): StatusServer {
  return createStatusServer({
    state,
    subscribe: () => () => {},
    explain: async (url, method, live) => {
      const { decision, running } = state()
      if (decision === null) return null
      return explainRequest({ decision, running }, { ...sockets, paths: 'auto' }, { url, method, live })
    },
    loads: loadReader(() => sockets),
    config: () => ({ consul: { token: '(set)' } }),
    metrics: createMetrics(),
    access: { allowedHosts: [], token: () => null, isLoopback: true },
    log: { debug: () => {}, error: () => {} },
    ...more,
  })
}

export interface Published {
  readonly state: () => State
  readonly subscribe: StatusServerSettings['subscribe']
  /** A new state, as the loop would publish it. */
  readonly publish: (state: State) => void
  readonly listeners: ReadonlySet<() => void>
}

/** A state that the test changes. */
export function published(first: State): Published {
  const listeners = new Set<() => void>()
  let newest = first
  return {
    state: () => newest,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    publish(state) {
      newest = state
      for (const listener of listeners) listener()
    },
    listeners,
  }
}
