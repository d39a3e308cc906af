import { mapFiles } from '../render/maps.ts'
import { changedKeys } from '../same.ts'
import type { BackendId, Candidate, EntryChange, Running, Step } from '../types.ts'

type Entries = ReadonlyMap<string, string>

/** Map files in the order they are changed in: routes first, the monitor's state last. */
export function mapSteps(running: Running, candidate: Candidate, exists: (id: BackendId) => boolean): readonly Step[] {
  const files = [...candidate.maps.keys()].filter((file) => file !== mapFiles.revision)
  const rank = (file: string) => (file === mapFiles.routes ? 0 : file === mapFiles.state ? 2 : 1)
  files.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))

  const isServable = servableBy(exists)
  const servesNothing = isEmptyOf(candidate.maps.get(mapFiles.routes) ?? new Map(), isServable)
  return files.flatMap((file) => {
    if (file === mapFiles.routes) return mapStep(file, running, candidate, isServable)
    // an edge whose first routes wait for the reload is not up yet
    if (file === mapFiles.state) return mapStep(file, running, candidate, () => !servesNothing)
    return mapStep(file, running, candidate, () => true)
  })
}

/**
 * Backends that answer, until a reload, for those that only it can make: routes to these are held back and lead where they
 * led.
 */
export function standIns(
  running: Running,
  candidate: Candidate,
  exists: (id: BackendId) => boolean,
): ReadonlySet<BackendId> {
  const isServable = servableBy(exists)
  const present = running.maps.get(mapFiles.routes)
  const found = new Set<BackendId>()
  for (const [key, value] of candidate.maps.get(mapFiles.routes) ?? []) {
    const from = isServable(value) ? undefined : present?.get(key)
    if (from !== undefined) found.add(backendOf(from))
  }
  return found
}

/** Our own sections (`:none`, `:redirect`) are in every structure of ours. */
function servableBy(exists: (id: BackendId) => boolean): (value: string) => boolean {
  return (value) => {
    const id = backendOf(value)
    return id.startsWith(':') || exists(id)
  }
}

function backendOf(value: string): BackendId {
  return value.split('|', 1)[0] ?? ''
}

/** True where there are entries, and none is of that kind. */
function isEmptyOf(entries: Entries, isOfThatKind: (value: string) => boolean): boolean {
  for (const value of entries.values()) if (isOfThatKind(value)) return false
  return entries.size > 0
}

/** Maps found to be as wanted, with what ran then: both keep their identity while nothing changes. */
const settled = new WeakMap<Entries, Entries>()

/** One step with all that differs, or none. A value that may not be set yet leaves its key as it is. */
export function mapStep(
  file: string,
  running: Running,
  candidate: Candidate,
  maySet: (value: string) => boolean,
): readonly Step[] {
  const wanted = candidate.maps.get(file)
  // the running configuration reads no such map: there is nothing to change
  const present = running.maps.get(file)
  if (present === undefined) return []
  if (wanted === undefined || settled.get(wanted) === present) return []
  const changes = new Map<string, EntryChange>()
  let held = 0
  for (const key of changedKeys(present, wanted)) {
    const [from, to] = [present.get(key) ?? null, wanted.get(key) ?? null]
    if (to === null || maySet(to)) changes.set(key, { from, to })
    else held++
  }
  if (changes.size === 0 && held === 0) settled.set(wanted, present)
  return changes.size === 0 ? [] : [{ do: 'map', file, changes }]
}
