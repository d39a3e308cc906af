import { seatsOf, sectionsOf, unseatedMaps, unseatedServers } from '../../src/haproxy/seats.ts'
import { withFirstField } from '../../src/render/maps.ts'
import { wordsOf } from '../../src/render/server-line.ts'
import type { Running, RunningServer, Step } from '../../src/types.ts'

/** A small HAProxy for the tests of the plan: sections by their names, among them spare ones, and maps. */
export interface Worker {
  readonly structure: string
  readonly sections: ReadonlyMap<string, ReadonlyMap<string, RunningServer>>
  /** With seats.map, unless its configuration has none. */
  readonly maps: ReadonlyMap<string, ReadonlyMap<string, string>>
  /** Frontends that take no connections. */
  readonly closed: ReadonlySet<string>
  /** Servers with requests that go on until they are ended, as `section/name`. */
  readonly busy: ReadonlySet<string>
}

/** What it tells when all of it is read back. */
export function observed({ structure, sections, maps, closed }: Worker): Running {
  const seats = seatsOf(maps)
  const listed = new Map([...sections].filter(([, servers]) => servers.size > 0))
  return {
    pid: 1,
    version: '2.6.12',
    structure,
    revision: maps.get('revision.map')?.get('revision') ?? '',
    seats,
    servers: unseatedServers(listed, seats),
    closed,
    maps: unseatedMaps(maps, seats),
  }
}

/** Does what the runtime API would, and throws what HAProxy would say. */
export function afterStep(worker: Worker, step: Step): Worker {
  if (step.do === 'seat') return withEntry(worker, 'seats.map', step.spare, step.backend)
  const sectionOf = sectionsOf(seatsOf(worker.maps))
  if (step.do === 'map') {
    let after = worker
    for (const [key, { from, to }] of step.changes) {
      const present = worker.maps.get(step.file)?.get(key) ?? null
      if ((present === null) !== (from === null)) throw new Error(`${step.file} ${key}: entry not found.`)
      const value = to !== null && step.file === 'routes.map' ? withFirstField(to, sectionOf) : to
      after = withEntry(after, step.file, key, value)
    }
    return after
  }
  if (step.do === 'open')
    return { ...worker, closed: new Set([...worker.closed].filter((one) => one !== step.frontend)) }
  const section = sectionOf(step.backend)
  const servers = new Map(worker.sections.get(section))
  if (!worker.sections.has(section)) throw new Error(`No such backend ${section}.`)
  const name = step.do === 'add' ? step.server.name : step.server
  const place = `${section}/${name}`
  const present = servers.get(name)
  let { busy } = worker
  if (step.do === 'add') {
    if (present !== undefined) throw new Error(`Already exists a server with the same name ${place}.`)
    const { weight, state } = step.server
    servers.set(name, { weight, state, address: name, words: wordsOf(step.server, step.section) })
  } else {
    if (present === undefined) throw new Error(`No such server ${place}.`)
    const changed = change(present, step)
    if (step.do === 'shutdown') busy = new Set([...busy].filter((one) => one !== place))
    if (step.do !== 'delete') servers.set(name, changed)
    else if (present.state !== 'maint') throw new Error(`Only servers in maintenance mode can be deleted: ${place}.`)
    else if (!busy.has(place)) servers.delete(name)
  }
  return { ...worker, busy, sections: new Map([...worker.sections, [section, servers]]) }
}

function change(server: RunningServer, step: Exclude<Step, { do: 'add' | 'map' | 'seat' | 'open' }>): RunningServer {
  switch (step.do) {
    case 'weigh':
      return { ...server, weight: step.weight }
    case 'state':
      return { ...server, state: step.state }
    case 'limit':
      return { ...server, words: step.words }
    case 'readdress':
      return { ...server, address: step.server }
    case 'shutdown':
    case 'delete':
      return server
  }
}

/** `value` null: without it. */
function withEntry(worker: Worker, file: string, key: string, value: string | null): Worker {
  const entries = new Map(worker.maps.get(file))
  if (value === null) entries.delete(key)
  else entries.set(key, value)
  return { ...worker, maps: new Map([...worker.maps, [file, entries]]) }
}

/** Servers that a request for each key of routes.map can be sent to; null: it leads to no section. */
export function answers({ sections, maps }: Worker): ReadonlyMap<string, readonly string[] | null> {
  return new Map(
    [...(maps.get('routes.map') ?? [])].map(([key, value]) => {
      const servers = sections.get(value.split('|', 1)[0] ?? '')
      if (servers === undefined) return [key, null]
      const ready = [...servers.values()].filter(({ state, weight }) => state === 'ready' && weight > 0)
      return [key, ready.map(({ address }) => address).sort()]
    }),
  )
}
