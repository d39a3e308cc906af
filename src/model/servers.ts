import { problem } from '../problems.ts'
import type { InstanceRequest } from '../routes/request.ts'
import type { Endpoint, Instance, Ms, Problem, Server, ServerState, Unreachable } from '../types.ts'

/** HAProxy refuses a greater weight. */
const greatestWeight = 256

type Reachable = Extract<Endpoint, { kind: 'reachable' }>

/** An instance that HAProxy can have as a server, with everything but its state, which depends on the drain time. */
export interface Seat {
  /** `address:port`. */
  readonly name: string
  readonly endpoint: Reachable
  readonly weight: number
  readonly backup: boolean
}

/**
 * Gives each address and port of a service to one instance: the entry with the highest CreateIndex, since a
 * container that registers anew is what really listens there. Seats in order of address and port.
 */
export function seatInstances(
  endpoints: readonly Endpoint[],
  requests: ReadonlyMap<string, InstanceRequest>,
): { readonly seats: readonly Seat[]; readonly problems: readonly Problem[] } {
  const problems: Problem[] = []
  const owners = new Map<string, Reachable>()
  for (const endpoint of endpoints) {
    if (endpoint.kind !== 'reachable') continue
    const name = `${endpoint.address}:${endpoint.port}`
    const other = owners.get(name)
    if (other === undefined) {
      owners.set(name, endpoint)
      continue
    }
    const [winner, loser] = isNewer(endpoint.instance, other.instance) ? [endpoint, other] : [other, endpoint]
    owners.set(name, winner)
    const reason = `${winner.instance.key} was registered later with the same address and port`
    problems.push(
      problem('duplicate-address', {
        service: loser.instance.service,
        instance: loser.instance.key,
        subject: name,
        reason,
      }),
    )
  }
  const scale = weightScale(endpoints)
  const seats = [...owners]
    .sort(([, a], [, b]) => compareAddresses(a.address, b.address) || a.port - b.port)
    .map(([name, endpoint]) => {
      const request = requests.get(endpoint.instance.key)
      const weight = request?.weight ?? scale(catalogWeight(endpoint.instance))
      return { name, endpoint, weight, backup: request?.backup ?? false }
    })
  return { seats, problems }
}

function isNewer(a: Instance, b: Instance): boolean {
  return a.createIndex === b.createIndex ? a.key < b.key : a.createIndex > b.createIndex
}

function catalogWeight(instance: Instance): number {
  return instance.health === 'warning' ? instance.weights.warning : instance.weights.passing
}

/** Consul's weights as they are while HAProxy can take them all, else in proportion, nobody falling to 0 by it. */
function weightScale(endpoints: readonly Endpoint[]): (weight: number) => number {
  let greatest = 1
  for (const { instance } of endpoints)
    greatest = Math.max(greatest, instance.weights.passing, instance.weights.warning)
  if (greatest <= greatestWeight) return (weight) => Math.max(0, Math.trunc(weight))
  return (weight) => (weight <= 0 ? 0 : Math.max(1, Math.round((weight * greatestWeight) / greatest)))
}

/** Numeric order of dotted quads. */
function compareAddresses(a: string, b: string): number {
  return a === b ? 0 : numberOf(a) - numberOf(b)
}

function numberOf(address: string): number {
  let number = 0
  let byte = 0
  for (let index = 0; index < address.length; index++) {
    const digit = address.charCodeAt(index) - 48
    if (digit >= 0) byte = byte * 10 + digit
    else {
      number = number * 256 + byte
      byte = 0
    }
  }
  return number * 256 + byte
}

/**
 * Who gets no connections though the catalog says it is well, and the names of those that get no requests for it: nobody while
 * no other instance of the service could take them, since HAProxy's own attempts are then the last chance. A backup counts as
 * another one: HAProxy uses it as soon as the others are out.
 */
export function spareUnreachable(
  seats: readonly Seat[],
  unreachable: ReadonlyMap<string, Unreachable>,
): { readonly out: ReadonlySet<string>; readonly problems: readonly Problem[] } {
  if (unreachable.size === 0) return { out: new Set(), problems: [] }
  const serves = ({ endpoint }: Seat) => isWell(endpoint.instance)
  const hasOthers = seats.some((seat) => serves(seat) && seat.weight > 0 && !unreachable.has(seat.name))
  const problems = seats.filter(serves).flatMap(({ name, endpoint: { instance } }) => {
    const found = unreachable.get(name)
    if (found === undefined) return []
    const reason = hasOthers ? found.why : `${found.why}; it is tried on, as no other instance could take the requests`
    return [problem('unreachable', { service: instance.service, instance: instance.key, subject: name, reason })]
  })
  return { out: new Set(hasOthers ? unreachable.keys() : []), problems }
}

function isWell({ health }: Instance): boolean {
  return health === 'passing' || health === 'warning'
}

/** The servers of one backend. `draining` says since when an instance is in maintenance, `out` who gets no requests in any case. */
export function serversOf(
  seats: readonly Seat[],
  draining: ReadonlyMap<string, Ms>,
  drain: Ms,
  out: ReadonlySet<string>,
  at: Ms,
): readonly Server[] {
  return seats.map(({ name, endpoint, weight, backup }) => ({
    name,
    address: endpoint.address,
    port: endpoint.port,
    weight,
    state: out.has(name) ? 'maint' : stateOf(endpoint.instance, draining, drain, at),
    backup,
    instance: { key: endpoint.instance.key, id: endpoint.instance.id, node: endpoint.instance.node },
    source: endpoint.source,
  }))
}

function stateOf(instance: Instance, draining: ReadonlyMap<string, Ms>, drain: Ms, at: Ms): ServerState {
  switch (instance.health) {
    case 'passing':
    case 'warning':
      return 'ready'
    case 'critical':
      return 'maint'
    case 'maintenance':
      return at < (draining.get(instance.key) ?? at) + drain ? 'drain' : 'maint'
  }
}
