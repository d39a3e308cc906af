import { isDeepStrictEqual } from 'node:util'
import type { Binding, Endpoint, Instance } from '../types.ts'
import type { ContainerIndex, Located } from './containers.ts'

/** What registrator puts into a ServiceID: `<its host>:<container name>:<container port>[:udp]`. */
export interface RegistratorId {
  readonly host: string
  readonly name: string
  readonly port: number
  readonly isUdp: boolean
}

/** Which container an instance is. */
export type Identity =
  | { readonly kind: 'container'; readonly located: Located }
  /** It was a container of this name, which its engine knows no more. */
  | { readonly kind: 'gone'; readonly name: string }
  /** It is a certain container, though not one that can be seen: an address of another one is not its address. */
  | { readonly kind: 'unseen' }
  /** Nothing says which container it is, if it is one at all. */
  | { readonly kind: 'unknown' }

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

interface ProvedHosts {
  readonly containers: ContainerIndex
  readonly hosts: HostsByNode
}
const provedHosts = new WeakMap<readonly Instance[], ProvedHosts>()

/** Host parts of ServiceIDs that are known to be registrator's, by node. */
export type HostsByNode = ReadonlyMap<string, ReadonlySet<string>>

/**
 * Host parts of ServiceIDs whose container the engine of their node knows, with what is registered. Any text can look like
 * a ServiceID of registrator; that one of them names its container shows who wrote the others.
 */
export function proveHosts(instances: readonly Instance[], containers: ContainerIndex): HostsByNode {
  const known = provedHosts.get(instances)
  if (known?.containers === containers) return known.hosts
  const hosts = new Map<string, Set<string>>()
  for (const [index, parsed] of parseRegistratorIds(instances).entries()) {
    const instance = instances[index]
    if (parsed === null || instance === undefined || hosts.get(instance.node)?.has(parsed.host)) continue
    const { node } = instance
    const located = containers.named(node, parsed.name)
    if (located !== null && agrees(instance, located, containers)) addHost(hosts, node, parsed.host)
  }
  provedHosts.set(instances, { containers, hosts })
  return hosts
}

export function addHost(hosts: Map<string, Set<string>>, node: string, host: string): void {
  const known = hosts.get(node)
  if (known === undefined) hosts.set(node, new Set([host]))
  else known.add(host)
}

/** All that the catalog says of where an instance is, but the meta key: when it changes, the catalog has news. */
export function registrationOf(instance: Instance): string {
  const registered = `${instance.address || instance.nodeAddress}:${instance.port}`
  return instance.weaveAddress === null ? registered : `${registered} ${instance.weaveAddress}`
}

/** False when the instance was registered anew, or otherwise, since: then its container may be another one. */
export function bindingHolds(binding: Binding, instance: Instance): boolean {
  return binding.createIndex === instance.createIndex && binding.address === registrationOf(instance)
}

/**
 * What to remember of an endpoint; `before` is what was remembered. While nothing proves a container, that is the
 * last one proved: what served before the address went to another container must not be forgotten then.
 */
export function bindingOf(endpoint: Endpoint, before: Binding | undefined): Binding | undefined {
  if (endpoint.kind !== 'reachable' || endpoint.container === null) return before
  const { id: container, name, startedAt } = endpoint.container
  const address = registrationOf(endpoint.instance)
  const { createIndex } = endpoint.instance
  const binding = { container, name, startedAt, port: endpoint.port, address, createIndex }
  return before !== undefined && isDeepStrictEqual(before, binding) ? before : binding
}

export interface Evidence {
  readonly containers: ContainerIndex
  /** Nodes whose engine is up to date: a container it does not list does not exist. */
  readonly complete: ReadonlySet<string>
  readonly isWholeComplete: boolean
  /** Whether a registrator with this host name registers for the node. In a container, it has a random one. */
  readonly isRegistratorHost: (node: string, host: string) => boolean
}

/** `binding` is one that still holds, see `bindingHolds`. */
export function identify(
  instance: Instance,
  parsed: RegistratorId | null,
  binding: Binding | null,
  evidence: Evidence,
): Identity {
  const { containers, complete } = evidence
  const explicit = explicitReferences(instance)
  for (const reference of explicit) {
    const located = containers.find(instance.node, reference)
    if (located !== null) return { kind: 'container', located }
  }
  const isRegistrators = parsed !== null && evidence.isRegistratorHost(instance.node, parsed.host)
  if (parsed !== null) {
    const located = containers.named(instance.node, parsed.name)
    // what looks like an id of registrator names a container only where registrator wrote it, or where both say the same
    if (located !== null && (isRegistrators || agrees(instance, located, containers)))
      return { kind: 'container', located }
  }
  const bound = binding === null ? null : containers.byId(binding.container)
  const successor = binding === null || bound?.container.running ? null : successorOf(binding, instance, containers)
  if (successor !== null) return { kind: 'container', located: successor }
  if (bound !== null) return { kind: 'container', located: bound }
  if (isRegistrators) {
    return complete.has(instance.node) ? { kind: 'gone', name: parsed.name } : { kind: 'unseen' }
  }
  if (binding !== null) {
    const isGone = evidence.isWholeComplete && complete.has(instance.node)
    return isGone ? { kind: 'gone', name: binding.container.slice(0, 12) } : { kind: 'unseen' }
  }
  return { kind: explicit.some((reference) => /^[0-9a-f]{12,64}$/.test(reference)) ? 'unseen' : 'unknown' }
}

/**
 * A container that was removed and made again under its name, as `docker rm` and `docker run` do, without being registered
 * anew: it has to have what is registered, or its name is all that it has in common.
 */
function successorOf({ name }: Binding, instance: Instance, containers: ContainerIndex): Located | null {
  const located = name === '' ? null : containers.named(instance.node, name)
  return located?.container.running && agrees(instance, located, containers) ? located : null
}

/** Whether a container has the address, or publishes the host port, that is registered. */
function agrees(instance: Instance, located: Located, containers: ContainerIndex): boolean {
  const attachment = containers.attachment(located)
  if (attachment.kind === 'host') return true
  if (attachment.kind !== 'own') return false
  const { container } = attachment
  if (container.addresses.includes(instance.address || instance.nodeAddress)) return true
  const publishers = containers.published(instance.node, instance.port).map((mapping) => mapping.located.container.id)
  return publishers.includes(located.container.id) || publishers.includes(container.id)
}

/** Meta keys that name the container of an instance, by id or name. */
export const containerMetaKeys: ReadonlySet<string> = new Set(['container_id', 'container-id', 'docker-id'])
/** Beginning of tags that name it by its Marathon task. */
export const containerTag = 'marathon-task:'

function explicitReferences(instance: Instance): readonly string[] {
  if (instance.meta.size === 0 && instance.tags.length === 0) return []
  const references: string[] = []
  for (const key of containerMetaKeys) {
    const value = instance.meta.get(key)
    if (value !== undefined && value !== '') references.push(value)
  }
  for (const tag of instance.tags) {
    if (!tag.startsWith(containerTag)) continue
    const task = tag.slice(containerTag.length)
    references.push(`mesos-${task}`, task)
  }
  return references
}
