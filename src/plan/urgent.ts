import type { BackendId, Decision, Model, Plan, Running, Step } from '../types.ts'

/** A server whose state can't wait for the next reload. */
export interface Urgent {
  readonly backend: BackendId
  readonly server: string
  readonly state: 'ready' | 'maint'
  /** Its container is gone: requests that still run on it are ended, before somebody else gets its address. */
  readonly isGone: boolean
}

/**
 * The steps of a plan that are taken at once, however long a reload may be away: no new request to who is critical, has left
 * the catalog, or whose container is dead or has lost its address, and new ones again to who has recovered. The last that is
 * left of a backend waits for the reload, which brings its successor at the same moment, unless its container is known to be
 * gone. `applied` is the model the running servers were made from.
 */
export function urgentServers(
  { steps }: Plan,
  running: Running,
  applied: Model | null,
  endpoints: Decision['endpoints'],
): readonly Urgent[] {
  const isInMaintenance = (backend: BackendId, server: string) =>
    running.servers.get(backend)?.get(server)?.state === 'maint'
  const leaving = new Set(steps.flatMap((step) => (isLeaving(step) ? [`${step.backend} ${step.server}`] : [])))
  const hasOthers = (backend: BackendId) =>
    [...(running.servers.get(backend) ?? [])].some(
      ([name, { state, weight }]) => state === 'ready' && weight > 0 && !leaving.has(`${backend} ${name}`),
    )
  return steps.flatMap((step): Urgent[] => {
    if (step.do === 'state' && step.state !== 'drain') {
      return [{ backend: step.backend, server: step.server, state: step.state, isGone: false }]
    }
    if (step.do !== 'remove' || isInMaintenance(step.backend, step.server)) return []
    const isGone = hasLostContainer(step.backend, step.server, applied, endpoints)
    if (!isGone && !hasOthers(step.backend)) return []
    return [{ backend: step.backend, server: step.server, state: 'maint', isGone }]
  })
}

function isLeaving(step: Step): step is Extract<Step, { do: 'remove' | 'state' }> {
  return step.do === 'remove' || (step.do === 'state' && step.state !== 'ready')
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
