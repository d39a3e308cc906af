import { wordsOf } from '../render/server-line.ts'
import { sameEntries } from '../same.ts'
import type { BackendId, Model, Running, RunningServer } from '../types.ts'

/** What is known of a running worker beyond what was read back, and where two readings of it differ. */

type Servers = ReadonlyMap<string, RunningServer>

/** With the options of its servers, which HAProxy doesn't tell: they are those of the model that it was started with. */
export function withWordsOf(running: Running, { backends }: Model): Running {
  const servers = new Map<BackendId, Servers>()
  for (const [id, own] of running.servers) {
    const backend = backends.get(id)
    const known = new Map(backend?.servers.map((server) => [server.name, server]))
    const words = (name: string) => {
      const server = known.get(name)
      return backend === undefined || server === undefined ? null : wordsOf(server, backend.section)
    }
    servers.set(id, new Map([...own].map(([name, server]) => [name, { ...server, words: words(name) }])))
  }
  return { ...running, servers }
}

/** A later reading of the same worker, with what was known before; what is equal keeps its identity. */
export function withKnown(before: Running, read: Running): Running {
  const servers = new Map<BackendId, Servers>()
  for (const [id, own] of read.servers) servers.set(id, keepServers(before.servers.get(id), own))
  const maps = new Map([...read.maps].map(([file, entries]) => [file, keepEntries(before.maps.get(file), entries)]))
  return { ...read, servers, maps }
}

function keepServers(before: Servers | undefined, read: Servers): Servers {
  if (before === undefined) return read
  const kept = new Map(
    [...read].map(([name, server]) => {
      const known = before.get(name)
      if (known === undefined || known.address !== server.address) return [name, server]
      return [name, isSameServer(known, server) ? known : { ...server, words: known.words }]
    }),
  )
  return sameEntries(before, kept) ? before : kept
}

function isSameServer(a: RunningServer, b: RunningServer): boolean {
  return a.weight === b.weight && a.state === b.state && a.address === b.address
}

function keepEntries(before: ReadonlyMap<string, string> | undefined, read: ReadonlyMap<string, string>) {
  return before !== undefined && sameEntries(before, read) ? before : read
}

export interface Difference {
  readonly what: 'server' | 'map' | 'seat' | 'frontend'
  readonly subject: string
}

/** In what two readings of one worker differ; `read` was made of `before` by `withKnown`. */
export function differences(before: Running, read: Running): readonly Difference[] {
  const found: Difference[] = []
  for (const id of new Set([...before.servers.keys(), ...read.servers.keys()])) {
    const [a, b] = [before.servers.get(id), read.servers.get(id)]
    if (a === b) continue
    for (const name of new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])]))
      if (a?.get(name) !== b?.get(name)) found.push({ what: 'server', subject: `${id}/${name}` })
  }
  for (const file of new Set([...before.maps.keys(), ...read.maps.keys()])) {
    const [a, b] = [before.maps.get(file), read.maps.get(file)]
    if (a === b) continue
    for (const key of new Set([...(a?.keys() ?? []), ...(b?.keys() ?? [])]))
      if (a?.get(key) !== b?.get(key)) found.push({ what: 'map', subject: `${file} ${key}` })
  }
  for (const id of new Set([...(before.seats?.keys() ?? []), ...(read.seats?.keys() ?? [])]))
    if (before.seats?.get(id) !== read.seats?.get(id)) found.push({ what: 'seat', subject: id })
  for (const name of read.closed) if (!before.closed.has(name)) found.push({ what: 'frontend', subject: name })
  return found
}

/** `current`, with whatever of it has not been touched since `start` as it was read meanwhile. */
export function withReading(current: Running, start: Running, read: Running): Running {
  return {
    ...current,
    seats: current.seats === start.seats ? read.seats : current.seats,
    servers: untouched(current.servers, start.servers, read.servers),
    closed: current.closed === start.closed ? read.closed : current.closed,
    maps: untouched(current.maps, start.maps, read.maps),
    revision: current.revision === start.revision ? read.revision : current.revision,
  }
}

function untouched<Value>(
  current: ReadonlyMap<string, Value>,
  start: ReadonlyMap<string, Value>,
  read: ReadonlyMap<string, Value>,
): ReadonlyMap<string, Value> {
  const merged = new Map<string, Value>()
  for (const key of new Set([...current.keys(), ...read.keys()])) {
    const value = (current.get(key) === start.get(key) ? read : current).get(key)
    if (value !== undefined) merged.set(key, value)
  }
  return sameEntries(current, merged) ? current : merged
}
