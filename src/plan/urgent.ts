import type { BackendId, Decision, Model, Plan, Running } from '../types.ts'

/** A server whose state can't wait for the next reload. */
export interface Urgent {
  readonly backend: BackendId
  readonly server: string
  readonly state: 'ready' | 'maint'
  /** Its container is gone: requests that still run on it are ended, before somebody else gets its address. */
  readonly isGone: boolean
}

/**
 * The steps of a plan that are taken at once, however long a reload may be away: no new request to who is critical, or whose
 * container is dead or has lost its address, and new ones again to who has recovered. One that only left the catalog waits
 * for the reload, which brings its successor at the same moment. `applied` is the model the running servers were made from.
 */
export function urgentServers(
  { steps }: Plan,
  running: Running,
  applied: Model | null,
  endpoints: Decision['endpoints'],
): readonly Urgent[] {
  const isInMaintenance = (backend: BackendId, server: string) =>
    running.servers.get(backend)?.get(server)?.state === 'maint'
  return steps.flatMap((step): Urgent[] => {
    if (step.do === 'state' && step.state !== 'drain') {
      return [{ backend: step.backend, server: step.server, state: step.state, isGone: false }]
    }
    if (step.do !== 'remove' || isInMaintenance(step.backend, step.server)) return []
    const isGone = hasLostContainer(step.backend, step.server, applied, endpoints)
    return isGone ? [{ backend: step.backend, server: step.server, state: 'maint', isGone }] : []
  })
}

const losses: ReadonlySet<string> = new Set(['address-reused', 'container-gone'])

function hasLostContainer(
  id: BackendId,
  name: string,
  applied: Model | null,
  endpoints: Decision['endpoints'],
): boolean {
  const backend = applied?.backends.get(id)
  const key = backend?.servers.find((server) => server.name === name)?.instance.key
  const endpoint = endpoints.get(backend?.service ?? '')?.find(({ instance }) => instance.key === key)
  return endpoint?.kind === 'dead' || (endpoint?.kind === 'unresolved' && losses.has(endpoint.problem.code))
}

/** What runs after they were taken. Backends that are not among them keep their identity. */
export function afterUrgent(running: Running, urgent: readonly Urgent[]): Running {
  const servers = new Map(running.servers)
  for (const { backend, server, state } of urgent) {
    const known = servers.get(backend)
    const before = known?.get(server)
    if (known !== undefined && before !== undefined)
      servers.set(backend, new Map([...known, [server, { ...before, state }]]))
  }
  return { ...running, servers }
}
