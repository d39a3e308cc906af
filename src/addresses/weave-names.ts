import type { Instance, WeaveReport } from '../types.ts'

/** An address the weave router gives, with the container it gives it to. */
export interface WeaveAddress {
  readonly address: string
  readonly containerId: string
  readonly source: 'weave-report' | 'weave-ip'
}

/** Questions to the last report of a weave router. That it gives no address means nothing. */
export interface WeaveIndex {
  /** Addresses by container id: those of its names, else those the router handed out on its own host. */
  readonly ofContainer: (id: string) => readonly WeaveAddress[]
  /** Addresses of the name, without domain, among containers on the node of the instance. */
  readonly ofName: (instance: Instance, name: string) => readonly WeaveAddress[]
  /** Names of the container, without domain, in lower case. */
  readonly namesOf: (id: string) => readonly string[]
  /** Id of the container that the router handed the address out to, on its own host; null: to none that it tells of. */
  readonly ownerOf: (address: string) => string | null
  /** True when names of several containers have the address: all but one are left over, and which is not known. */
  readonly isContested: (address: string) => boolean
}

const none: readonly never[] = []

export function weaveIndex(report: WeaveReport): WeaveIndex {
  const byContainer = new Map<string, WeaveAddress[]>()
  const byHostname = new Map<string, (WeaveAddress & { readonly peer: string })[]>()
  const namesById = new Map<string, string[]>()
  const claimants = new Map<string, Set<string>>()
  const suffix = `.${report.domain}`
  for (const { hostname, peer, containerId, address } of report.names) {
    const found = { address, containerId, source: 'weave-report', peer } as const
    byContainer.set(containerId, [...(byContainer.get(containerId) ?? none), found])
    byHostname.set(hostname, [...(byHostname.get(hostname) ?? none), found])
    const name = hostname.endsWith(suffix) ? hostname.slice(0, -suffix.length) : hostname
    namesById.set(containerId, [...(namesById.get(containerId) ?? none), name])
    claimants.set(address, (claimants.get(address) ?? new Set()).add(containerId))
  }
  const owners = new Map([...report.owned].flatMap(([id, addresses]) => addresses.map((address) => [address, id])))
  return {
    ofContainer: (id) => {
      const named = byContainer.get(id) ?? none
      if (named.length > 0) return named
      const owned = report.owned.get(id) ?? none
      return owned.map((address) => ({ address, containerId: id, source: 'weave-ip' }))
    },
    ofName: (instance, name) => {
      if (report.domain === '') return none
      const found = byHostname.get(name.toLowerCase() + suffix)
      if (found === undefined) return none
      const peers = peersOf(report, instance)
      return found.filter(({ peer }) => peers.has(peer))
    },
    namesOf: (id) => namesById.get(id) ?? none,
    ownerOf: (address) => owners.get(address) ?? null,
    isContested: (address) => (claimants.get(address)?.size ?? 0) > 1,
  }
}

function peersOf(report: WeaveReport, instance: Instance): ReadonlySet<string> {
  const peers = report.peers.filter(
    (peer) => peer.nickName === instance.node || peer.addresses.includes(instance.nodeAddress),
  )
  return new Set(peers.map((peer) => peer.name))
}
