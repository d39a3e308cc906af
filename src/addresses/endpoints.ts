import { type ProblemCode, problem } from '../problems.ts'
import type { AddressSource, Endpoint, Instance } from '../types.ts'
import { registeredAddress } from './agreement.ts'
import type { Located } from './containers.ts'
import type { Context } from './context.ts'

/** `located`: the container that proves the address, if one does. */
export function reachable(
  context: Context,
  address: string,
  port: number,
  source: AddressSource,
  located: Located | null,
): Extract<Endpoint, { kind: 'reachable' }> {
  const { instance } = context
  return {
    kind: 'reachable',
    instance,
    address,
    port,
    source,
    isCorrected: false,
    container: proofOf(context, located),
  }
}

/**
 * That a container has an address or a port now is no proof by the last word of an engine that does not answer: it may be of
 * the container before. What is remembered for good must not rest on it.
 */
function proofOf(
  { book, binding }: Context,
  located: Located | null,
): { id: string; name: string; startedAt: string } | null {
  if (located === null) return null
  const { id, name, startedAt } = located.container
  return book.complete.has(located.node) || binding?.container === id ? { id, name, startedAt } : null
}

export function notRunning(instance: Instance, { container }: Located): Endpoint {
  return { kind: 'dead', instance, why: `container ${container.name} is not running` }
}

export function reused({ instance, claim }: Context, owner: Located): Endpoint {
  const reason = `the address belongs to container ${owner.container.name} on ${owner.node}`
  return unresolved(instance, 'address-reused', claim.address, reason)
}

export function reusedInWeave({ instance, claim }: Context, containerId: string): Endpoint {
  const reason = `the address belongs to container ${containerId.slice(0, 12)}, says weave`
  return unresolved(instance, 'address-reused', claim.address, reason)
}

export function noSuchPort(instance: Instance, { container }: Located): Endpoint {
  const reason = `container ${container.name} neither has nor publishes port ${instance.port}`
  return unresolved(instance, 'bad-port', registeredText(instance), reason)
}

export function unresolved(instance: Instance, code: ProblemCode, subject: string, reason: string): Endpoint {
  const about = { service: instance.service, instance: instance.key, subject, reason }
  return { kind: 'unresolved', instance, problem: problem(code, about) }
}

export function registeredText(instance: Instance): string {
  return `${registeredAddress(instance)}:${instance.port}`
}
