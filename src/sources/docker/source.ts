import type { Engine, Observation } from '../../types.ts'
import type { Source, SourceStatus } from '../source.ts'
import type { DockerEndpoint } from './api.ts'
import { type EngineOptions, type EngineState, followEngine } from './engine.ts'

export type { DockerEndpoint } from './api.ts'

const defaults: EngineOptions = {
  relistEvery: 60_000,
  timeout: 10_000,
  maxBytes: 32 * 1024 * 1024,
  concurrency: 8,
  retryAfter: [250, 500, 1000, 2000, 4000, 8000],
  backoff: { first: 1000, longest: 30_000, shortest: 1000 },
  tombstones: { most: 1000, age: 3_600_000 },
}

/**
 * Containers of Docker engines by Consul node. A container that was seen to die, or was removed, stays in its engine
 * as not running (removed ones for an hour, at most 1000). An engine that never answered is stale and empty.
 */
export function dockerSource(
  endpoints: ReadonlyMap<string, DockerEndpoint>,
  options: Partial<EngineOptions> = {},
): Source<ReadonlyMap<string, Observation<Engine>>> {
  return async (report, signal) => {
    const states = new Map<string, EngineState>()
    const observations = new Map<string, Observation<Engine>>()
    let newestError: string | null = null
    const tell = () => {
      const hasSpoken = states.size === endpoints.size
      report({
        value: hasSpoken ? byNode(endpoints.keys(), observations) : null,
        status: statusOf(endpoints.size, states, newestError),
      })
    }
    const follow = (node: string, endpoint: DockerEndpoint) =>
      followEngine(
        endpoint,
        { ...defaults, ...options },
        (state) => {
          const before = states.get(node)
          if (before !== undefined && isSame(before, state)) return
          if (state.why !== null && state.why !== before?.why) newestError = `${node}: ${state.why}`
          states.set(node, state)
          observations.set(node, observationOf(state, observations.get(node)))
          tell()
        },
        signal,
      )
    if (endpoints.size === 0) tell()
    await Promise.all([aborted(signal), ...[...endpoints].map(([node, endpoint]) => follow(node, endpoint))])
  }
}

function isSame(a: EngineState, b: EngineState): boolean {
  return a.engine === b.engine && a.why === b.why && a.at === b.at && a.errors === b.errors
}

/** Keeps the observation when only a count has changed. */
function observationOf(state: EngineState, before: Observation<Engine> | undefined): Observation<Engine> {
  const { engine, why } = state
  const at = state.at ?? 0
  if (before?.value === engine && before.why === why && before.at === at) return before
  return { value: engine, evidence: why === null ? 'fresh' : 'stale', why, at }
}

function byNode(
  nodes: Iterable<string>,
  observations: ReadonlyMap<string, Observation<Engine>>,
): ReadonlyMap<string, Observation<Engine>> {
  const inOrder = new Map<string, Observation<Engine>>()
  for (const node of nodes) {
    const observation = observations.get(node)
    if (observation !== undefined) inOrder.set(node, observation)
  }
  return inOrder
}

function statusOf(total: number, states: ReadonlyMap<string, EngineState>, newestError: string | null): SourceStatus {
  const all = [...states.values()]
  const stale = all.filter((state) => state.why !== null)
  const times = all.map((state) => state.at)
  return {
    state: all.length < total ? 'waiting' : stale.length > 0 ? 'stale' : 'fresh',
    at: times.reduce((oldest, at) => (oldest === null || at === null ? null : Math.min(oldest, at)), times[0] ?? null),
    error: stale.length > 0 ? newestError : null,
    errors: all.reduce((sum, state) => sum + state.errors, 0),
    partitions: { total, stale: stale.length },
    note: null,
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve()
    signal.addEventListener('abort', () => resolve(), { once: true })
  })
}
