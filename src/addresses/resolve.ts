import type { Binding, Catalog, Endpoint, Engine, Instance, ModelSettings, WeaveReport } from '../types.ts'
import type { Whereabouts } from './agreement.ts'
import { refusePort, resolve } from './chain.ts'
import { attachedContainer, containerIndex } from './containers.ts'
import { type AddressBook, type Context, claimOf } from './context.ts'
import { bindingHolds, type Identity, identify } from './identity.ts'
import { addressRules } from './ipv4.ts'
import { isSameSet, type RegistratorHosts, registratorHosts } from './registrator.ts'
import { parseRegistratorIds } from './registrator-id.ts'
import { weaveIndex } from './weave-names.ts'

export type { AddressBook } from './context.ts'

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
  readonly whereabouts: Whereabouts
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
  const isSameSight = before?.input.weave === input.weave && before.settings === settings
  const whereabouts = isSameSight
    ? before.whereabouts
    : {
        containers: before?.whereabouts.containers ?? containerIndex(input.engines),
        weave: input.weave === null ? null : weaveIndex(input.weave),
        rules: addressRules(settings),
      }
  const hosts = registratorHosts(input.catalog, whereabouts)
  const book = {
    ...whereabouts,
    complete: input.complete,
    isWholeComplete: [...input.engines.keys()].every((node) => input.complete.has(node)),
    isRegistratorHost: hosts.has,
    fallback: settings.fallback,
    metaKey: `${prefix}-address`,
  }
  made.set(input.engines, { input, settings, prefix, whereabouts, hosts, book })
  return book
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
    const remembered = bindings.get(instance.key) ?? null
    const binding = remembered !== null && bindingHolds(remembered, instance) ? remembered : null
    const id = ids[index] ?? null
    const context = { instance, id, claim: claimOf(instance, book), book, binding }
    const refusal = refusePort(context)
    if (refusal !== null) return refusal
    const identity = identify(instance, id, remembered, book)
    const hasNews = remembered !== null && binding === null
    return resolve(context, hasNews ? withoutSilent(identity, context) : identity)
  })
}

/**
 * News from the catalog tells more than an engine that does not answer: its last word is of an earlier life of the
 * container, unless both say the same. Where the news has no address of its own, a container that ran then is still the
 * best that is known.
 */
function withoutSilent(identity: Identity, { claim, book }: Context): Identity {
  if (identity.kind !== 'container' || book.complete.has(identity.located.node)) return identity
  const { container } = identity.located
  if (container.running) {
    const attached = attachedContainer(identity.located, book.containers)
    if (claim.verdict !== 'usable' || attached?.addresses.includes(claim.address)) return identity
  }
  return identity.by === 'id'
    ? { kind: 'unseen', id: container.id, name: null }
    : { kind: 'unseen', id: null, name: container.name }
}
