import { setTimeout as delay } from 'node:timers/promises'
import { wakes } from '../../src/control/flow.ts'
import type { LoopSettings } from '../../src/control/inputs.ts'
import { openJournal } from '../../src/control/journal.ts'
import { runLoop } from '../../src/control/loop.ts'
import type { State, Turn } from '../../src/control/state.ts'
import { ask } from '../../src/haproxy/cli.ts'
import { revisionStore } from '../../src/haproxy/files.ts'
import { observeRunning } from '../../src/haproxy/observe.ts'
import { haproxyProcess } from '../../src/haproxy/process.ts'
import { loadTemplates } from '../../src/render/templates.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { modelSettings, renderSettings } from '../../src/settings/projections.ts'
import type { Instance, Memory, Running } from '../../src/types.ts'
import { atEnd, haproxyBin, until, type WorkFolder, workFolder } from './haproxy.ts'
import { freePort } from './ports.ts'
import { worldOf } from './worlds.ts'

/**
 * A real loop between a catalog that the test makes up and a real HAProxy of its own: what an edge is but for sources and
 * status. Ends with the test file.
 */
export interface Edge {
  readonly folder: WorkFolder
  /** From now on these are registered. */
  readonly shown: () => readonly Instance[]
  readonly show: (instances: readonly Instance[]) => void
  readonly state: () => State
  readonly turns: readonly Turn[]
  /** Resolves with the state once what is wanted is in effect and nobody is leaving any more. */
  readonly settled: (within?: number) => Promise<State>
  /** What HAProxy says of itself. */
  readonly readBack: () => Promise<Running>
  /** A command on the worker's socket, by somebody else. */
  readonly meddle: (command: string) => Promise<string>
  readonly memory: () => Memory
  /** The revision that `current` leads to. */
  readonly installed: () => Promise<string | null>
  /** Where the statistics page listens. */
  readonly statsBind: string
  readonly end: () => Promise<void>
}

export interface EdgeOptions {
  readonly memory?: Memory
  readonly settings?: Partial<Pick<LoopSettings, 'tidy' | 'settle' | 'reloadEvery' | 'persist' | 'verify'>>
  /** More settings, as flags. */
  readonly flags?: Readonly<Record<string, string>>
  /** One that another edge has had, whose HAProxy goes on. */
  readonly after?: Edge
  /** What checks and starts HAProxy. */
  readonly bin?: string
  /** HAProxy does not end with the edge, but with the test file. */
  readonly isHaproxyKept?: boolean
}

export async function startEdge(instances: readonly Instance[], options: EdgeOptions = {}): Promise<Edge> {
  const folder = options.after?.folder ?? (await workFolder())
  const bin = options.bin ?? haproxyBin
  const statsBind = options.after?.statsBind ?? `${folder.address}:${await freePort(folder.address)}`
  const loaded = loadSettings({
    file: null,
    env: {},
    isRoot: false,
    flags: new Map([
      ['weave.cidr', '127.0.0.0/8'],
      ['weave.reserved', '[]'],
      ['haproxy.directory', folder.directory],
      ['haproxy.masterSocket', folder.masterSocket],
      ['haproxy.statsSocket', folder.statsSocket],
      ['haproxy.bind', `["${folder.address}:${folder.port}"]`],
      ['haproxy.statsBind', statsBind],
      ['haproxy.bin', bin],
      ...Object.entries(options.flags ?? {}),
    ]),
  })
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  const { settings } = loaded
  const loopSettings: LoopSettings = {
    model: modelSettings(settings),
    render: renderSettings(settings),
    settle: settings.apply.settle,
    tidy: settings.apply.tidy,
    reloadEvery: 100,
    persist: 100,
    verify: 300,
    maxStartAge: Number.POSITIVE_INFINITY,
    ...options.settings,
  }
  const templates = await loadTemplates(null)
  if (templates.kind === 'invalid') throw new Error('the bundled templates are wrong')
  const store = revisionStore({ directory: folder.directory })
  await store.prepare()
  const journal = await openJournal(folder.directory)
  if (journal.kind === 'failed') throw new Error(journal.why)

  const bell = wakes()
  const ending = new AbortController()
  const turns: Turn[] = []
  let registered = instances
  let world = worldOf(instances, Date.now())
  // a state tells of the catalog that its turn has read
  let [shown, read, published] = [0, 0, -1]
  let state: State | null = null
  let memory = options.memory ?? null
  const process = haproxyProcess({ ...settings.haproxy, kind: 'spawn', onEnd: () => bell.wake('haproxy-end') })
  const loop = runLoop(
    {
      version: 'test',
      kind: 'spawn',
      inputs: {
        loopSettings: () => loopSettings,
        templates: () => templates.templates,
        notices: () => new Map<string, string>(),
      },
      watch: {
        world: () => {
          read = shown
          return { ...world, at: Date.now() }
        },
        statuses: () => new Map(),
        memory: () => null,
      },
      target: { bin, sockets: folder, store, process },
      wakes: bell,
      journal: journal.journal,
      history: journal.tail,
      lastNumber: journal.lastNumber,
      memory,
      saveMemory: async (newest) => {
        // as long as a disk may take
        await delay(100)
        memory = newest
        return null
      },
      publish: (newest, turn) => {
        state = newest
        published = read
        turns.push(turn)
      },
    },
    ending.signal,
  )
  let ended: Promise<void> | null = null
  const end = () => {
    ended ??= (async () => {
      ending.abort()
      await loop
      if (options.isHaproxyKept !== true) await process.stop({ within: 2_000 })
      await journal.journal.close()
    })()
    return ended
  }
  if (options.isHaproxyKept === true) atEnd(() => process.stop({ within: 2_000 }))
  atEnd(end)
  const newest = () => state ?? raise('no turn yet')
  return {
    folder,
    turns,
    state: newest,
    shown: () => registered,
    show: (instances) => {
      registered = instances
      world = worldOf(registered, Date.now())
      shown += 1
      bell.wake('catalog')
    },
    settled: (within = 15_000) =>
      until(() => {
        if (state === null || published !== shown) return null
        const { proof, candidate, running, plan } = state
        const isSettled =
          candidate !== null &&
          proof?.hash === candidate.hash &&
          running?.revision === candidate.hash &&
          plan?.steps.length === 0 &&
          plan.leaving.length === 0
        return isSettled ? state : null
      }, within),
    readBack: async () => {
      const observed = await observeRunning(folder)
      return observed.kind === 'running' ? observed.running : raise(observed.why)
    },
    meddle: async (command) => {
      const answer = await ask(folder.statsSocket, command)
      return answer.ok ? answer.answer : raise(answer.why)
    },
    installed: () => store.current(),
    statsBind,
    memory: () => newest().decision?.memory ?? raise('nothing decided yet'),
    end,
  }
}

function raise(why: string): never {
  throw new Error(why)
}
