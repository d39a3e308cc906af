import type { Container } from '../types.ts'
import { attachedContainer, type ContainerIndex, type Located } from './containers.ts'
import type { RegistratorId } from './registrator-id.ts'

export type Ports = Pick<Container, 'ports' | 'published'>

/** One in the network of another container has the ports of both. */
export function portsOf(located: Located, containers: ContainerIndex): Ports {
  const { container } = located
  const attached = attachedContainer(located, containers)
  if (attached === null || attached.id === container.id) return container
  return {
    ports: [...container.ports, ...attached.ports],
    published: [...container.published, ...attached.published],
  }
}

/** False when Docker knows ports of the container, and this is none of them. */
export function hasPort({ ports }: Ports, port: number): boolean {
  return ports.length === 0 || ports.includes(port)
}

/**
 * The port of a container that a port registered with its own address means: some register the host's with it, which is
 * another one after a restart. `bound` is what it meant when that was last known; null: it never was.
 */
export function ownPort(known: Ports, port: number, bound: number | null): number {
  if (known.ports.includes(port)) return port
  const published = known.published.find(({ hostPort }) => hostPort === port)?.containerPort
  if (published !== undefined) return published
  return bound !== null && known.ports.includes(bound) ? bound : port
}

/**
 * As `ownPort` for a container found by its name at another address: a host port chosen by Docker is another one since, the
 * ServiceID's is not. Null: it has no such port, so that it is hardly what was registered.
 */
export function movedPort(known: Ports, port: number, id: RegistratorId | null, bound: number | null): number | null {
  const now = ownPort(known, port, bound)
  if (hasPort(known, now)) return now
  return id !== null && known.ports.includes(id.port) ? id.port : null
}

/** The port of a container that a port registered with the host's address means; null when there is none. */
export function hostPort(known: Ports, port: number, id: RegistratorId | null): number | null {
  if (id !== null && known.ports.includes(id.port)) return id.port
  const published = known.published.find((mapping) => mapping.hostPort === port)
  if (published !== undefined) return published.containerPort
  return known.ports.includes(port) ? port : (id?.port ?? null)
}
