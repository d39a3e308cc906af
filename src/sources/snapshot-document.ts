import { parse as parseYaml } from 'yaml'
import { containerMetaKeys } from '../addresses/identity.ts'
import { decodeMemory, encodeMemory } from '../model/memory-text.ts'
import { isNestedDeeper } from '../settings/yaml.ts'
import type { Catalog, Container, Engine, Instance, Memory, WeaveReport } from '../types.ts'
import { decodeHealthEntry } from './consul/decode.ts'
import { decodeList } from './docker/decode.ts'
import { entriesField, field, isRecord, listField } from './field.ts'
import { decodeWeaveReport } from './weave.ts'

/**
 * The snapshot document: raw answers of the real APIs in one object, so that `curl` can make one. Read in full, written
 * with only what heddle reads: people attach it to tickets.
 */
export interface SnapshotDocument {
  readonly services: ReadonlyMap<string, readonly Instance[]>
  readonly engines: ReadonlyMap<string, Engine>
  readonly weave: WeaveReport | null
  readonly memory: Memory | null
  /** What could not be read and was left out. */
  readonly skipped: readonly string[]
}

export type DecodedDocument =
  | { readonly kind: 'read'; readonly document: SnapshotDocument }
  | { readonly kind: 'invalid'; readonly why: string }

/** JSON, or YAML where the text does not begin as JSON does. Values of `before` that did not change keep their identity. */
export function decodeDocument(text: string, prefix: string, before: SnapshotDocument | null): DecodedDocument {
  const raw = parse(text)
  if (raw instanceof Error) return { kind: 'invalid', why: raw.message }
  if (!isRecord(field(raw, 'consul', 'services'))) {
    return { kind: 'invalid', why: 'expected {"consul": {"services": {"NAME": [...]}}}' }
  }
  const skipped: string[] = []
  const services = new Map<string, readonly Instance[]>()
  for (const [name, entries] of entriesField(raw, 'consul', 'services')) {
    services.set(name, decodeService(name, entries, prefix, before?.services.get(name) ?? [], skipped))
  }
  const engines = new Map<string, Engine>()
  for (const [node, rows] of entriesField(raw, 'docker')) {
    const containers = decodeList(rows)
    if (containers === null) skipped.push(`docker ${node}: no list of containers`)
    else engines.set(node, new Map(containers.map((container) => [container.id, container])))
  }
  const weave = isRecord(field(raw, 'weave')) ? decodeWeaveReport(field(raw, 'weave'), field(raw, 'weaveIp')) : null
  if (weave === null && isRecord(field(raw, 'weave'))) skipped.push('weave: not the report of a weave router')
  const memory = isRecord(field(raw, 'memory')) ? decodeMemory(JSON.stringify(field(raw, 'memory'))) : null
  if (memory?.kind === 'invalid') skipped.push(`memory: ${memory.why}`)
  return {
    kind: 'read',
    document: {
      services: keepEqual(before?.services, services),
      engines: keepEqual(before?.engines, engines),
      weave: keepIfEqual(before?.weave, weave),
      memory: memory?.kind === 'ok' ? memory.memory : null,
      skipped,
    },
  }
}

/** Answers of the real APIs are less than half as deep. */
const deepestYaml = 32

function parse(text: string): unknown {
  try {
    if (/^\s*\{/.test(text)) return JSON.parse(text)
    if (isNestedDeeper(text, deepestYaml)) return new Error(`expected at most ${deepestYaml} levels of nesting`)
    // looking for doubled keys takes quadratic time; as in JSON the last one counts
    return parseYaml(text, { maxAliasCount: 100, uniqueKeys: false })
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error))
  }
}

function decodeService(
  name: string,
  entries: unknown,
  prefix: string,
  before: readonly Instance[],
  skipped: string[],
): readonly Instance[] {
  const rows = listField({ entries }, 'entries')
  if (!Array.isArray(entries)) skipped.push(`consul ${name}: no list of instances`)
  const known = new Map(before.map((instance) => [instance.key, instance]))
  const instances = new Map<string, Instance>()
  for (const [index, row] of rows.entries()) {
    const decoded = decodeHealthEntry(row, prefix)
    if (decoded === null || decoded.service !== name || instances.has(decoded.key)) {
      skipped.push(`consul ${name}: entry ${index + 1} is no instance of it, or stands twice`)
      continue
    }
    instances.set(decoded.key, keepIfEqual(known.get(decoded.key), decoded))
  }
  const sorted = [...instances.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  return sorted.length === before.length && sorted.every((instance, at) => instance === before[at]) ? before : sorted
}

function keepEqual<V>(before: ReadonlyMap<string, V> | undefined, next: Map<string, V>): ReadonlyMap<string, V> {
  for (const [key, value] of next) next.set(key, keepIfEqual(before?.get(key), value))
  const isSame = before?.size === next.size && [...next].every(([key, value]) => before.get(key) === value)
  return isSame && before !== undefined ? before : next
}

function keepIfEqual<V>(before: V | undefined, next: V): V {
  return before !== undefined && before !== next && textOf(before) === textOf(next) ? before : next
}

function textOf(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => (inner instanceof Map ? [...inner] : inner))
}

// ---------------------------------------------------------------------------------------------- write

export interface SnapshotParts {
  readonly catalog: Catalog
  readonly engines: ReadonlyMap<string, Engine>
  readonly weave: WeaveReport | null
  readonly memory: Memory | null
}

/** The document as JSON, a line for each instance and container. Foreign meta, environments and check outputs are not in it. */
export function encodeDocument({ catalog, engines, weave, memory }: SnapshotParts, prefix: string): string {
  const services = [...catalog.services].map(([name, instances]) => [
    name,
    instances.map((instance) => rawInstance(instance, prefix)),
  ])
  const document = {
    consul: { services: Object.fromEntries(services) },
    ...(engines.size === 0
      ? {}
      : {
          docker: Object.fromEntries(
            [...engines].map(([node, engine]) => [node, [...engine.values()].map(rawContainer)]),
          ),
        }),
    ...(weave === null ? {} : { weave: rawReport(weave), weaveIp: rawOwned(weave) }),
    ...(memory === null ? {} : { memory: JSON.parse(encodeMemory(memory)) as unknown }),
  }
  return `${JSON.stringify(document, null, 1)}\n`
}

function rawInstance(instance: Instance, prefix: string) {
  const meta = [...instance.meta].filter(([key]) => key.startsWith(prefix) || containerMetaKeys.has(key))
  const isMaintenance = instance.health === 'maintenance'
  return {
    Node: { Node: instance.node, Address: instance.nodeAddress },
    Service: {
      ID: instance.id,
      Service: instance.service,
      Tags: instance.tags,
      Meta: Object.fromEntries(meta),
      Address: instance.address,
      Port: instance.port,
      ...(instance.weaveAddress === null ? {} : { TaggedAddresses: { weave: { Address: instance.weaveAddress } } }),
      Weights: { Passing: instance.weights.passing, Warning: instance.weights.warning },
      CreateIndex: instance.createIndex,
    },
    Checks: [
      {
        CheckID: isMaintenance ? `_service_maintenance:${instance.id}` : `service:${instance.id}`,
        Status: isMaintenance ? 'critical' : instance.health,
        ServiceID: instance.id,
      },
    ],
  }
}

function rawContainer(container: Container) {
  const { network, addresses, ports, published } = container
  const bindings = new Map<number, { HostIp: string; HostPort: string }[] | null>(ports.map((port) => [port, null]))
  for (const { hostAddress, hostPort, containerPort } of published) {
    const binding = { HostIp: hostAddress, HostPort: String(hostPort) }
    bindings.set(containerPort, [...(bindings.get(containerPort) ?? []), binding])
  }
  const networks = addresses.map((address, index) => [
    `network${String(index).padStart(4, '0')}`,
    { IPAddress: address },
  ])
  return {
    Id: container.id,
    Name: `/${container.name}`,
    State: { Running: container.running, StartedAt: container.startedAt },
    HostConfig: {
      NetworkMode:
        network.kind === 'container' ? `container:${network.id}` : network.kind === 'host' ? 'host' : 'default',
    },
    NetworkSettings: {
      IPAddress: addresses[0] ?? '',
      Networks: Object.fromEntries(networks),
      Ports: Object.fromEntries([...bindings].map(([port, rows]) => [`${port}/tcp`, rows])),
    },
  }
}

function rawReport({ domain, peers, names }: WeaveReport) {
  return {
    Router: {
      // the address of a peer stands where another one speaks of its connection to it
      Peers: peers.map(({ name, nickName }, index) => ({
        Name: name,
        NickName: nickName,
        Connections:
          index > 0
            ? []
            : peers.flatMap((peer) =>
                peer.addresses.map((address) => ({ Name: peer.name, Address: `${address}:6783` })),
              ),
      })),
    },
    DNS: {
      Domain: `${domain}.`,
      Entries: names.map(({ hostname, peer, containerId, address }) => ({
        Hostname: `${hostname}.`,
        Origin: peer,
        ContainerID: containerId,
        Address: address,
        Tombstone: 0,
      })),
    },
  }
}

function rawOwned({ owned }: WeaveReport) {
  return {
    owned: [...owned].map(([containerid, addrs]) => ({ containerid, addrs: addrs.map((address) => `${address}/32`) })),
  }
}
