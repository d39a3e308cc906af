import { isDeepStrictEqual } from 'node:util'
import type { Binding, Endpoint, Instance } from '../types.ts'
import { agreementOf, registeredAddress, type Whereabouts } from './agreement.ts'
import { hasPort, portsOf } from './container-ports.ts'
import { type ContainerIndex, isIdPrefix, type Located } from './containers.ts'
import { bearsOut } from './registrator.ts'
import { isContainerHost, type RegistratorId } from './registrator-id.ts'

/** Which container an instance is. */
export type Identity =
  /** `id`: the very container that is meant or was bound. `name`: one of its name, which may be of a later make. */
  | { readonly kind: 'container'; readonly by: 'id' | 'name'; readonly located: Located }
  /** It was a container of this name, which its engine knows no more. */
  | { readonly kind: 'gone'; readonly name: string }
  | Unseen
  /** Nothing says which container it is, if it is one at all. */
  | { readonly kind: 'unknown' }

/**
 * It is a certain container, though not one that can be seen: an address of another one is not its address. `name` is its
 * name, `id` its id or the beginning of it; null: not known, or known only of one before it.
 */
export interface Unseen {
  readonly kind: 'unseen'
  readonly id: string | null
  readonly name: string | null
}

/** All that the catalog says of where an instance is, but the meta key: when it changes, the catalog has news. */
export function registrationOf(instance: Instance): string {
  const registered = `${registeredAddress(instance)}:${instance.port}`
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

export interface Evidence extends Whereabouts {
  /** Nodes whose engine is up to date: a container it does not list does not exist. */
  readonly complete: ReadonlySet<string>
  readonly isWholeComplete: boolean
  /** Whether a registrator with this host name registers for the node. In a container, it has a random one. */
  readonly isRegistratorHost: (node: string, host: string) => boolean
}

/**
 * Ids come before names, which are given again: first one that is written down, then that of the container that was bound, as
 * long as it has what is registered. Where `remembered` does not hold any more, that is all it tells.
 */
export function identify(
  instance: Instance,
  parsed: RegistratorId | null,
  remembered: Binding | null,
  evidence: Evidence,
): Identity {
  const { containers } = evidence
  const isRegistrators = () => parsed !== null && evidence.isRegistratorHost(instance.node, parsed.host)
  const references = explicitReferences(instance)
  const binding = remembered !== null && bindingHolds(remembered, instance) ? remembered : null
  const before = remembered === null ? null : containers.byId(remembered.container)
  const byId =
    firstOf(references, containers.byPrefix) ??
    selfRegistered(instance, parsed, evidence) ??
    (before !== null && isInPlace(instance, before, binding, evidence) ? before : null)
  if (byId !== null) return { kind: 'container', by: 'id', located: byId }
  const bound = binding === null ? null : before
  const byName =
    firstOf(references, (reference) => containers.named(instance.node, reference)) ??
    namedByRegistrator(instance, parsed, isRegistrators, evidence) ??
    (binding === null || bound?.container.running ? null : successorOf(binding, instance, evidence))
  // that the name is another's, which does not even run, says nothing of one that goes on running
  const isBound =
    bound !== null &&
    (byName?.container.id === bound.container.id || (bound.container.running && !byName?.container.running))
  if (byName !== null && !isBound) return { kind: 'container', by: 'name', located: byName }
  if (bound !== null) return { kind: 'container', by: 'id', located: bound }
  return unlisted(instance, parsed, binding, isRegistrators, evidence)
}

/** In the network of its host, a container has whatever is registered there: news from the catalog need not be of it. */
function isInPlace(instance: Instance, before: Located, binding: Binding | null, evidence: Evidence): boolean {
  const agreement = agreementOf(instance, before, evidence)
  return agreement !== null && (agreement.kind !== 'host' || binding !== null)
}

/** What looks like an id of registrator names a container only where registrator wrote it, or where both say the same. */
function namedByRegistrator(
  instance: Instance,
  parsed: RegistratorId | null,
  isRegistrators: () => boolean,
  evidence: Evidence,
): Located | null {
  const located = parsed === null ? null : evidence.containers.named(instance.node, parsed.name)
  if (parsed === null || located === null) return null
  return bearsOut(instance, parsed, located, evidence) || isRegistrators() ? located : null
}

/** A container that registers itself writes its host name where registrator writes its own. */
function selfRegistered(instance: Instance, parsed: RegistratorId | null, evidence: Evidence): Located | null {
  const located = parsed === null ? null : hostContainer(parsed.host, evidence.containers)
  const agreement = located === null ? null : agreementOf(instance, located, evidence)
  return agreement === null || agreement.kind === 'host' ? null : located
}

/** The container whose host name, as Docker gives them, is the host part of a ServiceID. */
function hostContainer(host: string, containers: ContainerIndex): Located | null {
  return isContainerHost(host) ? containers.byPrefix(host) : null
}

/**
 * A container that was removed and made again under its name, as `docker rm` and `docker run` do, without being registered
 * anew: it has to have what is registered, and the port that this meant, or its name is all that it has in common.
 */
function successorOf(binding: Binding, instance: Instance, evidence: Evidence): Located | null {
  const { containers } = evidence
  const located = binding.name === '' ? null : containers.named(instance.node, binding.name)
  const agreement = located === null ? null : agreementOf(instance, located, evidence)
  if (located === null || agreement === null) return null
  if (agreement.kind === 'published') {
    // bound at its node, the port was the host's
    return [agreement.containerPort, instance.port].includes(binding.port) ? located : null
  }
  const known = portsOf(located, containers)
  return hasPort(known, instance.port) || hasPort(known, binding.port) ? located : null
}

/** Of an instance whose container no engine lists. */
function unlisted(
  instance: Instance,
  parsed: RegistratorId | null,
  binding: Binding | null,
  isRegistrators: () => boolean,
  { containers, complete, isWholeComplete }: Evidence,
): Identity {
  const { node } = instance
  const given = explicitReferences(instance).find(isIdPrefix) ?? null
  const unseen = (name: string | null): Unseen => ({
    kind: 'unseen',
    id: given ?? binding?.container ?? null,
    name: given === null ? name : null,
  })
  if (parsed !== null && isRegistrators()) {
    return complete.has(node) ? { kind: 'gone', name: parsed.name } : unseen(parsed.name)
  }
  if (binding !== null) {
    const isGone = isWholeComplete && complete.has(node)
    return isGone ? { kind: 'gone', name: binding.container.slice(0, 12) } : unseen(null)
  }
  // the registrator in that container wrote it, or that container itself: it is not one of another name
  if (parsed !== null && hostContainer(parsed.host, containers) !== null) return unseen(parsed.name)
  return given === null ? { kind: 'unknown' } : unseen(null)
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

/** The first of the references that names a container. */
function firstOf(references: readonly string[], find: (reference: string) => Located | null): Located | null {
  for (const reference of references) {
    const located = find(reference)
    if (located !== null) return located
  }
  return null
}
