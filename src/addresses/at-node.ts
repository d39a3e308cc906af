import type { ProblemCode } from '../problems.ts'
import type { Endpoint, Instance } from '../types.ts'
import { anyAddress, isHostsAddress, mappingsOf, registeredAddress } from './agreement.ts'
import { ownPort, portsOf } from './container-ports.ts'
import { attachedContainer, type Located } from './containers.ts'
import type { Context } from './context.ts'
import { reachable, registeredText, reused, unresolved } from './endpoints.ts'
import type { Identity } from './identity.ts'
import type { AddressVerdict } from './ipv4.ts'

/** The end of the chain: no source has an address of the container. */
export function fallBack(context: Context, identity: Identity): Endpoint {
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
  if (!book.rules.isHost(node)) {
    const code = book.rules.judge(node) === 'malformed' ? 'bad-address' : 'address-not-allowed'
    return unresolved(instance, code, node, 'the address of its node cannot be used')
  }
  if (identity.kind === 'container') {
    const own = identity.located
    const port = isOnHost ? instance.port : publishedPort(context, own)
    return port === null ? notPublished(instance, own) : reachable(context, node, port, 'node', own)
  }
  const mappings = mappingsOf(instance, book)
  const open = mappings.find(({ hostAddress }) => isOpenAtNode(hostAddress, instance))
  const mapping = open ?? mappings[0]
  if (mapping !== undefined) {
    if (identity.kind === 'unseen') return reused(context, mapping.located)
    if (open === undefined) return notPublished(instance, mapping.located)
  } else if (!isHostsAddress(instance, book.rules)) {
    const [code, reason] = refusals[claim.verdict]
    return unresolved(instance, code, claim.address, `${reason}; it is not its node's either`)
  }
  return reachable(context, node, instance.port, 'node', mapping?.located ?? null)
}

/** The port of its node by which a container is reached now; null: none. */
function publishedPort({ instance, id, book, binding }: Context, own: Located): number | null {
  const attached = attachedContainer(own, book.containers)
  const known = portsOf(own, book.containers)
  const open = known.published.filter(({ hostAddress }) => isOpenAtNode(hostAddress, instance))
  const publishing = (port: number) => open.find(({ containerPort }) => containerPort === port)?.hostPort ?? null
  if (attached?.addresses.includes(registeredAddress(instance))) {
    return publishing(ownPort(known, instance.port, binding?.port ?? null))
  }
  if (open.some(({ hostPort }) => hostPort === instance.port)) return instance.port
  return publishing(id?.port ?? instance.port)
}

function isOpenAtNode(hostAddress: string, { nodeAddress }: Instance): boolean {
  return hostAddress === anyAddress || hostAddress === nodeAddress
}

function notPublished(instance: Instance, { container }: Located): Endpoint {
  const reason = `container ${container.name} does not publish port ${instance.port} at the address of its node`
  return unresolved(instance, 'bad-port', registeredText(instance), reason)
}

const elsewhere = 'no other source knows a weave address'
const refusals: Readonly<Record<AddressVerdict, readonly [ProblemCode, string]>> = {
  usable: ['no-address', elsewhere],
  outside: ['no-address', `the address lies outside weave.cidr, and ${elsewhere}`],
  malformed: ['bad-address', `expected an IPv4 address, and ${elsewhere}`],
  reserved: ['address-not-allowed', `the address is reserved for hosts (weave.reserved), and ${elsewhere}`],
  special: ['address-not-allowed', `no container has such an address, and ${elsewhere}`],
}
