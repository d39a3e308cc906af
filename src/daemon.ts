import { readFile } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { stateBoard } from './control/board.ts'
import { wakes } from './control/flow.ts'
import { followInputs, templateFault } from './control/inputs.ts'
import { openJournal } from './control/journal.ts'
import { haproxyEnded, runLoop } from './control/loop.ts'
import { type MemoryStore, memoryStore } from './control/memory-store.ts'
import { narrate } from './control/narrate.ts'
import { type Holder, serveControl } from './control/socket.ts'
import { messageOf } from './errors.ts'
import { revisionStore } from './haproxy/files.ts'
import { makeFolder } from './haproxy/folders.ts'
import { loadReader } from './haproxy/loads.ts'
import { haproxyProcess } from './haproxy/process.ts'
import type { Log, LogControl } from './log.ts'
import { loadTemplates } from './render/templates.ts'
import { parseListenAddress } from './settings/addresses.ts'
import type { LoadedSettings } from './settings/load.ts'
import { consulSettings, redact } from './settings/projections.ts'
import type { Settings } from './settings/schema.ts'
import { type WorldSettings, watchWorld } from './sources/world.ts'
import { accessOf } from './status/access.ts'
import { addDocuments } from './status/documents.ts'
import { explainRequest } from './status/explain.ts'
import { createMetrics } from './status/metrics.ts'
import { createStatusServer } from './status/server.ts'
import type { Memory } from './types.ts'
import { version } from './version.ts'

export interface DaemonOptions {
  readonly settings: Settings
  /** Reads file, environment and flags again. */
  readonly reread: () => Promise<LoadedSettings>
  /** Followed, when there is one. */
  readonly settingsFile: string | null
  /** Takes the place of all other sources. */
  readonly snapshot: string | null
  readonly log: Log
  readonly changeLog: LogControl['change']
  readonly signal: AbortSignal
  readonly onHangup: (listener: () => void) => void
}

/** How it ended. `wrong`: it could not start for what a person has to put right. */
export type DaemonEnd =
  | { readonly kind: 'ended' }
  | { readonly kind: 'wrong'; readonly why: string }
  | { readonly kind: 'failed'; readonly why: string }

/** HAProxy gets most of the 5 s in which heddle has to end. */
const stopWithin = 3_000

/**
 * Puts the parts together and runs until `signal` is aborted. Whatever was opened is closed in reverse order, also when
 * the start fails half-way. An attached HAProxy goes on serving; one of our own ends with us.
 */
export async function runDaemon(options: DaemonOptions): Promise<DaemonEnd> {
  const closers: (() => Promise<unknown>)[] = []
  try {
    return await start(options, (close) => closers.push(close))
  } finally {
    for (const close of closers.reverse()) {
      await close().catch((error: unknown) => options.log.error({ err: error }, 'a part could not be closed'))
    }
  }
}

async function start(options: DaemonOptions, atEnd: (close: () => Promise<unknown>) => void): Promise<DaemonEnd> {
  const { log, signal } = options
  const { haproxy, control, files } = options.settings
  const { directory } = haproxy
  const wrong = (why: string): DaemonEnd => ({ kind: 'wrong', why })
  const failed = (why: string): DaemonEnd => ({ kind: 'failed', why })

  const loaded = await loadTemplates(options.settings.templates)
  if (loaded.kind === 'invalid') return wrong(templateFault(loaded.problems))
  const { tokenFile } = options.settings.status
  const unreadable = tokenFile === null ? null : await readFile(tokenFile).then(() => null, messageOf)
  if (unreadable !== null) return wrong(`status.tokenFile: ${unreadable}`)
  const unmade = await makeFolder(directory).then(() => null, messageOf)
  if (unmade !== null) return failed(`${directory}: ${unmade}; create it, or set haproxy.directory`)

  const board = stateBoard(haproxy.process)
  const bell = wakes()
  const metrics = createMetrics()
  const watch = watchWorld(bell.wake)
  atEnd(watch.close)
  const inputs = followInputs({
    ...options,
    templates: loaded.templates,
    onRead: (what) => {
      if (what === 'settings') watch.follow(worldSettings(inputs.settings(), options.snapshot))
      bell.wake(what)
    },
  })
  const served = {
    state: board.state,
    subscribe: board.subscribe,
    explain: async (url: string, method: string, live: boolean) => {
      const { decision, running } = board.state()
      if (decision === null) return null
      return explainRequest({ decision, running }, inputs.settings().haproxy, { url, method, live })
    },
    loads: loadReader(() => inputs.settings().haproxy),
    config: () => redact(inputs.settings()),
    metrics,
    log,
  }

  const socket = createStatusServer({ ...served, access: 'socket' })
  addDocuments(socket, board.state, () => inputs.settings().expose.prefix)
  await socket.ready()
  atEnd(() => socket.close())
  const claim = await serveControl({ path: control.socket, version, listener: socket.routing })
  if (claim.kind === 'taken')
    return wrong(`${directory} is held by another heddle: ${holder(claim.by)}; end that one, or set haproxy.directory`)
  if (claim.kind === 'failed') return failed(claim.why)
  atEnd(claim.release)

  const store = revisionStore({ directory, gid: files.gid, mode: files.mode })
  const prepared = await store.prepare()
  if (prepared.kind === 'failed') return failed(prepared.why)
  const journal = await openJournal(directory)
  if (journal.kind === 'failed') return failed(journal.why)
  atEnd(journal.journal.close)
  const memoryFiles = memoryStore(directory)
  atEnd(memoryFiles.close)
  const memory = await startMemory(memoryFiles, log)

  const status = await listen(
    createStatusServer({ ...served, access: accessOf(options.settings.status) }),
    options.settings,
  )
  if (typeof status === 'string') return failed(status)
  atEnd(() => status.close())

  const process = haproxyProcess({ ...haproxy, kind: haproxy.process, onEnd: () => bell.wake(haproxyEnded) })
  // it ends with us when we are told to end, not when we fail
  if (haproxy.process === 'spawn') {
    atEnd(() => (signal.aborted ? process.stop({ within: stopWithin }) : Promise.resolve()))
  }
  watch.follow(worldSettings(inputs.settings(), options.snapshot))
  log.info({ version, directory, process: haproxy.process, status: options.settings.status.listen }, 'started')

  await runLoop(
    {
      version,
      kind: haproxy.process,
      inputs,
      watch,
      target: { bin: haproxy.bin, sockets: haproxy, store, process },
      wakes: bell,
      journal: journal.journal,
      history: journal.tail,
      lastNumber: journal.lastNumber,
      memory,
      saveMemory: memoryFiles.save,
      publish: (state, turn) => {
        narrate(log, board.known(), state, turn)
        metrics.record(turn)
        board.publish(state)
      },
    },
    signal,
  )
  log.info({}, 'ending')
  return { kind: 'ended' }
}

function worldSettings(settings: Settings, snapshot: string | null): WorldSettings {
  const { docker, node, router } = settings.weave
  const { masterSocket, statsSocket } = settings.haproxy
  const unreachable = settings.guard.unreachable ? { masterSocket, statsSocket } : null
  return { snapshot, consul: consulSettings(settings), docker, node, router, unreachable }
}

function holder(by: Holder | null): string {
  return by === null ? 'one that does not say which' : `pid ${by.pid}, version ${by.version}`
}

async function startMemory(store: MemoryStore, log: Log): Promise<Memory | null> {
  const { memory, fault } = await store.load(Date.now())
  if (fault !== null) {
    const what = memory === null ? 'memory could not be read and starts anew' : 'the newest of memory could not be read'
    log.warn({ reason: fault.why, path: fault.as }, what)
  }
  return memory
}

/** The listening endpoint, or why it can't listen. */
async function listen(app: FastifyInstance, { status }: Settings): Promise<FastifyInstance | string> {
  const place = parseListenAddress(status.listen)
  const listening = await app
    .listen({ host: place?.address ?? '::', port: place?.port ?? 0 })
    .catch((error: Error) => error)
  if (typeof listening === 'string') return app
  await app.close()
  return `status.listen ${status.listen}: ${listening.message}; another program may be listening there`
}
