import { inOrderOfIds } from '../model/backend-id.ts'
import { byText } from '../order.ts'
import { differOnlyInLimit, wordsOf } from '../render/server-line.ts'
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

/** Backends found to be as wanted, with what ran then: both keep their identity while nothing changes. */
const settled = new WeakMap<Backend, Servers>()
const noServers: Servers = new Map()

export function memberSteps(running: Running, model: Model, exists: (id: BackendId) => boolean): MemberSteps {
  const steps: MemberSteps = { grow: [], change: [], shrink: [], leaving: [], reload: [] }
  let found = 0
  for (const backend of inOrderOfIds(model)) {
    const { id } = backend
    const servers = running.servers.get(id)
    if (servers !== undefined) found++
    if (settled.get(backend) === (servers ?? noServers) || !exists(id)) continue
    if (!planBackend(backend, servers ?? noServers, steps)) settled.set(backend, servers ?? noServers)
  }
  if (found === running.servers.size) return steps
  for (const id of [...running.servers.keys()].filter((one) => !model.backends.has(one)).sort(byText)) {
    planLeaving(id, running.servers.get(id) ?? noServers, new Set(), steps)
  }
  return steps
}

/** Adds the steps of one backend; true when it is not as wanted yet. */
function planBackend(backend: Backend, running: Servers, steps: MemberSteps): boolean {
  const before = sizeOf(steps)
  for (const server of backend.servers) {
    const present = running.get(server.name)
    if (present === undefined) steps.grow.push({ do: 'add', backend: backend.id, section: backend.section, server })
    else planServer(backend, server, present, steps)
  }
  const wanted = new Set(backend.servers.map(({ name }) => name))
  planLeaving(backend.id, running, wanted, steps)
  return sizeOf(steps) > before
}

function sizeOf({ grow, change, shrink, leaving, reload }: MemberSteps): number {
  return grow.length + change.length + shrink.length + leaving.length + reload.length
}

function planServer({ id, section }: Backend, server: Server, present: RunningServer, steps: MemberSteps): void {
  const { name, weight, state } = server
  if (present.address !== name) steps.change.push({ do: 'readdress', backend: id, server: name })
  if (present.weight !== weight) steps.change.push({ do: 'weigh', backend: id, server: name, weight })
  if (present.state !== state) {
    const list = state === 'ready' ? steps.grow : steps.change
    list.push({ do: 'state', backend: id, server: name, state })
  }
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
