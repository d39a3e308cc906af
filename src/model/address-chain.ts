import { type ProblemCode, problem } from '../problems.ts'
import type { AddressSource, Container, Endpoint, Instance, ModelSettings } from '../types.ts'
import { hostPort, movedPort, ownPort, portsOf } from './container-ports.ts'
import type { Located, Mapping } from './containers.ts'
import type { Evidence, Identity, RegistratorId } from './identity.ts'
import type { AddressRules, AddressVerdict } from './ipv4.ts'
import type { WeaveAddress, WeaveIndex } from './weave-names.ts'

/** Everything known about addresses at one moment, indexed. */
export interface AddressBook extends Evidence {
  readonly weave: WeaveIndex | null
  readonly rules: AddressRules
  readonly fallback: ModelSettings['weave']['fallback']
  /** Of the meta key that gives an address. */
  readonly metaKey: string
}

/** The address that the catalog gives for the container itself, if it may be one. */
export interface Claim {
  readonly address: string
  readonly source: 'catalog' | 'weave-address'
  readonly verdict: AddressVerdict
}

/** One instance with all that its address can be found by. */
export interface Context {
  readonly instance: Instance
  readonly id: RegistratorId | null
  readonly claim: Claim
  readonly book: AddressBook
  /** The container's port when it was last proved, of an instance that is registered as it was then. */
  readonly boundPort: number | null
}

/** The first usable one; when none is, the one that was meant most explicitly. */
export function claimOf(instance: Instance, { rules, metaKey }: AddressBook): Claim {
  const registered = instance.address || instance.nodeAddress
  const verdict = rules.judge(registered)
  if (verdict === 'usable') return { address: registered, source: 'catalog', verdict }
  let refused: Claim | null = null
  for (const address of [instance.weaveAddress, instance.meta.get(metaKey)]) {
    if (address == null || address === '') continue
    const claim = { address, source: 'weave-address', verdict: rules.judge(address) } as const
    if (claim.verdict === 'usable') return claim
    refused ??= claim
  }
  return refused ?? { address: registered, source: 'catalog', verdict }
}

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
    const { container } = located
    if (!container.running) return { kind: 'dead', instance, why: `container ${container.name} is not running` }
    const attachment = book.containers.attachment(located)
    if (attachment.kind === 'down') {
      const why = `container ${container.name} uses the network of ${attachment.name}, which is not running or was started again`
      return { kind: 'dead', instance, why }
    }
  }
  if (claim.verdict === 'usable') {
    return located === null ? trustClaim(context, identity) : verifyClaim(context, located)
  }
  return fromDocker(context, identity) ?? fromReport(context, located) ?? fallBack(context, identity)
}

/** The claim of an instance whose container is known and runs. */
function verifyClaim(context: Context, own: Located): Endpoint {
  const { instance, id, claim, book } = context
  const attached = attachedContainer(own, book)
  const keep = (proof: Located | null) =>
    reachable(instance, claim.address, claimedPort(context, own), claim.source, proof)
  if (attached?.addresses.includes(claim.address)) return keep(own)
  const [other] = book.containers.owners(claim.address)
  // Docker does not know addresses that weave attached later.
  const weaveOwner = book.weave?.ownerOf(claim.address) ?? null
  if (other === undefined && (weaveOwner === own.container.id || weaveOwner === attached?.id)) return keep(own)
  const present = presentAddress(attached, book)
  if (present !== null) {
    const port = movedPort(portsOf(own.container, attached), instance.port, id, context.boundPort)
    return { ...reachable(instance, present, port, 'docker', own), isCorrected: true }
  }
  if (other !== undefined) return reused(context, other)
  return weaveOwner === null ? keep(null) : reusedInWeave(context, weaveOwner)
}

/** The claim of an instance whose container can't be seen, or is not known. */
function trustClaim(context: Context, identity: Identity): Endpoint {
  const { instance, id, claim, book } = context
  const owners = book.containers.owners(claim.address)
  const here = owners.filter(({ node }) => node === instance.node)
  const [owner, another] = here.length > 0 ? here : owners
  if (owner === undefined) {
    const weaveOwner = identity.kind === 'unseen' ? (book.weave?.ownerOf(claim.address) ?? null) : null
    if (weaveOwner !== null) return reusedInWeave(context, weaveOwner)
    return reachable(instance, claim.address, claimedPort(context, null), claim.source, null)
  }
  // An engine that is asked under another name than its node's has it.
  const isNamesake = id?.name === owner.container.name && !book.containers.hasEngine(instance.node)
  if (identity.kind === 'unseen' && !isNamesake) return reused(context, owner)
  const only = another === undefined ? owner : null
  return reachable(instance, claim.address, claimedPort(context, only), claim.source, onFreshWord(only, book))
}

/**
 * That a container has an address or a port now is no proof by the last word of an engine that does not answer: it may be of
 * the container before. What is remembered for good must not rest on it.
 */
function onFreshWord(located: Located | null, { complete }: AddressBook): Located | null {
  return located !== null && complete.has(located.node) ? located : null
}

/** The registered port goes with the registered address: with an address of its own it may be the host's. */
function claimedPort(context: Context, located: Located | null): number {
  const { instance, id, claim, book } = context
  if (located !== null) {
    const ports = portsOf(located.container, attachedContainer(located, book))
    if (claim.source === 'catalog') return ownPort(ports, instance.port, context.boundPort)
    return hostPort(ports, instance.port, id) ?? instance.port
  }
  const isRegistrator = id !== null && book.isRegistratorHost(instance.node, id.host)
  return claim.source === 'weave-address' && isRegistrator ? id.port : instance.port
}

/** Null: Docker has no address for it. */
function fromDocker(context: Context, identity: Identity): Endpoint | null {
  const { instance, id, book } = context
  if (identity.kind === 'container') {
    const attached = attachedContainer(identity.located, book)
    const address = presentAddress(attached, book)
    if (address === null) return null
    const port = hostPort(portsOf(identity.located.container, attached), instance.port, id)
    if (port !== null) return reachable(instance, address, port, 'docker', identity.located)
    if (book.fallback === 'node') return null
    const reason = `container ${identity.located.container.name} neither has nor publishes port ${instance.port}`
    return unresolved(instance, 'bad-port', registeredText(instance), reason)
  }
  // It is a certain container: that another one has its host port now says nothing.
  if (identity.kind !== 'unknown') return null
  const mappings = mappingsOf(context)
  const [mapping] = mappings
  if (mapping === undefined) return null
  if (mappings.some(({ located }) => located.container.id !== mapping.located.container.id)) {
    const names = [...new Set(mappings.map(({ located }) => located.container.name))].sort().join(', ')
    const reason = `several containers publish port ${instance.port} on ${instance.node}: ${names}`
    return unresolved(instance, 'ambiguous-address', registeredText(instance), reason)
  }
  const address = presentAddress(attachedContainer(mapping.located, book), book)
  if (address === null) return null
  return reachable(instance, address, mapping.containerPort, 'docker', onFreshWord(mapping.located, book))
}

/** Published ports that the registered host address and port can mean. */
function mappingsOf({ instance, book }: Context): readonly Mapping[] {
  const registered = instance.address || instance.nodeAddress
  const isHost = isHostsAddress(instance, book)
  return book.containers
    .published(instance.node, instance.port)
    .filter(({ hostAddress }) => hostAddress === registered || (isHost && hostAddress === '0.0.0.0'))
}

/** An address of some other machine is not made one of this node's containers by the port they share. */
function isHostsAddress({ address, nodeAddress }: Instance, { rules }: AddressBook): boolean {
  const registered = address || nodeAddress
  const isBridge = rules.judge(registered) === 'reserved'
  return registered === nodeAddress || isBridge || registered === '0.0.0.0' || isLoopback(registered)
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.')
}

/** Null: the report has no address for it. */
function fromReport(context: Context, own: Located | null): Endpoint | null {
  const { instance, id, book } = context
  if (book.weave === null) return null
  const names = [own?.container.name, id?.name, instance.service].filter((name) => name !== undefined)
  let found = own === null ? [] : book.weave.ofContainer(own.container.id)
  for (const name of names) {
    if (found.length > 0) break
    found = book.weave.ofName(instance, name).filter(({ containerId }) => own === null || !isOther(own, containerId))
  }
  const usable = found.filter((given) => book.rules.judge(given.address) === 'usable')
  const [given] = usable
  if (given === undefined) return null
  if (new Set(usable.map(({ address }) => address)).size > 1) {
    const addresses = [...new Set(usable.map(({ address }) => address))].sort().join(', ')
    return unresolved(instance, 'ambiguous-address', registeredText(instance), `weave gives several: ${addresses}`)
  }
  return takeGiven(context, own, given)
}

/** Names can be given to anything; a whole container id of another container is not ours. */
function isOther(own: Located, containerId: string): boolean {
  return /^[0-9a-f]{64}$/.test(containerId) && containerId !== own.container.id
}

function takeGiven(context: Context, own: Located | null, given: WeaveAddress): Endpoint {
  const { instance, id, book } = context
  const { address, containerId, source } = given
  const owners = book.containers.owners(address)
  const owner = owners.find(({ container }) => container.id === containerId)
  if (owner === undefined && owners[0] !== undefined) return reused(context, owners[0])
  const weaveOwner = book.weave?.ownerOf(address) ?? null
  if (owner === undefined && weaveOwner !== null && weaveOwner !== containerId)
    return reusedInWeave(context, weaveOwner)
  const isProved = owner !== undefined || weaveOwner === containerId
  if (!isProved && book.weave?.isContested(address)) {
    const reason = `weave has names of several containers for ${address}`
    return unresolved(instance, 'ambiguous-address', registeredText(instance), reason)
  }
  const container = own ?? book.containers.byId(containerId)
  if (container?.container.running === false) {
    return { kind: 'dead', instance, why: `container ${container.container.name} is not running` }
  }
  const ports = container === null ? null : portsOf(container.container, attachedContainer(container, book))
  const port = (ports === null ? null : hostPort(ports, instance.port, id)) ?? id?.port ?? instance.port
  return reachable(instance, address, port, source, container)
}

function fallBack(context: Context, identity: Identity): Endpoint {
  const { instance, claim, book } = context
  const own = identity.kind === 'container' ? identity.located : null
  const isOnHost = own !== null && book.containers.attachment(own).kind === 'host'
  if (book.fallback === 'node') return atNode(context, identity, isOnHost)
  if (isOnHost) {
    const why = `container ${own.container.name} uses the network of its host, and weave.fallback is none`
    return unresolved(instance, 'no-address', registeredText(instance), why)
  }
  const [code, reason] = refusals[claim.verdict]
  return unresolved(instance, code, claim.address, reason)
}

/** The address of the node with the port it publishes: what `weave.fallback: node` allows. */
function atNode(context: Context, identity: Identity, isOnHost: boolean): Endpoint {
  const { instance, claim, book } = context
  const node = instance.nodeAddress
  const own = identity.kind === 'container' ? identity.located : null
  if (!book.rules.isHost(node)) {
    const code = book.rules.judge(node) === 'malformed' ? 'bad-address' : 'address-not-allowed'
    return unresolved(instance, code, node, 'the address of its node cannot be used')
  }
  if (own !== null && !isOnHost) {
    const port = publishedPort(context, own)
    if (port !== null) return reachable(instance, node, port, 'node', own)
    const reason = `container ${own.container.name} does not publish port ${instance.port}`
    return unresolved(instance, 'bad-port', registeredText(instance), reason)
  }
  if (own === null) {
    const [mapping] = mappingsOf(context)
    if (identity.kind === 'unseen' && mapping !== undefined) return reused(context, mapping.located)
    if (mapping === undefined && !isHostsAddress(instance, book)) {
      const [code, reason] = refusals[claim.verdict]
      return unresolved(instance, code, claim.address, `${reason}; it is not its node's either`)
    }
  }
  return reachable(instance, node, instance.port, 'node', own)
}

/** The port of its host by which a container is reached now; null: none. */
function publishedPort({ instance, id, book }: Context, own: Located): number | null {
  const { published } = portsOf(own.container, attachedContainer(own, book))
  const open = published.filter(({ hostAddress }) => !isLoopback(hostAddress))
  if (open.some(({ hostPort }) => hostPort === instance.port)) return instance.port
  const port = id?.port ?? instance.port
  return open.find(({ containerPort }) => containerPort === port)?.hostPort ?? null
}

const elsewhere = 'no other source knows a weave address'
const refusals: Readonly<Record<AddressVerdict, readonly [ProblemCode, string]>> = {
  usable: ['no-address', elsewhere],
  outside: ['no-address', `the address lies outside weave.cidr, and ${elsewhere}`],
  malformed: ['bad-address', `expected an IPv4 address, and ${elsewhere}`],
  reserved: ['address-not-allowed', `the address is reserved for hosts (weave.reserved), and ${elsewhere}`],
  special: ['address-not-allowed', `no container has such an address, and ${elsewhere}`],
}

/** The container whose network it is; null when that can't be told, or is the host's. */
function attachedContainer(located: Located, book: AddressBook): Container | null {
  const attachment = book.containers.attachment(located)
  return attachment.kind === 'own' ? attachment.container : null
}

function presentAddress(attached: Container | null, { rules }: AddressBook): string | null {
  return attached?.addresses.find((address) => rules.judge(address) === 'usable') ?? null
}

function reachable(
  instance: Instance,
  address: string,
  port: number,
  source: AddressSource,
  located: Located | null,
): Extract<Endpoint, { kind: 'reachable' }> {
  const container = located === null ? null : lifeOf(located.container)
  return { kind: 'reachable', instance, address, port, source, isCorrected: false, container }
}

function lifeOf({ id, name, startedAt }: Container): { id: string; name: string; startedAt: string } {
  return { id, name, startedAt }
}

function reusedInWeave({ instance, claim }: Context, containerId: string): Endpoint {
  const reason = `the address belongs to container ${containerId.slice(0, 12)}, says weave`
  return unresolved(instance, 'address-reused', claim.address, reason)
}

function reused({ instance, claim }: Context, owner: Located): Endpoint {
  const reason = `the address belongs to container ${owner.container.name} on ${owner.node}`
  return unresolved(instance, 'address-reused', claim.address, reason)
}

function unresolved(instance: Instance, code: ProblemCode, subject: string, reason: string): Endpoint {
  const about = { service: instance.service, instance: instance.key, subject, reason }
  return { kind: 'unresolved', instance, problem: problem(code, about) }
}

function registeredText(instance: Instance): string {
  return `${instance.address || instance.nodeAddress}:${instance.port}`
}
