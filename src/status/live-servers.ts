import type { Loads, ServerLoad } from '../haproxy/loads.ts'
import { sectionsOf } from '../haproxy/seats.ts'
import type { Backend, Endpoint, Running, RunningServer } from '../types.ts'
import type { LiveServerView } from './views.ts'

/** What the running HAProxy has of the instances of a service. */

/** Sections of these backends that have servers. */
export function sectionsWithServers(backends: readonly Backend[], { servers, seats }: Running): readonly string[] {
  const sectionOf = sectionsOf(seats)
  return backends.filter(({ id }) => servers.has(id)).map(({ id }) => sectionOf(id))
}

/**
 * Null: HAProxy has no server for the instance. One that is wanted no more is still its own, unless it is another
 * instance's by now.
 */
export function liveServerOf(
  endpoint: Endpoint,
  backends: readonly Backend[],
  running: Running,
  loads: Loads['sections'],
): LiveServerView | null {
  if (endpoint.kind !== 'reachable') return null
  const name = `${endpoint.address}:${endpoint.port}`
  const sectionOf = sectionsOf(running.seats)
  const found = backends.flatMap(({ id, servers }) => {
    const server = running.servers.get(id)?.get(name)
    const wanted = servers.find((one) => one.name === name)
    const isOwn = wanted === undefined || wanted.instance.key === endpoint.instance.key
    return server !== undefined && isOwn ? [viewOf(server, loads.get(sectionOf(id))?.get(name))] : []
  })
  return found.length === 0 ? null : found.reduce(together)
}

function viewOf({ state, weight }: RunningServer, load: ServerLoad | undefined): LiveServerView {
  const { sessions = null, total = null, queue = null } = load ?? {}
  return { state, weight, sessions, total, queue }
}

const fromLeast = ['maint', 'drain', 'ready']

function together(a: LiveServerView, b: LiveServerView): LiveServerView {
  const least = fromLeast.indexOf(b.state) < fromLeast.indexOf(a.state) ? b : a
  const sum = (x: number | null, y: number | null) => (x === null || y === null ? null : x + y)
  return {
    state: least.state,
    weight: least.weight,
    sessions: sum(a.sessions, b.sessions),
    total: sum(a.total, b.total),
    queue: sum(a.queue, b.queue),
  }
}
