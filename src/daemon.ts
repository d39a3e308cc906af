import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import type { FastifyInstance } from 'fastify'
import { wakes } from './control/flow.ts'
import { openJournal } from './control/journal.ts'
import { type LoopSettings, runLoop } from './control/loop.ts'
import { loadMemory, saveMemory } from './control/memory-file.ts'
import { narrate } from './control/narrate.ts'
import { type Holder, serveControl } from './control/socket.ts'
import type { State } from './control/state.ts'
import { revisionStore } from './haproxy/files.ts'
import { haproxyProcess } from './haproxy/process.ts'
import type { Log, LogControl } from './log.ts'
import { emptyMemory } from './model/decide.ts'
import { explain, parseQuestion } from './model/explain.ts'
import { loadTemplates, type Templates } from './render/templates.ts'
import type { TemplateProblem } from './render/views.ts'
import { isLoopback, parseListenAddress } from './settings/addresses.ts'
import { changedKeys, withRestartKeysKept } from './settings/changes.ts'
import type { LoadedSettings } from './settings/load.ts'
import { describeProblems } from './settings/problems.ts'
import { consulSettings, modelSettings, redact, renderSettings } from './settings/projections.ts'
import type { Settings } from './settings/schema.ts'
import { watchFile } from './sources/watched-file.ts'
import { type WorldSettings, watchWorld } from './sources/world.ts'
import type { Access } from './status/access.ts'
import { addDocuments } from './status/documents.ts'
import { explanationView } from './status/explanation.ts'
import { compareLive } from './status/live.ts'
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
const stopWithin = 4_000

/**
 * Puts the parts together and runs until `signal` is aborted. Whatever was opened is closed in reverse order, also when
 * the start fails half-way. An attached HAProxy goes on serving; one of our own ends with us.
 */
export async function runDaemon(options: DaemonOptions): Promise<DaemonEnd> {
  const closers: (() => Promise<unknown>)[] = []
  try {
    return await start(options, (close) => closers.push(close))
  } finally {
    for (const close of closers.reverse()) await close()
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
  const made = await mkdir(directory, { recursive: true, mode: 0o2750 }).catch((error: Error) => error)
  if (made instanceof Error) return failed(`${directory}: ${made.message}; create it, or set haproxy.directory`)

  const board = stateBoard()
  const bell = wakes()
  const metrics = createMetrics()
  const current = { settings: options.settings, templates: loaded.templates }
  const world = watchWorld(bell.wake)
  atEnd(world.close)
  const served = {
    state: board.state,
    subscribe: board.subscribe,
    explain: (url: string, method: string, live: boolean) =>
      explainNow(board.state(), current.settings, url, method, live),
    config: () => redact(current.settings),
    metrics,
    log,
  }

  const socket = createStatusServer({ ...served, access: 'socket' })
  addDocuments(socket, board.state, () => current.settings.expose.prefix)
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
  const memory = await startMemory(directory, log)

  const status = await listen(
    createStatusServer({ ...served, access: statusAccess(options.settings) }),
    options.settings,
  )
  if (typeof status === 'string') return failed(status)
  atEnd(() => status.close())

  const process = haproxyProcess({ ...haproxy, kind: haproxy.process })
  if (haproxy.process === 'spawn') atEnd(() => process.stop({ within: stopWithin }))
  const notices = new Map<string, string>()
  followFiles(options, current, notices, { wake: bell.wake, followWorld: world.follow })
  world.follow(worldSettings(current.settings, options.snapshot))
  log.info({ version, directory, process: haproxy.process, status: options.settings.status.listen }, 'started')

  await runLoop(
    {
      version,
      kind: haproxy.process,
      maxStartAge: haproxy.maxStartAge === 'forever' ? Number.POSITIVE_INFINITY : haproxy.maxStartAge,
      inputs: {
        world: world.world,
        sources: world.statuses,
        templates: () => current.templates,
        settings: loopSettings(current),
        notices: () => new Map(notices),
      },
      target: { bin: haproxy.bin, sockets: haproxy, store, process },
      wakes: bell,
      journal: journal.journal,
      history: journal.tail,
      lastNumber: journal.lastNumber,
      memory: memory ?? world.memory() ?? emptyMemory,
      saveMemory: async (newest) => {
        const saved = await saveMemory(directory, newest)
        return saved.kind === 'saved' ? null : saved.why
      },
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

interface Current {
  settings: Settings
  templates: Templates
}

/** The newest state, and who wants to know of it. */
function stateBoard() {
  const listeners = new Set<() => void>()
  let newest: State | null = null
  return {
    known: () => newest,
    state: () => newest ?? noState,
    subscribe: (listener: () => void) => {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    publish: (state: State) => {
      newest = state
      for (const listener of listeners) listener()
    },
  }
}

/** Before the first turn of the loop. */
const noState: State = {
  version,
  startedAt: Date.now(),
  at: Date.now(),
  sources: new Map(),
  decision: null,
  candidate: null,
  plan: null,
  running: null,
  proof: null,
  haproxy: {
    process: 'attach',
    isConnected: false,
    version: null,
    pid: null,
    oldWorkers: 0,
    reloads: { success: 0, failure: 0 },
    error: null,
  },
  history: [],
  ready: { isReady: false, reason: 'starting' },
  notices: new Map(),
}

async function explainNow(state: State, settings: Settings, url: string, method: string, live: boolean) {
  const { decision } = state
  if (decision === null)
    return { answer: 503, why: state.ready.reason, service: null, route: null, candidates: [], instances: [] }
  const question = parseQuestion(url, method)
  const explanation = explain(decision.model, question, settings.haproxy.paths)
  const compared = live ? await compareLive(settings.haproxy, question, explanation) : null
  return explanationView(explanation, decision, compared)
}

interface Followers {
  readonly wake: (cause: string) => void
  readonly followWorld: (settings: WorldSettings) => void
}

/** Keeps settings and templates in step with their files, and settings with SIGHUP. A wrong version is a notice. */
function followFiles(
  options: DaemonOptions,
  current: Current,
  notices: Map<string, string>,
  { wake, followWorld }: Followers,
): void {
  const { settingsFile, signal, log } = options
  const readSettings = async () => {
    const loaded = await options.reread()
    notices.delete('settings')
    if (loaded.kind === 'invalid') notices.set('settings', describeProblems(loaded.problems))
    else {
      const { hot, restart } = changedKeys(current.settings, loaded.settings)
      if (restart.length > 0) notices.set('settings', `a restart is needed for the change of ${restart.join(', ')}`)
      if (hot.length > 0) {
        log.info({ keys: hot }, 'settings changed')
        current.settings = withRestartKeysKept(current.settings, loaded.settings)
        options.changeLog(current.settings.log)
        followWorld(worldSettings(current.settings, options.snapshot))
      }
    }
    wake('settings')
  }
  const readTemplates = async () => {
    const loaded = await loadTemplates(current.settings.templates)
    notices.delete('templates')
    if (loaded.kind === 'invalid') notices.set('templates', templateFault(loaded.problems))
    else if (loaded.templates.hash !== current.templates.hash) current.templates = loaded.templates
    wake('templates')
  }
  const cannotWatch = (error: unknown) => log.warn({ err: error }, 'a file can not be followed; use SIGHUP')
  const settingsReader = oneAtATime(readSettings)
  options.onHangup(settingsReader)
  if (settingsFile !== null) watchFile(settingsFile, settingsReader, signal, cannotWatch)
  const { templates } = current.settings
  if (templates !== null) watchFile(templates, oneAtATime(readTemplates), signal, cannotWatch)
}

/** However often it is called, the work runs once at a time, and once more if it was asked for meanwhile. */
function oneAtATime(work: () => Promise<void>): () => void {
  let isRunning = false
  let isAsked = false
  const run = async () => {
    isRunning = true
    do {
      isAsked = false
      await work()
    } while (isAsked)
    isRunning = false
  }
  return () => {
    isAsked = true
    if (!isRunning) void run()
  }
}

/** Parts of the settings that did not change keep their identity: results are memoised on it. */
function loopSettings(current: Current): () => LoopSettings {
  let made: { readonly from: Settings; readonly settings: LoopSettings } | null = null
  return () => {
    if (made?.from === current.settings) return made.settings
    const { apply } = current.settings
    const [model, render] = [modelSettings(current.settings), renderSettings(current.settings)]
    const before = made?.settings
    const settings: LoopSettings = {
      model: before !== undefined && isSameText(before.model, model) ? before.model : model,
      render: before !== undefined && isSameText(before.render, render) ? before.render : render,
      settle: apply.settle,
      reloadEvery: apply.reloadEvery,
      persist: apply.persist,
    }
    made = { from: current.settings, settings }
    return settings
  }
}

function isSameText(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

function worldSettings(settings: Settings, snapshot: string | null): WorldSettings {
  const { docker, node, router } = settings.weave
  return { snapshot, consul: consulSettings(settings), docker, node, router }
}

function templateFault(problems: readonly TemplateProblem[]): string {
  return problems.map(({ file, line, reason, hint }) => `${file}:${line ?? '?'}: ${reason}; ${hint}`).join('\n')
}

function holder(by: Holder | null): string {
  return by === null ? 'one that does not say which' : `pid ${by.pid}, version ${by.version}`
}

async function startMemory(directory: string, log: Log): Promise<Memory | null> {
  const loaded = await loadMemory(directory, Date.now())
  if (loaded.kind === 'loaded') return loaded.memory
  if (loaded.kind === 'set-aside')
    log.warn({ reason: loaded.why, path: loaded.as }, 'memory could not be read and starts anew')
  return null
}

/** Who may ask the status endpoint. A token file is read at each request, so that the token can be changed. */
function statusAccess({ status }: Settings): Access {
  const address = parseListenAddress(status.listen)
  return {
    allowedHosts: status.allowedHosts,
    token: () => (status.tokenFile === null ? status.token : readFileSync(status.tokenFile, 'utf8').trim()),
    isLoopback: isLoopback(address?.address ?? null),
  }
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
