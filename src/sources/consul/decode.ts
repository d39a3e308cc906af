import { containerMetaKeys, containerTag } from '../../addresses/identity.ts'
import { sameEntries, sameItems } from '../../same.ts'
import type { Health, Instance } from '../../types.ts'

/**
 * Reads Consul's answers. All of them are untrusted: fields of a wrong type count as missing, an entry without its
 * identity as not there. Null: the answer as a whole is not what it should be.
 */

/** All that is read of Consul's documents. */
type Field =
  | 'Address'
  | 'CheckID'
  | 'Checks'
  | 'Config'
  | 'CreateIndex'
  | 'DebugConfig'
  | 'HTTPMaxConnsPerClient'
  | 'ID'
  | 'Meta'
  | 'Node'
  | 'NodeName'
  | 'Passing'
  | 'Port'
  | 'Service'
  | 'ServiceID'
  | 'Services'
  | 'Status'
  | 'TaggedAddresses'
  | 'Tags'
  | 'Warning'
  | 'Weights'
  | 'weave'

/** Some JSON object; a name outside `Field` is reached by `Object.entries` only. */
export type Fields = { readonly [name in Field]?: unknown }

/** What is left of a node's checks when texts and numbers are set aside. */
export interface Checks {
  /** The worst of the checks that belong to no service. */
  readonly ofNode: Health
  /** The worst of its own checks, by service id. Without checks: not in the map. */
  readonly ofServices: ReadonlyMap<string, Health>
}

export interface NodeServices {
  readonly node: string
  readonly address: string
  /** By service id. */
  readonly services: ReadonlyMap<string, Fields>
}

/**
 * One `{Node, Service, Checks}` of `GET /v1/health/service/NAME`. Of tags and meta only those that begin with `prefix` or
 * name a container are kept: heddle reads no others, a change of theirs must not count as one, and they may be secret.
 */
export function decodeHealthEntry(raw: unknown, prefix: string): Instance | null {
  if (!isFields(raw) || !isFields(raw.Node) || !isFields(raw.Service)) return null
  const node = text(raw.Node.Node)
  const id = text(raw.Service.ID)
  const checks = raw.Checks ?? []
  if (node === '' || !Array.isArray(checks)) return null
  const health = healthOf(id, sumOfChecks(checks.map(decodeCheck)))
  return decodeService(node, text(raw.Node.Address), raw.Service, health, prefix)
}

/** `GET /v1/health/service/NAME`, in byte order of keys. Of two entries with one key, which only a file can have, the later counts. */
export function decodeHealthEntries(body: unknown, prefix: string): readonly Instance[] | null {
  if (!Array.isArray(body)) return null
  const instances = body.map((entry) => decodeHealthEntry(entry, prefix))
  const ordered = instances.filter((instance) => instance !== null).sort((a, b) => byKey(a, b) || byAge(a, b))
  return ordered.filter(({ key }, position) => key !== ordered[position - 1]?.key)
}

/** `GET /v1/agent/self`: the node's name. */
export function decodeNodeName(body: unknown): string | null {
  const name = isFields(body) && isFields(body.Config) ? text(body.Config.NodeName) : ''
  return name === '' ? null : name
}

/** `GET /v1/agent/self`: how many connections it takes from one client, 0 for any number; null when it doesn't say. */
export function decodeMostConnections(body: unknown): number | null {
  const most = isFields(body) && isFields(body.DebugConfig) ? number(body.DebugConfig.HTTPMaxConnsPerClient, -1) : -1
  return Number.isInteger(most) && most >= 0 ? most : null
}

/** `GET /v1/catalog/nodes`: the names. */
export function decodeNodes(body: unknown): readonly string[] | null {
  if (!Array.isArray(body)) return null
  return body.map((entry) => (isFields(entry) ? text(entry.Node) : '')).filter((name) => name !== '')
}

/** `GET /v1/catalog/services`: tags by name. Every object would be such a map if the lists were not asked for. */
export function decodeServices(body: unknown): ReadonlyMap<string, readonly string[]> | null {
  if (!isFields(body)) return null
  const services = Object.entries(body)
  if (!services.every(([, tags]) => tags === null || Array.isArray(tags))) return null
  return new Map(services.map(([name, tags]) => [name, texts(tags)]))
}

/** `GET /v1/catalog/node/NODE`; `gone` is what Consul says of a node that it doesn't know. */
export function decodeNodeServices(body: unknown): NodeServices | 'gone' | null {
  if (body === null) return 'gone'
  if (!isFields(body) || !isFields(body.Node)) return null
  const node = text(body.Node.Node)
  const all = body.Services ?? {}
  if (!isFields(all)) return null
  const services = new Map<string, Fields>()
  for (const [id, service] of Object.entries(all)) {
    if (isFields(service)) services.set(id, service)
  }
  return node === '' ? null : { node, address: text(body.Node.Address), services }
}

/** What one check says, of its service or (the id is empty) of its node. */
export interface CheckHealth {
  readonly service: string
  readonly health: Health
}

/** One check of `GET /v1/health/node/NODE`, or of a health entry. */
export function decodeCheck(raw: unknown): CheckHealth | null {
  if (!isFields(raw)) return null
  return { service: text(raw.ServiceID), health: healthOfCheck(text(raw.CheckID), text(raw.Status)) }
}

export function sumOfChecks(checks: readonly (CheckHealth | null)[]): Checks {
  let ofNode: Health = 'passing'
  const ofServices = new Map<string, Health>()
  for (const check of checks) {
    if (check === null) continue
    const { service, health } = check
    if (service === '') ofNode = worse(ofNode, health)
    else ofServices.set(service, worse(ofServices.get(service) ?? 'passing', health))
  }
  return { ofNode, ofServices }
}

/** Instances by service id, in byte order of keys, as if all of them passed. */
export type Registered = ReadonlyMap<string, Instance>

/** One service of `GET /v1/catalog/node/NODE`, as if it passed; `of` is that document, or what is left of it without services. */
export function decodeRegistration(raw: unknown, of: unknown, prefix: string): Instance | null {
  const found = decodeNodeServices(of)
  if (found === null || found === 'gone' || !isFields(raw)) return null
  return decodeService(found.node, found.address, raw, 'passing', prefix)
}

/** What is registered on a node; those that are equal to one of `before` keep its identity, and so does all of it. */
export function registeredOf(instances: readonly Instance[], before: Registered = new Map()): Registered {
  const kept = keepUnchanged([...before.values()], inOrder(instances))
  const registered = new Map(kept.map((instance) => [instance.id, instance]))
  return sameEntries(before, registered) ? before : registered
}

const variants = new WeakMap<Instance, Map<Health, Instance>>()

/** The instances of a node, in byte order of keys. An instance whose health is as before is the same object as before. */
export function joinNode(registered: Registered, checks: Checks): readonly Instance[] {
  return [...registered.values()].map((instance) => {
    const health = healthOf(instance.id, checks)
    if (health === instance.health) return instance
    const known = variants.get(instance) ?? new Map<Health, Instance>()
    variants.set(instance, known)
    const variant = known.get(health) ?? { ...instance, health }
    known.set(health, variant)
    return variant
  })
}

/** Byte order of keys. */
export function inOrder(instances: readonly Instance[]): readonly Instance[] {
  const isInOrder = instances.every((instance, at) => {
    const before = instances[at - 1]
    return before === undefined || byKey(before, instance) <= 0
  })
  return isInOrder ? instances : [...instances].sort(byKey)
}

/** True when they differ in nothing. */
function isSameInstance(a: Instance, b: Instance): boolean {
  return (
    a === b ||
    (a.key === b.key &&
      a.node === b.node &&
      a.nodeAddress === b.nodeAddress &&
      a.id === b.id &&
      a.service === b.service &&
      a.address === b.address &&
      a.port === b.port &&
      a.weaveAddress === b.weaveAddress &&
      a.health === b.health &&
      a.weights.passing === b.weights.passing &&
      a.weights.warning === b.weights.warning &&
      a.createIndex === b.createIndex &&
      sameItems(a.tags, b.tags) &&
      sameEntries(a.meta, b.meta))
  )
}

/** True when two answers tell the same of all checks. */
export function isSameChecks(a: Checks, b: Checks): boolean {
  return a.ofNode === b.ofNode && sameEntries(a.ofServices, b.ofServices)
}

/** `next` with every instance that is equal to one of `previous` replaced by that; `previous` itself when all are. */
export function keepUnchanged(previous: readonly Instance[], next: readonly Instance[]): readonly Instance[] {
  const known = new Map(previous.map((instance) => [instance.key, instance]))
  const kept = next.map((instance) => {
    const before = known.get(instance.key)
    return before !== undefined && isSameInstance(before, instance) ? before : instance
  })
  const isSame = kept.length === previous.length && kept.every((instance, position) => instance === previous[position])
  return isSame ? previous : kept
}

function decodeService(
  node: string,
  nodeAddress: string,
  service: Fields,
  health: Health,
  prefix: string,
): Instance | null {
  const id = text(service.ID)
  const name = text(service.Service)
  if (id === '' || name === '') return null
  const tagged = isFields(service.TaggedAddresses) ? service.TaggedAddresses : {}
  const weave = Object.hasOwn(tagged, 'weave') && isFields(tagged.weave) ? text(tagged.weave.Address) : ''
  const weights = isFields(service.Weights) ? service.Weights : {}
  return {
    key: `${node}/${id}`,
    node,
    nodeAddress,
    id,
    service: name,
    address: text(service.Address),
    port: number(service.Port, 0),
    tags: decodeTags(service.Tags, prefix),
    meta: decodeMeta(service.Meta, prefix),
    weaveAddress: weave === '' ? null : weave,
    health,
    weights: { passing: number(weights.Passing, 1), warning: number(weights.Warning, 1) },
    createIndex: number(service.CreateIndex, 0),
  }
}

function decodeTags(raw: unknown, prefix: string): readonly string[] {
  const isRead = (tag: string) => tag === prefix || tag.startsWith(`${prefix}.`) || tag.startsWith(containerTag)
  return texts(raw).filter(isRead)
}

function decodeMeta(raw: unknown, prefix: string): ReadonlyMap<string, string> {
  const meta = new Map<string, string>()
  if (!isFields(raw)) return meta
  for (const [key, value] of Object.entries(raw)) {
    const isRead = key.startsWith(`${prefix}-`) || containerMetaKeys.has(key)
    if (isRead && typeof value === 'string') meta.set(key, value)
  }
  return meta
}

/**
 * Critical goes beyond maintenance, other than in Consul's own summary: maintenance lets sticky users finish, and what is
 * broken is to get nobody, whichever of the two came first. The check that maintenance consists of is not such a critical one.
 */
const severity: readonly Health[] = ['passing', 'warning', 'maintenance', 'critical']

function worse(a: Health, b: Health): Health {
  return severity.indexOf(a) >= severity.indexOf(b) ? a : b
}

function healthOf(id: string, checks: Checks): Health {
  return worse(checks.ofNode, checks.ofServices.get(id) ?? 'passing')
}

function healthOfCheck(id: string, status: string): Health {
  if (id === '_node_maintenance' || id.startsWith('_service_maintenance:')) return 'maintenance'
  return status === 'passing' || status === 'warning' ? status : 'critical'
}

function byKey(a: Instance, b: Instance): number {
  return compareBytes(a.key, b.key)
}

/** The later registration first; of equal age in an order that does not depend on that of the input. */
function byAge(a: Instance, b: Instance): number {
  const text = ({ service, address, port, tags, meta, health }: Instance) =>
    JSON.stringify([service, address, port, tags, [...meta].sort(), health])
  return b.createIndex - a.createIndex || compareBytes(text(a), text(b))
}

/** Order of the UTF-8 bytes; `<` on strings differs from it for characters beyond the basic plane. */
function compareBytes(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let position = 0; position < length; position += 1) {
    const difference = rank(a.charCodeAt(position)) - rank(b.charCodeAt(position))
    if (difference !== 0) return difference
  }
  return a.length - b.length
}

/** Puts the halves of characters beyond the basic plane behind all that are in it. */
function rank(unit: number): number {
  if (unit >= 0xe000) return unit - 0x800
  return unit >= 0xd800 ? unit + 0x2000 : unit
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : ''
}

function texts(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

function number(value: unknown, otherwise: number): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : otherwise
}
