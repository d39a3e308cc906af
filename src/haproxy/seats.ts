import { mapFiles, withFirstField } from '../render/maps.ts'
import { isSpare } from '../render/spares.ts'
import type { BackendId, Running } from '../types.ts'

/**
 * Between the names of sections, as HAProxy knows them, and those of the backends that sit in them. They differ only for a
 * backend in a spare section.
 */
type Seats = Running['seats']

/** By seats.map; null: the running configuration has none. One backend has one seat: of two the first counts. */
export function seatsOf(maps: ReadonlyMap<string, ReadonlyMap<string, string>>): Seats {
  const entries = maps.get(mapFiles.seats)
  if (entries === undefined) return null
  const seats = new Map<BackendId, string>()
  for (const [spare, id] of entries) if (isSpare(spare) && !seats.has(id)) seats.set(id, spare)
  return seats
}

/** Whether a text can be the name of a section, and so be part of a command. */
export function isSectionName(text: string): boolean {
  return /^:?[\w.-](?:[\w.:-]{0,98}[\w.-])?$/.test(text)
}

/** The section of a backend. */
export function sectionsOf(seats: Seats): (backend: BackendId) => string {
  return (backend) => seats?.get(backend) ?? backend
}

/** The backend of a section. */
export function backendsOf(seats: Seats): (section: string) => BackendId {
  const backends = new Map([...(seats ?? [])].map(([id, spare]) => [spare, id]))
  return (section) => backends.get(section) ?? section
}

export function unseatedServers<Servers>(
  servers: ReadonlyMap<string, Servers>,
  seats: Seats,
): ReadonlyMap<BackendId, Servers> {
  if (seats === null || seats.size === 0) return servers
  const find = backendsOf(seats)
  return new Map([...servers].map(([section, own]) => [find(section), own]))
}

/** Without seats.map itself. */
export function unseatedMaps(found: Running['maps'], seats: Seats): Running['maps'] {
  const find = backendsOf(seats)
  const isAny = seats !== null && seats.size > 0
  return new Map(
    [...found]
      .filter(([file]) => file !== mapFiles.seats)
      .map(([file, entries]) => [file, isAny ? unseatedEntries(file, entries, find) : entries]),
  )
}

type Entries = ReadonlyMap<string, string>

/** `find` tells the backend of a section. */
export function unseatedEntries(file: string, entries: Entries, find: (section: string) => BackendId): Entries {
  if (file !== mapFiles.routes) return entries
  return new Map([...entries].map(([key, value]) => [key, unseatedValue(file, value, find)]))
}

/** Names of spares begin with `:`. */
export function unseatedValue(file: string, value: string, find: (section: string) => BackendId): string {
  return file === mapFiles.routes && value.startsWith(':') ? withFirstField(value, find) : value
}
