import type { Container, Endpoint } from '../types.ts'
import { mappingsOf, weaveOwnerOf } from './agreement.ts'
import { fallBack } from './at-node.ts'
import { hasPort, hostPort, movedPort, ownPort, portsOf } from './container-ports.ts'
import { attachedContainer, type Located } from './containers.ts'
import type { AddressBook, Context } from './context.ts'
import { noSuchPort, notRunning, reachable, registeredText, reused, reusedInWeave, unresolved } from './endpoints.ts'
import { fromReport } from './from-weave.ts'
import type { Identity, Unseen } from './identity.ts'
import { isContainerHost } from './registrator-id.ts'

type Known = Extract<Identity, { kind: 'container' }>

export function refusePort({ instance, id }: Context): Endpoint | null {
  const { port } = instance
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    return unresolved(instance, 'bad-port', String(port), `${port} is not a port`)
  }
  if (id?.isUdp !== true) return null
  return unresolved(instance, 'bad-port', instance.id, 'registered with a UDP port, HAProxy takes TCP only')
}

/** Goes down the chain. The port has been looked at, see `refusePort`. */
export function resolve(context: Context, identity: Identity): Endpoint {
  const { instance, claim, book } = context
  if (identity.kind === 'gone') {
    const reason = `Docker on ${instance.node} knows no container ${identity.name}`
    return unresolved(instance, 'container-gone', instance.id, reason)
  }
  const located = identity.kind === 'container' ? identity.located : null
  if (located !== null) {
    if (!located.container.running) return notRunning(instance, located)
    const attachment = book.containers.attachment(located)
    if (attachment.kind === 'down') {
      const why = `container ${located.container.name} uses the network of ${attachment.name}, which is not running or was started again`
      return { kind: 'dead', instance, why }
    }
  }
  if (claim.verdict === 'usable') {
    return identity.kind === 'container' ? verifyClaim(context, identity) : trustClaim(context, identity)
  }
  return fromDocker(context, identity) ?? fromReport(context, located) ?? fallBack(context, identity)
}

/** The claim of an instance whose container is known and runs. */
function verifyClaim(context: Context, { located: own, by }: Known): Endpoint {
  const { instance, id, claim, book, binding } = context
  const attached = attachedContainer(own, book.containers)
  const known = portsOf(own, book.containers)
  const [other] = book.containers.owners(claim.address)
  const weaveOwner = weaveOwnerOf(claim.address, book)
  const isOwn = weaveOwner !== null && (weaveOwner === own.container.id || weaveOwner === attached?.id)
  const port = claimedPort(context, own)
  if (isOwn || attached?.addresses.includes(claim.address)) {
    const isLaterMake = by === 'name' && binding !== null
    return isLaterMake && !hasPort(known, port)
      ? noSuchPort(instance, own)
      : reachable(context, claim.address, port, claim.source, own)
  }
  const present = presentAddress(attached, book)
  if (present !== null) {
    const moved = movedPort(known, instance.port, id, binding?.port ?? null)
    // Docker need not know every port; the very container that was meant has them all wherever it is
    if (moved === null && by === 'name') return noSuchPort(instance, own)
    return { ...reachable(context, present, moved ?? instance.port, 'docker', own), isCorrected: true }
  }
  if (other !== undefined) return reused(context, other)
  if (weaveOwner !== null) return reusedInWeave(context, weaveOwner)
  return reachable(context, claim.address, port, claim.source, null)
}

/** The claim of an instance whose container can't be seen, or is not known. */
function trustClaim(context: Context, identity: Exclude<Identity, Known>): Endpoint {
  const { instance, claim, book } = context
  const owners = book.containers.owners(claim.address)
  const here = owners.filter(({ node }) => node === instance.node)
  const [owner, another] = here.length > 0 ? here : owners
  const weaveOwner = weaveOwnerOf(claim.address, book)
  if (identity.kind === 'unseen') {
    if (owner !== undefined && isOtherThan(identity, owner.container.id, context)) return reused(context, owner)
    if (weaveOwner !== null && isOtherThan(identity, weaveOwner, context)) return reusedInWeave(context, weaveOwner)
  }
  const only = owner !== undefined && another === undefined ? owner : null
  return reachable(context, claim.address, claimedPort(context, only), claim.source, only)
}

/**
 * Whether the owner of an address is another container than one that can't be seen. Where only one of them has a name, or an
 * id, that is known, nothing says so.
 */
function isOtherThan({ id, name }: Unseen, ownerId: string, { instance, book }: Context): boolean {
  const owner = book.containers.byId(ownerId)
  // an engine that is asked under another name than its node's may have it
  if (owner !== null && owner.node !== instance.node && book.containers.hasEngine(instance.node)) return true
  const names = owner === null ? (book.weave?.namesOf(ownerId) ?? []) : [owner.container.name.toLowerCase()]
  if (name !== null && names.length > 0) return !names.includes(name.toLowerCase())
  return id !== null && !ownerId.startsWith(id)
}

/** The registered port goes with the registered address: with an address of its own it may be the host's. */
function claimedPort(context: Context, located: Located | null): number {
  const { instance, id, claim, book, binding } = context
  if (located !== null) {
    const ports = portsOf(located, book.containers)
    if (claim.source === 'catalog') return ownPort(ports, instance.port, binding?.port ?? null)
    return hostPort(ports, instance.port, id) ?? instance.port
  }
  if (claim.source === 'catalog' || id === null) return instance.port
  const isRegistrators = isContainerHost(id.host) || book.isRegistratorHost(instance.node, id.host)
  return isRegistrators ? id.port : instance.port
}

/** Null: Docker has no address for it. */
function fromDocker(context: Context, identity: Identity): Endpoint | null {
  const { instance, id, book } = context
  if (identity.kind === 'container') {
    const attached = attachedContainer(identity.located, book.containers)
    const address = presentAddress(attached, book)
    if (address === null) return null
    const known = portsOf(identity.located, book.containers)
    const port = hostPort(known, instance.port, id)
    if (port !== null && (identity.by === 'id' || hasPort(known, port)))
      return reachable(context, address, port, 'docker', identity.located)
    return book.fallback === 'node' ? null : noSuchPort(instance, identity.located)
  }
  // It is a certain container: that another one has its host port now says nothing.
  if (identity.kind !== 'unknown') return null
  const mappings = mappingsOf(instance, book)
  const [mapping] = mappings
  if (mapping === undefined) return null
  if (mappings.some(({ located }) => located.container.id !== mapping.located.container.id)) {
    const names = [...new Set(mappings.map(({ located }) => located.container.name))].sort().join(', ')
    const reason = `several containers publish port ${instance.port} on ${instance.node}: ${names}`
    return unresolved(instance, 'ambiguous-address', registeredText(instance), reason)
  }
  const address = presentAddress(attachedContainer(mapping.located, book.containers), book)
  if (address === null) return null
  return reachable(context, address, mapping.containerPort, 'docker', mapping.located)
}

function presentAddress(attached: Container | null, { rules }: AddressBook): string | null {
  return attached?.addresses.find((address) => rules.judge(address) === 'usable') ?? null
}
