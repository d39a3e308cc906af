import { inOrderOfIds } from '../model/backend-id.ts'
import { mapFiles } from '../render/maps.ts'
import { changedKeys } from '../same.ts'
import type {
  Backend,
  BackendId,
  Candidate,
  Model,
  Plan,
  ReloadReason,
  Running,
  RunningServer,
  Step,
} from '../types.ts'

/** What is wanted, in both of its forms; `candidate` was rendered from `model`. */
export interface Wanted {
  readonly model: Model
  readonly candidate: Candidate
}

/**
 * How well the running structure is known. `same`: it is the wanted one. `known`: it is the installed one. `unknown`: of
 * ours by its looks, made by who knows which version. `foreign`: it names no structure of ours.
 */
type Standing = 'same' | 'known' | 'unknown' | 'foreign'

type Entries = ReadonlyMap<string, string>

/**
 * What takes the running HAProxy to what is wanted: always against what runs, never against what was hoped for, so it can be
 * asked again after any surprise. Nothing to do: both lists are empty.
 *
 * The steps are in an order that is safe to stop at any point: servers come before the routes that need them, routes go
 * before the servers they used, and the entry of revision.map, the claim that everything is in effect, is the very last.
 * It is held back while a reload is due, but for sections that are merely left over. So are routes into backends that only
 * a reload can make: until then such a request goes where it went before.
 *
 * A structure that isn't known to be ours gets no map entries (another version may read them otherwise), a foreign one gets
 * no steps at all.
 *
 * `installed` is the newest candidate that was installed; it counts if it has the running structure. `applied` is the model
 * that the running servers were made from, as far as it is known: HAProxy doesn't tell what it would take to see that a
 * server became a backup.
 */
export function plan(
  running: Running,
  wanted: Wanted,
  installed: Candidate | null,
  applied: Model | null = null,
): Plan {
  const { model, candidate } = wanted
  const standing = standingOf(running, candidate, installed)
  const known = standing === 'same' ? candidate : standing === 'known' ? installed : null
  // the part called `global` is there whether or not a service of that name is
  const exists = (id: BackendId) =>
    standing === 'same' || running.servers.has(id) || (id !== 'global' && known?.parts.has(id) === true)

  const reload = [
    ...structureReasons(standing, running, candidate, installed),
    ...serverReasons(running, model, applied),
  ]
  if (standing === 'foreign') return { steps: [], reload }

  const members = memberSteps(running, model, exists)
  const maps = known === null ? [] : mapSteps(running, candidate, exists)
  const isWhole = known !== null && reload.every(({ code }) => code === 'gone-backend')
  const revision = isWhole ? mapStep(mapFiles.revision, running, candidate, () => true) : []
  return { steps: [...members.grow, ...maps, ...members.change, ...members.shrink, ...revision], reload }
}

function standingOf(running: Running, candidate: Candidate, installed: Candidate | null): Standing {
  if (running.structure === candidate.structure) return 'same'
  if (running.structure === installed?.structure) return 'known'
  const looksOurs = /^[0-9a-f]+$/.test(running.structure) && running.structure.length === candidate.structure.length
  return looksOurs ? 'unknown' : 'foreign'
}

// ---------------------------------------------------------------------------------------------- reload

function structureReasons(
  standing: Standing,
  running: Running,
  candidate: Candidate,
  installed: Candidate | null,
): readonly ReloadReason[] {
  if (standing === 'same') return []
  if (standing !== 'known' || installed === null) return [{ code: 'not-ours', subject: running.structure }]
  const before = installed.parts
  const after = candidate.parts
  const global: ReloadReason[] =
    before.get('global') === after.get('global') ? [] : [{ code: 'global', subject: 'global' }]
  const sections = [...new Set([...before.keys(), ...after.keys()])]
    .filter((id) => id !== 'global' && before.get(id) !== after.get(id))
    .sort()
    .map((id): ReloadReason => {
      if (!before.has(id)) return { code: 'new-backend', subject: id }
      return { code: after.has(id) ? 'section' : 'gone-backend', subject: id }
    })
  // the structures differ, so there is a reason even if no part shows it
  if (global.length + sections.length === 0) return [{ code: 'global', subject: 'global' }]
  return [...global, ...sections]
}

function serverReasons(running: Running, model: Model, applied: Model | null): readonly ReloadReason[] {
  const reasons: ReloadReason[] = []
  if (applied === null) return reasons
  for (const id of changedKeys(applied.backends, model.backends)) {
    const before = applied.backends.get(id)
    const backend = model.backends.get(id)
    if (before === undefined || backend === undefined) continue
    const wasBackup = new Map(before.servers.map(({ name, backup }) => [name, backup]))
    for (const { name, backup } of backend.servers) {
      const was = wasBackup.get(name)
      if (was !== undefined && was !== backup && running.servers.get(id)?.has(name) === true)
        reasons.push({ code: 'server', subject: `${id}/${name}` })
    }
  }
  return reasons.sort((a, b) => (a.subject < b.subject ? -1 : 1))
}

// ---------------------------------------------------------------------------------------------- servers

interface MemberSteps {
  /** Servers that come or come back. */
  readonly grow: Step[]
  readonly change: Step[]
  readonly shrink: Step[]
}

/** Backends found to be as wanted, with what ran then: both keep their identity while nothing changes. */
const settledBackends = new WeakMap<Backend, ReadonlyMap<string, RunningServer>>()
const noServers: ReadonlyMap<string, RunningServer> = new Map()

function memberSteps(running: Running, model: Model, exists: (id: BackendId) => boolean): MemberSteps {
  const steps: MemberSteps = { grow: [], change: [], shrink: [] }
  for (const backend of inOrderOfIds(model)) {
    const { id } = backend
    if (!exists(id)) continue
    const servers = running.servers.get(id) ?? noServers
    if (settledBackends.get(backend) === servers) continue
    if (!planServers(backend, servers, steps)) settledBackends.set(backend, servers)
  }
  return steps
}

/** Adds the steps of one backend; true when there was one. */
function planServers(backend: Backend, running: ReadonlyMap<string, RunningServer>, steps: MemberSteps): boolean {
  const id = backend.id
  const before = steps.grow.length + steps.change.length + steps.shrink.length
  for (const server of backend.servers) {
    const { name, weight, state } = server
    const present = running.get(name)
    if (present === undefined) {
      steps.grow.push({ do: 'add', backend: id, section: backend.section, server })
      continue
    }
    if (present.weight !== weight) steps.change.push({ do: 'weigh', backend: id, server: name, weight })
    if (present.state !== state) {
      const list = state === 'ready' ? steps.grow : steps.change
      list.push({ do: 'state', backend: id, server: name, state })
    }
  }
  const wanted = new Set(backend.servers.map(({ name }) => name))
  for (const name of [...running.keys()].sort())
    if (!wanted.has(name)) steps.shrink.push({ do: 'remove', backend: id, server: name })
  return steps.grow.length + steps.change.length + steps.shrink.length > before
}

// ---------------------------------------------------------------------------------------------- maps

/** Map files in the order they are changed in: routes first, the monitor's state last. */
function mapSteps(running: Running, candidate: Candidate, exists: (id: BackendId) => boolean): readonly Step[] {
  const files = [...candidate.maps.keys()].filter((file) => file !== mapFiles.revision)
  const rank = (file: string) => (file === mapFiles.routes ? 0 : file === mapFiles.state ? 2 : 1)
  files.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1))

  // our own sections (`:none`, `:redirect`) are in every structure of ours
  const isServable = (value: string) => {
    const id = value.split('|', 1)[0] ?? ''
    return id.startsWith(':') || exists(id)
  }
  const servesNothing = isEmptyOf(candidate.maps.get(mapFiles.routes) ?? new Map(), isServable)
  return files.flatMap((file) => {
    if (file === mapFiles.routes) return mapStep(file, running, candidate, isServable)
    // an edge whose first routes wait for the reload is not up yet
    if (file === mapFiles.state) return mapStep(file, running, candidate, () => !servesNothing)
    return mapStep(file, running, candidate, () => true)
  })
}

/** True where there are entries, and none is of that kind. */
function isEmptyOf(entries: Entries, isOfThatKind: (value: string) => boolean): boolean {
  for (const value of entries.values()) if (isOfThatKind(value)) return false
  return entries.size > 0
}

const settledMaps = new WeakMap<Entries, Entries>()

/** One step with all that differs, or none. A value that may not be set yet leaves its key as it is. */
function mapStep(
  file: string,
  running: Running,
  candidate: Candidate,
  maySet: (value: string) => boolean,
): readonly Step[] {
  const wanted = candidate.maps.get(file)
  // the running configuration reads no such map: there is nothing to change
  const present = running.maps.get(file)
  if (present === undefined) return []
  if (wanted === undefined || settledMaps.get(wanted) === present) return []
  const changes = new Map<string, string | null>()
  let held = 0
  for (const [key, value] of wanted) {
    if (present.get(key) === value) continue
    if (maySet(value)) changes.set(key, value)
    else held++
  }
  for (const key of present.keys()) if (!wanted.has(key)) changes.set(key, null)
  if (changes.size === 0 && held === 0) settledMaps.set(wanted, present)
  return changes.size === 0 ? [] : [{ do: 'map', file, changes }]
}
