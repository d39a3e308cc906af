import { workers } from '../haproxy/master.ts'
import { type Identity, observeIdentity, observeRunning } from '../haproxy/observe.ts'
import type { HaproxySockets } from '../haproxy/worker.ts'
import type { Running } from '../types.ts'
import type { Sight } from './known.ts'

/**
 * Asks HAProxy what it is. A worker that is not what it was is read back whole; one that is keeps its `Running`. Null when
 * `signal` came first. Never rejects.
 */
export async function look(
  before: Running | null,
  sockets: HaproxySockets,
  signal: AbortSignal,
): Promise<Sight | null> {
  const [identity, group] = await Promise.all([
    observeIdentity({ ...sockets, signal }),
    workers(sockets.masterSocket, { signal }),
  ])
  if (signal.aborted) return null
  const oldWorkers = group.ok ? group.old.length : 0
  if (identity.kind === 'absent') return { running: null, trouble: identity.why, oldWorkers }
  if (before !== null && isSame(before, identity.identity)) {
    return { running: before, trouble: group.ok ? null : group.why, oldWorkers }
  }
  const observed = await observeRunning({ ...sockets, signal })
  if (signal.aborted) return null
  if (observed.kind === 'absent') return { running: null, trouble: observed.why, oldWorkers }
  return { running: observed.running, trouble: observed.masterProblem, oldWorkers }
}

function isSame(running: Running, { pid, structure, revision }: Identity): boolean {
  return running.pid === pid && running.structure === structure && running.revision === revision
}
