import { byText } from '../order.ts'
import type { Container, Engine } from '../types.ts'

/** A container with the Consul node whose engine runs it. */
export interface Located {
  readonly node: string
  readonly container: Container
}

/** A published port of a running container. */
export interface Mapping {
  readonly located: Located
  readonly hostAddress: string
  readonly containerPort: number
}

/**
 * Whose network a container uses. `down`: that of a container that does not run, or that was started again since, whose
 * former network is cut off; `unknown`: of one not known.
 */
export type Attachment =
  | { readonly kind: 'own'; readonly container: Container }
  | { readonly kind: 'host' }
  | { readonly kind: 'down'; readonly name: string }
  | { readonly kind: 'unknown' }

/** Questions about the containers of all engines. No answer depends on the order of engines or containers. */
export interface ContainerIndex {
  readonly hasEngine: (node: string) => boolean
  readonly byId: (id: string) => Located | null
  /** By the beginning of an id, at least 12 digits; null when several begin with it. */
  readonly byPrefix: (digits: string) => Located | null
  /** Of several lives of a name, the one that runs, else the latest. */
  readonly named: (node: string, name: string) => Located | null
  /** Running containers that have the address; more than one only when answers are stale or subnets overlap. */
  readonly owners: (address: string) => readonly Located[]
  readonly published: (node: string, hostPort: number) => readonly Mapping[]
  readonly attachment: (located: Located) => Attachment
}

const none: readonly never[] = []

/** Docker prints the first 12 digits of an id, and takes them for it. */
export function isIdPrefix(text: string): boolean {
  return /^[0-9a-f]{12,64}$/.test(text)
}

/** The container whose network it is; null when that can't be told, or is the host's. */
export function attachedContainer(located: Located, containers: ContainerIndex): Container | null {
  const attachment = containers.attachment(located)
  return attachment.kind === 'own' ? attachment.container : null
}

/** What one engine says; built once for each answer of it. */
interface EngineIndex {
  readonly names: ReadonlyMap<string, Container>
  /** By the first 12 digits of the id. */
  readonly prefixes: ReadonlyMap<string, readonly Container[]>
  readonly published: ReadonlyMap<number, readonly Mapping[]>
}
const indexed = new WeakMap<Engine, { readonly node: string; readonly index: EngineIndex }>()

function engineIndex(node: string, engine: Engine): EngineIndex {
  const known = indexed.get(engine)
  if (known?.node === node) return known.index
  const names = new Map<string, Container>()
  const prefixes = new Map<string, Container[]>()
  const published = new Map<number, Mapping[]>()
  for (const container of engine.values()) {
    append(prefixes, container.id.slice(0, 12), container)
    const namesake = names.get(container.name)
    if (namesake === undefined || inOrder(container, namesake) < 0) names.set(container.name, container)
    if (!container.running) continue
    for (const { hostAddress, hostPort, containerPort } of container.published) {
      append(published, hostPort, { located: { node, container }, hostAddress, containerPort })
    }
  }
  const index = { names, prefixes, published }
  indexed.set(engine, { node, index })
  return index
}

/** The parts over all engines are made when first asked for: most instances need only the engine of their node. */
export function containerIndex(engines: ReadonlyMap<string, Engine>): ContainerIndex {
  const nodes = new Map([...engines].map(([node, engine]) => [node, engineIndex(node, engine)]))
  let ids: ReadonlyMap<string, Located> | null = null
  let owners: ReadonlyMap<string, readonly Located[]> | null = null

  const byId = (id: string) => {
    ids ??= locateAll(engines)
    return ids.get(id) ?? null
  }
  const named = (node: string, name: string) => {
    const container = nodes.get(node)?.names.get(name)
    return container === undefined ? null : { node, container }
  }
  const byPrefix = (digits: string) => {
    if (!isIdPrefix(digits)) return null
    const matches = new Set<string>()
    for (const { prefixes } of nodes.values()) {
      for (const { id } of prefixes.get(digits.slice(0, 12)) ?? none) if (id.startsWith(digits)) matches.add(id)
    }
    const [id] = matches
    return id !== undefined && matches.size === 1 ? byId(id) : null
  }
  const find = (node: string, reference: string) => byPrefix(reference) ?? named(node, reference)
  return {
    hasEngine: (node) => engines.has(node),
    byId,
    byPrefix,
    named,
    owners: (address) => {
      owners ??= ownersOfAll(engines)
      return owners.get(address) ?? none
    },
    published: (node, hostPort) => nodes.get(node)?.published.get(hostPort) ?? none,
    attachment: (located) => attachmentOf(located, find),
  }
}

function locateAll(engines: ReadonlyMap<string, Engine>): ReadonlyMap<string, Located> {
  const ids = new Map<string, Located>()
  for (const [node, engine] of engines) {
    for (const [id, container] of engine) {
      const located = { node, container }
      const known = ids.get(id)
      if (known === undefined || locatedInOrder(located, known) < 0) ids.set(id, located)
    }
  }
  return ids
}

function ownersOfAll(engines: ReadonlyMap<string, Engine>): ReadonlyMap<string, readonly Located[]> {
  const owners = new Map<string, Located[]>()
  for (const [node, engine] of engines) {
    for (const container of engine.values()) {
      if (container.running) for (const address of container.addresses) append(owners, address, { node, container })
    }
  }
  for (const located of owners.values()) if (located.length > 1) located.sort(locatedInOrder)
  return owners
}

/** Looks for an id everywhere, for a name on the node. */
type Find = (node: string, reference: string) => Located | null

/** A chain of shared networks cannot be long; one that is turns in a circle. */
const longestChain = 8

function attachmentOf(located: Located, find: Find): Attachment {
  let { container } = located
  for (let hop = 0; hop < longestChain; hop++) {
    if (!container.running) return { kind: 'down', name: container.name }
    if (container.network.kind === 'own') return { kind: 'own', container }
    if (container.network.kind === 'host') return { kind: 'host' }
    const next = find(located.node, container.network.id)
    if (next === null) return { kind: 'unknown' }
    if (isLater(next.container, container)) return { kind: 'down', name: next.container.name }
    container = next.container
  }
  return { kind: 'unknown' }
}

/** Whether `a` was started after `b`, by the clock of their engine. */
function isLater(a: Container, b: Container): boolean {
  return Date.parse(a.startedAt) > Date.parse(b.startedAt)
}

function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const values = map.get(key)
  if (values === undefined) map.set(key, [value])
  else values.push(value)
}

/** Running before stopped, then the latest start, then by id: the same whatever order they came in. */
function inOrder(a: Container, b: Container): number {
  if (a.running !== b.running) return a.running ? -1 : 1
  return byText(b.startedAt, a.startedAt) || byText(a.id, b.id)
}

function locatedInOrder(a: Located, b: Located): number {
  return inOrder(a.container, b.container) || byText(a.node, b.node)
}
