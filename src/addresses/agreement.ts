import type { Instance } from '../types.ts'
import type { ContainerIndex, Located, Mapping } from './containers.ts'
import type { AddressRules } from './ipv4.ts'
import type { WeaveIndex } from './weave-names.ts'

/** Where containers and addresses are, as far as Docker and weave tell. */
export interface Whereabouts {
  readonly containers: ContainerIndex
  readonly weave: WeaveIndex | null
  readonly rules: AddressRules
}

/**
 * By what a running container has what an instance registered: `address`, which is its own; `published`, a port of its
 * host that leads to it; `host`, whose network it uses, as any process there does.
 */
export type Agreement =
  | { readonly kind: 'address' }
  | { readonly kind: 'published'; readonly containerPort: number }
  | { readonly kind: 'host' }

/** Null: the container has something else. A port of the host says something only where an address of the host is registered. */
export function agreementOf(instance: Instance, located: Located, whereabouts: Whereabouts): Agreement | null {
  const attachment = whereabouts.containers.attachment(located)
  if (attachment.kind === 'host') {
    return located.node === instance.node && isHostsAddress(instance, whereabouts.rules) ? { kind: 'host' } : null
  }
  if (attachment.kind !== 'own') return null
  const ids = [located.container.id, attachment.container.id]
  const registered = registeredAddress(instance)
  if (attachment.container.addresses.includes(registered)) return { kind: 'address' }
  if (ids.includes(weaveOwnerOf(registered, whereabouts) ?? '')) return { kind: 'address' }
  const mapping = mappingsOf(instance, whereabouts).find(({ located }) => ids.includes(located.container.id))
  return mapping === undefined ? null : { kind: 'published', containerPort: mapping.containerPort }
}

/**
 * Id of the container that weave handed the address out to, which Docker does not know of one that weave attached later; null
 * where Docker knows better.
 */
export function weaveOwnerOf(address: string, { containers, weave }: Whereabouts): string | null {
  return containers.owners(address).length === 0 ? (weave?.ownerOf(address) ?? null) : null
}

/** Published ports that the registered address and port can mean. */
export function mappingsOf(instance: Instance, { containers, rules }: Whereabouts): readonly Mapping[] {
  const registered = registeredAddress(instance)
  const isHosts = isHostsAddress(instance, rules)
  return containers
    .published(instance.node, instance.port)
    .filter(({ hostAddress }) => hostAddress === registered || (isHosts && hostAddress === anyAddress))
}

/** What a port is published on that is open on every address of its host. */
export const anyAddress = '0.0.0.0'

/** An address of some other machine is not made one of this node's containers by the port they share. */
export function isHostsAddress(instance: Instance, rules: AddressRules): boolean {
  const registered = registeredAddress(instance)
  const isBridge = rules.judge(registered) === 'reserved'
  return registered === instance.nodeAddress || isBridge || registered === anyAddress || registered.startsWith('127.')
}

/** Left out, it is that of the node. */
export function registeredAddress({ address, nodeAddress }: Instance): string {
  return address || nodeAddress
}
