import { byText } from '../order.ts'
import { differOnlyInLimit, wordsOf } from '../render/server-line.ts'
import { changedKeys } from '../same.ts'
import type { Backend, BackendId, Model, Plan, ReloadReason, Running, RunningServer, Server, Step } from '../types.ts'

/** What the servers of all backends lack. */
export interface MemberSteps {
  /** Servers that come or come back. */
  readonly grow: Step[]
  readonly change: Step[]
  /** No new requests to who has left. */
  readonly shrink: Step[]
  readonly leaving: Plan['leaving'][number][]
  /** Of servers that can't be changed while HAProxy runs. */
  readonly reload: ReloadReason[]
}

type Servers = ReadonlyMap<string, RunningServer>
const noServers: Servers = new Map()

/** What was looked at last, and which backends were not as wanted then. All others need no look while they keep their identity. */
interface Looked {
  readonly backends: Model['backends']
  readonly servers: Running['servers']
  readonly open: ReadonlySet<BackendId>
}
let looked: Looked = { backends: new Map(), servers: new Map(), open: new Set() }

/**
 * Costs about as much as has changed since the last time. `exists`: there is a section for it. `mayLeave`: one that is not wanted
 * is ours, and nobody needs it any more.
 */
export function memberSteps(
  running: Running,
  { backends }: Model,
  exists: (id: BackendId) => boolean,
  mayLeave: (id: BackendId) => boolean,
): MemberSteps {
  const steps: MemberSteps = { grow: [], change: [], shrink: [], leaving: [], reload: [] }
  const { servers } = running
  const open = new Set<BackendId>()
  for (const id of idsToLookAt(backends, servers)) {
    const [backend, present] = [backends.get(id), servers.get(id) ?? noServers]
    const before = sizeOf(steps)
    const isDue = backend === undefined ? mayLeave(id) : exists(id)
    if (isDue && backend === undefined) planLeaving(id, present, new Set(), steps)
    if (isDue && backend !== undefined) planBackend(backend, present, steps)
    if (!isDue || sizeOf(steps) > before) open.add(id)
  }
  looked = { backends, servers, open }
  return steps
}

function idsToLookAt(backends: Model['backends'], servers: Running['servers']): readonly BackendId[] {
  const ids = new Set(looked.open)
  for (const id of changedKeys(looked.backends, backends)) ids.add(id)
  for (const id of changedKeys(looked.servers, servers)) ids.add(id)
  return [...ids].sort(byText)
}

function planBackend(backend: Backend, running: Servers, steps: MemberSteps): void {
  for (const server of backend.servers) {
    const present = running.get(server.name)
    if (present === undefined) steps.grow.push({ do: 'add', backend: backend.id, section: backend.section, server })
    else planServer(backend, server, present, steps)
  }
  const wanted = new Set(backend.servers.map(({ name }) => name))
  planLeaving(backend.id, running, wanted, steps)
}

function sizeOf({ grow, change, shrink, leaving, reload }: MemberSteps): number {
  return grow.length + change.length + shrink.length + leaving.length + reload.length
}

function planServer({ id, section }: Backend, server: Server, present: RunningServer, steps: MemberSteps): void {
  const { name, weight, state } = server
  if (present.address !== name) steps.change.push({ do: 'readdress', backend: id, server: name })
  // first of all no new requests, if it is to get none
  if (present.state !== state) {
    const list = state === 'ready' ? steps.grow : steps.change
    list.push({ do: 'state', backend: id, server: name, state })
  }
  if (present.weight !== weight) steps.change.push({ do: 'weigh', backend: id, server: name, weight })
  const words = wordsOf(server, section)
  // of most servers there is nothing that would have to be known
  if (present.words === words || (present.words === null && words === '')) return
  if (present.words !== null && differOnlyInLimit(present.words, words)) {
    steps.change.push({ do: 'limit', backend: id, server: name, maxconn: section.maxconn, words })
  } else steps.reload.push({ code: 'server', subject: `${id}/${name}` })
}

function planLeaving(id: BackendId, running: Servers, wanted: ReadonlySet<string>, steps: MemberSteps): void {
  const left = [...running].filter(([name]) => !wanted.has(name)).sort(([a], [b]) => byText(a, b))
  for (const [name, { state }] of left) {
    if (state !== 'maint') steps.shrink.push({ do: 'state', backend: id, server: name, state: 'maint' })
    steps.leaving.push({ backend: id, server: name })
  }
}
