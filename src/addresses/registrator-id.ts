import type { Instance } from '../types.ts'

/** What registrator puts into a ServiceID: `<its host>:<container name>:<container port>[:udp]`. */
export interface RegistratorId {
  readonly host: string
  readonly name: string
  readonly port: number
  readonly isUdp: boolean
}

// A host name has no colon: `mesos-consul:<ip>:<task>:<port>` looks alike and names no container.
const registratorId = /^([^:]+):([a-zA-Z0-9][a-zA-Z0-9_.-]+):([0-9]{1,5})(:udp)?$/

export function parseRegistratorId(id: string): RegistratorId | null {
  const match = registratorId.exec(id)
  if (match === null) return null
  const [, host = '', name = '', digits = '', udp] = match
  const port = Number(digits)
  return port >= 1 && port <= 65535 ? { host, name, port, isUdp: udp !== undefined } : null
}

const parsedIds = new WeakMap<readonly Instance[], readonly (RegistratorId | null)[]>()

/** Of each instance, in the same order; memoised on the array. */
export function parseRegistratorIds(instances: readonly Instance[]): readonly (RegistratorId | null)[] {
  const known = parsedIds.get(instances)
  if (known !== undefined) return known
  const parsed = instances.map(({ id }) => parseRegistratorId(id))
  parsedIds.set(instances, parsed)
  return parsed
}

/**
 * The host name that Docker gives a container, the beginning of its id. As the host of a ServiceID it is registrator's, where
 * that runs in a container, or that of a container which registers itself.
 */
export function isContainerHost(host: string): boolean {
  return /^[0-9a-f]{12}$/.test(host)
}
