import { z } from 'zod'
import { wakes } from '../control/flow.ts'
import { readMemoryFiles } from '../control/memory-file.ts'
import { getOverSocket } from '../control/socket.ts'
import type { State } from '../control/state.ts'
import { decide, emptyMemory } from '../model/decide.ts'
import { hideUserinfo } from '../printable.ts'
import { renderCandidate } from '../render/config.ts'
import { loadTemplates } from '../render/templates.ts'
import { consulSettings, modelSettings, renderSettings } from '../settings/projections.ts'
import type { Settings } from '../settings/schema.ts'
import { type WorldWatch, watchWorld } from '../sources/world.ts'
import { type CandidateView, candidateView, candidateViewOf, snapshotOf } from '../status/documents.ts'
import { explainRequest } from '../status/explain.ts'
import { type ExplainView, explainView } from '../status/explanation.ts'
import { problemsView, routesView } from '../status/lists.ts'
import { type ProblemView, problemView, type RouteView, routeView } from '../status/views.ts'
import type { Candidate, Decision, Memory, World } from '../types.ts'

/** The present, whoever tells it. Every call rejects with a `ViewError` when it can't be told. */
export interface View {
  /** One line: where all of this comes from. */
  readonly origin: string
  /** What a source could not read or say, though it answered. */
  readonly notes: readonly string[]
  readonly routes: () => Promise<readonly RouteView[]>
  readonly problems: () => Promise<readonly ProblemView[]>
  readonly explain: (url: string, method: string, live: boolean) => Promise<ExplainView>
  readonly candidate: () => Promise<CandidateView>
  /** The live input as a snapshot document. */
  readonly snapshot: () => Promise<string>
}

/** Something a person can act on; its message says what. */
export class ViewError extends Error {
  override readonly name = 'ViewError'
}

const longestWait = 30_000

/**
 * The running heddle of the directory answers if there is one. Without it, or when a snapshot file is named, the sources
 * are read once and decided on with the directory's memory, which is not written.
 */
export async function openView(settings: Settings, snapshot: string | null, signal: AbortSignal): Promise<View> {
  if (snapshot === null) {
    const running = await viewOfRunning(settings.control.socket)
    if (running !== null) return running
  }
  return viewOfSources(settings, snapshot, signal)
}

async function viewOfRunning(socket: string): Promise<View | null> {
  const get = async <T>(path: string, schema: z.ZodType<T>): Promise<T> => {
    const answer = await getOverSocket(socket, path, longestWait)
    if (answer.kind === 'failed') throw new ViewError(`the running heddle did not answer: ${answer.why}`)
    if (answer.status !== 200)
      throw new ViewError(messageIn(answer.body) ?? `the running heddle answered ${answer.status}`)
    const parsed = schema.safeParse(answer.body)
    if (!parsed.success) throw new ViewError('the running heddle is of another version; use the command of its version')
    return parsed.data
  }
  const first = await getOverSocket(socket, '/livez', 2_000)
  if (first.kind === 'failed') return null
  return {
    origin: `from the running heddle (${socket})`,
    notes: [],
    routes: () => get('/api/v1/routes', z.array(routeView)),
    problems: () => get('/api/v1/problems', z.array(problemView)),
    explain: (url, method, live) => {
      const query = new URLSearchParams({ url, method, ...(live ? { live: 'true' } : {}) })
      return get(`/api/v1/explain?${query}`, explainView)
    },
    candidate: () => get('/control/v1/candidate', candidateView),
    snapshot: async () => `${JSON.stringify(await get('/control/v1/snapshot', z.unknown()), null, 1)}\n`,
  }
}

function messageIn(body: unknown): string | null {
  const parsed = z.object({ error: z.string(), hint: z.string().optional() }).safeParse(body)
  return parsed.success ? `${parsed.data.error}${parsed.data.hint === undefined ? '' : `; ${parsed.data.hint}`}` : null
}

async function viewOfSources(settings: Settings, snapshot: string | null, signal: AbortSignal): Promise<View> {
  const observed = await observeOnce(settings, snapshot, signal)
  // a file that somebody else made is looked at without what happened here
  const memory = snapshot === null ? await readMemory(settings) : observed.memory
  const decision = decide(observed.world, memory ?? emptyMemory, modelSettings(settings))
  return {
    origin:
      snapshot === null
        ? liveOrigin(settings, memory)
        : `from ${snapshot}${memory === null ? '' : ' and the memory in it'}`,
    notes: observed.notes,
    routes: async () => routesView(stillState(decision)),
    problems: async () => problemsView(stillState(decision)),
    explain: (url, method, live) =>
      explainRequest({ decision, running: null }, settings.haproxy, { url, method, live }),
    candidate: async () => candidateViewOf(await renderOnce(decision, settings)),
    snapshot: async () => snapshotOf(decision, settings.expose.prefix),
  }
}

async function renderOnce(decision: Decision, settings: Settings): Promise<Candidate> {
  const loaded = await loadTemplates(settings.templates)
  if (loaded.kind === 'invalid') {
    const [first] = loaded.problems
    throw new ViewError(
      first === undefined
        ? 'the templates are wrong'
        : `${first.file}:${first.line ?? '?'}: ${first.reason}; ${first.hint}`,
    )
  }
  const rendering = renderCandidate(decision.model, loaded.templates, renderSettings(settings))
  if (rendering.kind === 'failed')
    throw new ViewError(`${rendering.file}:${rendering.line ?? '?'}: ${rendering.reason}`)
  return rendering.candidate
}

/** Reads every source until each has spoken once. */
async function observeOnce(
  settings: Settings,
  snapshot: string | null,
  signal: AbortSignal,
): Promise<{ world: World; memory: Memory | null; notes: readonly string[] }> {
  const bell = wakes()
  const watch = watchWorld(bell.wake)
  const { docker, node, router } = settings.weave
  try {
    watch.follow({ snapshot, consul: consulSettings(settings), docker, node, router, unreachable: null })
    const end = performance.now() + longestWait
    for (;;) {
      const world = watch.world()
      if (world !== null) {
        const notes = [...watch.statuses()].flatMap(([name, { error }]) =>
          error === null ? [] : [`${name}: ${error}`],
        )
        return { world, memory: watch.memory(), notes }
      }
      const fault = faultOf(watch, snapshot)
      if (fault !== null || signal.aborted || performance.now() > end) {
        throw new ViewError(fault ?? `not every source has answered within ${longestWait / 1000} s`)
      }
      await bell.next(end, signal)
    }
  } finally {
    await watch.close()
  }
}

/** Why waiting is of no use: a person wants to know at once, a daemon would go on trying. */
function faultOf(watch: WorldWatch, snapshot: string | null): string | null {
  for (const [name, { state, error }] of watch.statuses()) {
    if (state === 'waiting' && error !== null) {
      const isUnreachable = snapshot === null && /connect|getaddrinfo|no answer/.test(error)
      const hint = isUnreachable ? '; is consul.address right? --snapshot FILE works without Consul' : ''
      return `${name}: ${error}${hint}`
    }
  }
  return null
}

function liveOrigin({ consul, haproxy: { directory } }: Settings, memory: Memory | null): string {
  const memoryText =
    memory === null ? `; no heddle runs in ${directory}` : `, with the memory in ${directory}, where no heddle runs`
  return `from Consul at ${hideUserinfo(consul.address, '(hidden)')}${memoryText}`
}

/** Null: there is none that can be read. */
async function readMemory(settings: Settings): Promise<Memory | null> {
  return (await readMemoryFiles(settings.haproxy.directory)).memory
}

/** A state of which only the decision is known, for the projections. */
function stillState(decision: Decision): Pick<State, 'decision' | 'running'> {
  return { decision, running: null }
}
