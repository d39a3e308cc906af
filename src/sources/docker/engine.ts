import { backoff, pause } from '../../backoff.ts'
import type { Engine, Ms } from '../../types.ts'
import type { LineStream } from '../http-get.ts'
import { type DockerApi, type DockerEndpoint, dockerApi } from './api.ts'
import { decodeEvent } from './decode.ts'
import { type Inspector, inspector } from './inspector.ts'
import { type ContainerTable, containerTable, type TombstoneLimits } from './table.ts'

export interface EngineOptions {
  /** Longest time between two full lists: what a silent event stream can cost. */
  readonly relistEvery: Ms
  /** Of one request, from its first byte to the last of the answer. */
  readonly timeout: Ms
  /** Of one answer, or one event. */
  readonly maxBytes: number
  /** Inspections at a time. */
  readonly concurrency: number
  readonly retryAfter: readonly Ms[]
  /** Reconnection: full jitter below `first`, doubled up to `longest`; never two attempts within `shortest`. */
  readonly backoff: { readonly first: Ms; readonly longest: Ms; readonly shortest: Ms }
  readonly tombstones: TombstoneLimits
}

/** How one engine is doing, and what it said. */
export interface EngineState {
  readonly engine: Engine
  /** Why the last answer can't be relied on; null: it is kept up to date by events. */
  readonly why: string | null
  /** Of the last full answer; null: none yet. */
  readonly at: Ms | null
  readonly errors: number
}

const none: Engine = new Map()

/** Follows one engine until `signal` is aborted; never rejects. `publish` is first called when it answered or failed. */
export async function followEngine(
  endpoint: DockerEndpoint,
  options: EngineOptions,
  publish: (state: EngineState) => void,
  signal: AbortSignal,
): Promise<void> {
  const table = containerTable(options.tombstones)
  let at: Ms | null = null
  let errors = 0
  // What was seen before the first whole answer is no engine yet.
  const tell = (why: string | null) => publish({ engine: at === null ? none : table.view(), why, at, errors })

  const heard = {
    onAnswer: () => {
      at = Date.now()
      table.prune(at)
    },
    onChange: tell,
    onError: () => errors++,
  }

  let failures = 0
  while (!signal.aborted) {
    const began = performance.now()
    const controller = new AbortController()
    const abort = () => controller.abort()
    signal.addEventListener('abort', abort, { once: true })
    const api = await dockerApi(endpoint, options)
    const end = api.ok
      ? await session(api.value, table, options, heard, controller.signal)
      : { why: api.error, hasAnswered: false }
    controller.abort()
    signal.removeEventListener('abort', abort)
    if (api.ok) api.value.close()
    if (signal.aborted) return
    errors++
    tell(end.why)
    const lasted = performance.now() - began
    failures = end.hasAnswered && lasted > options.backoff.longest ? 1 : failures + 1
    await pause(Math.max(backoff(failures, options.backoff), options.backoff.shortest - lasted), signal)
  }
}

interface Heard {
  /** All containers were listed and looked at. */
  readonly onAnswer: () => void
  /** Something may have changed since; with why not all of it can be relied on. */
  readonly onChange: (why: string | null) => void
  readonly onError: () => void
}

/** From a connection to its end; resolves with the reason, and whether it got as far as a whole answer. */
async function session(
  api: DockerApi,
  table: ContainerTable,
  options: EngineOptions,
  heard: Heard,
  signal: AbortSignal,
): Promise<{ why: string; hasAnswered: boolean }> {
  let hasAnswered = false
  const tell = () => {
    if (hasAnswered && !signal.aborted) heard.onChange(whyIncomplete(containers))
  }
  const containers = inspector(api, table, options, { onChange: tell, onError: heard.onError }, signal)
  // of the stream that is open; a promise that outlived it would keep all who ever waited for it
  let end = (_why: string) => {}
  let over = Promise.resolve('')
  const onEvent = (line: string) => {
    try {
      if (takeEvent(line, table, containers)) tell()
    } catch {
      end('GET /events: expected one JSON object a line')
    }
  }

  let stream: LineStream | null = null
  try {
    for (;;) {
      // The next stream begins before the last one is left, and each list after its stream: nothing falls between.
      over = new Promise<string>((resolve) => {
        end = resolve
      })
      const next = await api.events(onEvent, signal)
      stream?.close()
      if (!next.ok) return { why: next.error, hasAnswered }
      stream = next.stream
      const failure = await relist(api, table, containers, signal)
      if (failure !== null) return { why: failure, hasAnswered }
      hasAnswered = true
      heard.onAnswer()
      tell()
      void stream.ended.then(end)
      const ended = await untilRelist(over, options.relistEvery, signal)
      if (ended !== null) return { why: ended, hasAnswered }
    }
  } finally {
    stream?.close()
    containers.stop()
  }
}

function whyIncomplete(containers: Inspector): string | null {
  for (const error of containers.failing.values()) return error
  return null
}

/** True when the event alone has changed the table. */
function takeEvent(line: string, table: ContainerTable, containers: Inspector): boolean {
  const event = decodeEvent(line)
  if (event === null) return false
  const before = table.view()
  if (event.kind === 'died') {
    const life = Date.parse(table.get(event.id)?.startedAt ?? '')
    // A death from before the life we know of says nothing about it.
    if (!(event.at !== null && event.at < life)) table.markDead(event.id)
  }
  void containers.inspect(event.id)
  return table.view() !== before
}

/** Lists, then inspects what may have changed. Resolves with an error if there was no list. */
async function relist(
  api: DockerApi,
  table: ContainerTable,
  containers: Inspector,
  signal: AbortSignal,
): Promise<string | null> {
  const list = await api.list(signal)
  if (!list.ok) return list.error
  const listed = new Map(list.value.map((row) => [row.id, row]))
  const known = [...table.view().keys(), ...containers.failing.keys()]
  const missing = known.filter((id) => !listed.has(id) && !table.isBuried(id))
  const changed = [...listed.values()].filter((row) => {
    const before = table.get(row.id)
    // The list does not say when a container was started: one that runs may have been restarted.
    if (row.running || before === undefined || before.running || before.name !== row.name) return true
    return table.isBuried(row.id) || containers.failing.has(row.id)
  })
  await Promise.all([...missing, ...changed.map((row) => row.id)].map((id) => containers.inspect(id)))
  for (const row of changed) {
    // Where inspecting fails (an engine can hang on a single container), the list is the next best.
    if (!containers.failing.has(row.id)) continue
    if (!row.running) table.markDead(row.id)
    if (table.get(row.id)?.running !== row.running) table.put(row)
  }
  return null
}

/** Null when it is time to list again. */
async function untilRelist(ended: Promise<string>, relistEvery: Ms, signal: AbortSignal): Promise<string | null> {
  const timer = new AbortController()
  const abort = () => timer.abort()
  signal.addEventListener('abort', abort, { once: true })
  const due = pause(relistEvery, timer.signal).then(() => null)
  const end = await Promise.race([ended, due])
  timer.abort()
  signal.removeEventListener('abort', abort)
  return signal.aborted ? 'aborted' : end
}
