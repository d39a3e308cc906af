import type { Binding, Catalog, Endpoint, Engine, Instance, ModelSettings, WeaveReport } from '../types.ts'
import { type AddressBook, type Context, claimOf, refusePort, resolve } from './address-chain.ts'
import { type ContainerIndex, containerIndex } from './containers.ts'
import {
  addHost,
  bindingHolds,
  type HostsByNode,
  type Identity,
  identify,
  parseRegistratorIds,
  proveHosts,
} from './identity.ts'
import { addressRules } from './ipv4.ts'
import { weaveIndex } from './weave-names.ts'

export type { AddressBook } from './address-chain.ts'

interface BookInput {
  readonly engines: ReadonlyMap<string, Engine>
  /** Nodes whose engine's answer is fresh: a container it does not list does not exist. */
  readonly complete: ReadonlySet<string>
  readonly weave: WeaveReport | null
  /** Shows which hosts registrator works for; without it only hosts that are named as their node count. */
  readonly catalog?: Catalog
}

interface Made {
  readonly input: BookInput
  readonly settings: ModelSettings['weave']
  readonly prefix: string
  readonly containers: ContainerIndex
  readonly hosts: RegistratorHosts
  readonly book: AddressBook
}
const made = new WeakMap<BookInput['engines'], Made>()

/** The same object as before when no answer it gave would be another one now. */
export function addressBook(input: BookInput, settings: ModelSettings['weave'], prefix: string): AddressBook {
  const before = made.get(input.engines)
  if (
    before?.input.weave === input.weave &&
    before.settings === settings &&
    before.prefix === prefix &&
    isSameSet(before.input.complete, input.complete) &&
    before.hosts.staysTrueFor(input.catalog)
  ) {
    return before.book
  }
  const containers = before?.containers ?? containerIndex(input.engines)
  const hosts = registratorHosts(input.catalog, containers)
  const book = {
    containers,
    complete: input.complete,
    isWholeComplete: [...input.engines.keys()].every((node) => input.complete.has(node)),
    isRegistratorHost: hosts.has,
    weave: input.weave === null ? null : weaveIndex(input.weave),
    rules: addressRules(settings),
    fallback: settings.fallback,
    metaKey: `${prefix}-address`,
  }
  made.set(input.engines, { input, settings, prefix, containers, hosts, book })
  return book
}

/** The host name that Docker gives a container: registrator's own, where it runs in one. */
function isContainerHost(host: string): boolean {
  return /^[0-9a-f]{12}$/.test(host)
}

interface RegistratorHosts {
  readonly has: (node: string, host: string) => boolean
  /** Whether this catalog proves the same. If so, later questions are answered from it. */
  readonly staysTrueFor: (catalog: Catalog | undefined) => boolean
}

/** The catalog is gone through only when a ServiceID asks: in most, each names a container or its own node. */
function registratorHosts(first: Catalog | undefined, containers: ContainerIndex): RegistratorHosts {
  let catalog = first
  let proved: HostsByNode | null = null
  return {
    has: (node, host) => {
      if (host === node || host === node.split('.', 1)[0] || isContainerHost(host)) return true
      proved ??= allHosts(catalog, containers)
      return proved.get(node)?.has(host) ?? false
    },
    staysTrueFor: (next) => {
      if (catalog === next) return true
      if (proved !== null && !isSameHosts(proved, allHosts(next, containers))) return false
      catalog = next
      return true
    },
  }
}

function allHosts(catalog: Catalog | undefined, containers: ContainerIndex): HostsByNode {
  const all = new Map<string, Set<string>>()
  for (const instances of catalog?.services.values() ?? []) {
    for (const [node, hosts] of proveHosts(instances, containers)) for (const host of hosts) addHost(all, node, host)
  }
  return all
}

function isSameHosts(a: HostsByNode, b: HostsByNode): boolean {
  return a.size === b.size && [...a].every(([node, hosts]) => isSameSet(hosts, b.get(node) ?? new Set()))
}

function isSameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false
  for (const value of a) if (!b.has(value)) return false
  return true
}

/**
 * Where each instance can be reached, or why it can't; in the order of `instances`. The chain: catalog, weave tagged
 * address or meta key, Docker, weave report, node address. An address that belongs to another container is never used.
 */
export function resolveEndpoints(
  instances: readonly Instance[],
  book: AddressBook,
  bindings: ReadonlyMap<string, Binding>,
): readonly Endpoint[] {
  const ids = parseRegistratorIds(instances)
  return instances.map((instance, index) => {
    const binding = bindings.get(instance.key)
    const holds = binding !== undefined && bindingHolds(binding, instance)
    const id = ids[index] ?? null
    const context = { instance, id, claim: claimOf(instance, book), book, boundPort: holds ? binding.port : null }
    const refusal = refusePort(context)
    if (refusal !== null) return refusal
    const identity = identify(instance, id, holds ? binding : null, book)
    const isOutdated = binding !== undefined && !holds && isSilentSince(identity, context)
    return resolve(context, isOutdated ? { kind: 'unseen' } : identity)
  })
}

/**
 * Whether news from the catalog tells more than an engine that does not answer: its last word is of an earlier life of
 * the container, unless both say the same. Where the news has no address of its own, a container that ran then is
 * still the best that is known.
 */
function isSilentSince(identity: Identity, { claim, book }: Context): boolean {
  if (identity.kind !== 'container' || book.complete.has(identity.located.node)) return false
  if (!identity.located.container.running) return true
  const attachment = book.containers.attachment(identity.located)
  const agrees = attachment.kind === 'own' && attachment.container.addresses.includes(claim.address)
  return claim.verdict === 'usable' && !agrees
}
