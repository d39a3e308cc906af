import { version } from '../version.ts'
import type { State } from './state.ts'

/** The newest state, and who wants to know of it. The loop publishes; everybody else reads. */
export interface Board {
  /** Null before the first turn of the loop. */
  readonly known: () => State | null
  /** Before the first turn one that knows nothing yet. */
  readonly state: () => State
  /** The function it gives back ends the subscription. */
  readonly subscribe: (listener: () => void) => () => void
  readonly publish: (state: State) => void
}

export function stateBoard(process: State['haproxy']['process']): Board {
  const listeners = new Set<() => void>()
  const nothing = nothingKnown(process)
  let newest: State | null = null
  return {
    known: () => newest,
    state: () => newest ?? nothing,
    subscribe: (listener) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    publish: (state) => {
      newest = state
      for (const listener of listeners) listener()
    },
  }
}

function nothingKnown(process: State['haproxy']['process']): State {
  const now = Date.now()
  return {
    version,
    startedAt: now,
    at: now,
    sources: new Map(),
    decision: null,
    candidate: null,
    plan: null,
    running: null,
    proof: null,
    haproxy: {
      process,
      isConnected: false,
      version: null,
      pid: null,
      oldWorkers: 0,
      spares: { free: 0, taken: 0 },
      reloads: { success: 0, failure: 0 },
      error: null,
    },
    history: [],
    ready: { isReady: false, reason: 'starting' },
    notices: new Map(),
  }
}
