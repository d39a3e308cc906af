import type { Catalog, Instance } from '../types.ts'
import { agreementOf, type Whereabouts } from './agreement.ts'
import { hasPort, portsOf } from './container-ports.ts'
import type { Located } from './containers.ts'
import { parseRegistratorIds, type RegistratorId } from './registrator-id.ts'

/** Whether a container has what is registered and the port of the ServiceID: any text can look like one. */
export function bearsOut(instance: Instance, id: RegistratorId, located: Located, whereabouts: Whereabouts): boolean {
  const agreement = agreementOf(instance, located, whereabouts)
  if (agreement === null) return false
  if (agreement.kind === 'published') return agreement.containerPort === id.port
  return hasPort(portsOf(located, whereabouts.containers), id.port)
}

/** Which hosts registrator writes ServiceIDs for. */
export interface RegistratorHosts {
  readonly has: (node: string, host: string) => boolean
  /** Whether this catalog proves the same. If so, later questions are answered from it. */
  readonly staysTrueFor: (catalog: Catalog | undefined) => boolean
}

/** The catalog is gone through only when a ServiceID asks: in most, each is borne out by its container, or names its own node. */
export function registratorHosts(first: Catalog | undefined, whereabouts: Whereabouts): RegistratorHosts {
  let catalog = first
  let proved: HostsByNode | null = null
  return {
    has: (node, host) => {
      if (host === node || host === node.split('.', 1)[0]) return true
      proved ??= allHosts(catalog, whereabouts)
      return proved.get(node)?.has(host) ?? false
    },
    staysTrueFor: (next) => {
      if (catalog === next) return true
      if (proved !== null && !isSameHosts(proved, allHosts(next, whereabouts))) return false
      catalog = next
      return true
    },
  }
}

/** Host parts of ServiceIDs that are known to be registrator's, by node. */
type HostsByNode = ReadonlyMap<string, ReadonlySet<string>>

function allHosts(catalog: Catalog | undefined, whereabouts: Whereabouts): HostsByNode {
  const all = new Map<string, Set<string>>()
  for (const instances of catalog?.services.values() ?? []) {
    for (const [node, hosts] of proveHosts(instances, whereabouts)) for (const host of hosts) addHost(all, node, host)
  }
  return all
}

const provedHosts = new WeakMap<
  readonly Instance[],
  { readonly whereabouts: Whereabouts; readonly hosts: HostsByNode }
>()

/**
 * Host parts of ServiceIDs that are borne out by the containers they name: that one is shows who wrote the others. A container
 * in the network of its host shows nothing: whatever is registered there has its address.
 */
function proveHosts(instances: readonly Instance[], whereabouts: Whereabouts): HostsByNode {
  const known = provedHosts.get(instances)
  if (known?.whereabouts === whereabouts) return known.hosts
  const hosts = new Map<string, Set<string>>()
  for (const [index, parsed] of parseRegistratorIds(instances).entries()) {
    const instance = instances[index]
    if (parsed === null || instance === undefined || hosts.get(instance.node)?.has(parsed.host)) continue
    const { node } = instance
    const located = whereabouts.containers.named(node, parsed.name)
    if (located === null || whereabouts.containers.attachment(located).kind === 'host') continue
    if (bearsOut(instance, parsed, located, whereabouts)) addHost(hosts, node, parsed.host)
  }
  provedHosts.set(instances, { whereabouts, hosts })
  return hosts
}

function addHost(hosts: Map<string, Set<string>>, node: string, host: string): void {
  const known = hosts.get(node)
  if (known === undefined) hosts.set(node, new Set([host]))
  else known.add(host)
}

function isSameHosts(a: HostsByNode, b: HostsByNode): boolean {
  return a.size === b.size && [...a].every(([node, hosts]) => isSameSet(hosts, b.get(node) ?? new Set()))
}

export function isSameSet(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  if (a.size !== b.size) return false
  for (const value of a) if (!b.has(value)) return false
  return true
}
