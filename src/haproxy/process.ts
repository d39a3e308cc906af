import { type ChildProcess, spawn } from 'node:child_process'
import { access, readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Ms } from '../types.ts'
import { haproxyEnvironment, startProblem } from './check.ts'
import { workers } from './master.ts'
import { observeIdentity } from './observe.ts'

export interface ProcessOptions {
  /** `attach`: somebody else runs it. `spawn`: we start it, end it, and take over one of ours that still runs. */
  readonly kind: 'attach' | 'spawn'
  readonly bin: string
  /** Holds `current`. */
  readonly directory: string
  readonly masterSocket: string
  readonly statsSocket: string
  /** Where a spawned HAProxy writes its log and messages. Default: where ours go, so that it can outlive us. */
  readonly output?: 'inherit' | number
  /** How long a spawned HAProxy may take to answer. Default 30 s. */
  readonly startTimeout?: Ms
  /** Called when a HAProxy that was spawned here has ended. */
  readonly onEnd?: () => void
}

export type EnsureResult =
  | {
      readonly kind: 'up'
      /** Of the master. */
      readonly pid: number
      readonly version: string
      readonly how: 'found' | 'started'
    }
  | { readonly kind: 'down'; readonly why: string }

export interface HaproxyProcess {
  /**
   * Sees to it that a master answers, as far as that is ours to do: cheap when it does, so call it before every use.
   * Never rejects; pacing of further tries is the caller's.
   */
  ensure(signal?: AbortSignal): Promise<EnsureResult>
  /**
   * Ends a HAProxy of ours: lets it finish its requests for `within`, then ends them, then kills. An attached one is
   * left alone.
   */
  stop(options: { readonly within: Ms }): Promise<void>
}

const masterTimeout = 2_000
const pollEvery = 20
/** How long a master may refuse connections while it executes itself anew. */
const reexecution = 4_000

export function haproxyProcess(options: ProcessOptions): HaproxyProcess {
  const { kind, masterSocket, statsSocket, startTimeout = 30_000 } = options
  const file = join(options.directory, 'current', 'haproxy.cfg')

  async function attach(signal: AbortSignal | undefined): Promise<EnsureResult> {
    const answer = await workers(masterSocket, { timeout: masterTimeout, signal })
    if (!answer.ok) return { kind: 'down', why: answer.why }
    return { kind: 'up', ...answer.master, how: 'found' }
  }

  async function own(signal: AbortSignal | undefined): Promise<EnsureResult> {
    const end = performance.now() + reexecution
    for (;;) {
      const answer = await workers(masterSocket, { timeout: masterTimeout, signal })
      if (answer.ok) return { kind: 'up', ...answer.master, how: 'found' }
      // a second HAProxy on the same ports would be worse than none, so only start one where there is surely nobody
      const isNobodyThere = answer.code === 'ENOENT' || answer.code === 'ECONNREFUSED'
      const pids = await processesOn(masterSocket)
      if (isNobodyThere && pids.length === 0) return start(signal)
      if (performance.now() > end || signal?.aborted || answer.code === 'EACCES')
        return {
          kind: 'down',
          why: pids.length === 0 ? answer.why : `HAProxy (pid ${pids[0]}) does not answer: ${answer.why}`,
        }
      // to look through all processes is not cheap
      await pause(5 * pollEvery)
    }
  }

  async function start(signal: AbortSignal | undefined): Promise<EnsureResult> {
    const isInstalled = await access(file).then(
      () => true,
      () => false,
    )
    if (!isInstalled) return { kind: 'down', why: `${file}: there is no configuration to start HAProxy with yet` }
    const child = launch(options, file)
    const end = performance.now() + startTimeout
    while (performance.now() < end && !signal?.aborted) {
      const ended = child.ended()
      if (ended !== null) return { kind: 'down', why: ended }
      const answer = await workers(masterSocket, { timeout: masterTimeout, signal })
      // 3.2 lists a worker that has not read its configuration yet: it is there when it answers itself
      const worker = answer.ok
        ? await observeIdentity({ statsSocket, masterSocket, timeout: masterTimeout, signal })
        : null
      if (answer.ok && worker?.kind === 'running' && worker.identity.pid === answer.current?.pid)
        return { kind: 'up', ...answer.master, how: 'started' }
      await pause(pollEvery)
    }
    if (child.pid !== undefined) send(-child.pid, 'SIGKILL')
    return {
      kind: 'down',
      why: signal?.aborted ? 'aborted' : `HAProxy did not answer within ${startTimeout} ms, killed`,
    }
  }

  return {
    ensure: (signal) => (kind === 'attach' ? attach(signal) : own(signal)),
    stop: ({ within }) => (kind === 'attach' ? Promise.resolve() : stopMaster(masterSocket, within)),
  }
}

/** Detached, with our own output and an environment without our secrets: it survives us and can be taken over. */
function launch({ bin, masterSocket, output = 'inherit', onEnd }: ProcessOptions, file: string) {
  let end: string | null = null
  const child: ChildProcess = spawn(bin, ['-W', '-S', `${masterSocket},mode,600`, '-f', file], {
    cwd: '/',
    env: haproxyEnvironment,
    detached: true,
    stdio: ['ignore', output, output],
  })
  child.on('error', (error) => {
    end = startProblem(bin, error)
  })
  child.on('exit', (code, signal) => {
    end = `HAProxy ended at its start (${signal ?? `code ${code}`}); its own messages say why`
    onEnd?.()
  })
  child.unref()
  return { pid: child.pid, ended: () => end }
}

async function stopMaster(masterSocket: string, within: Ms): Promise<void> {
  const first = await processesOn(masterSocket)
  // the master passes its signals on: USR1 lets workers finish, TERM ends them
  const master = await workers(masterSocket, { timeout: masterTimeout })
  if (master.ok && first.includes(master.master.pid)) {
    for (const [signal, patience] of [
      ['SIGUSR1', within],
      ['SIGTERM', 1_000],
    ] as const) {
      send(master.master.pid, signal)
      if (await isGone(masterSocket, patience)) return
    }
  }
  for (const pid of await processesOn(masterSocket)) send(pid, 'SIGKILL')
  await isGone(masterSocket, 500)
}

async function isGone(masterSocket: string, within: Ms): Promise<boolean> {
  const end = performance.now() + within
  for (;;) {
    if ((await processesOn(masterSocket)).length === 0) return true
    if (performance.now() >= end) return false
    await pause(pollEvery)
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // it ended in the meantime
  }
}

/**
 * Live processes that were started with this master socket: a master and its workers. Pids that a master tells may be of another
 * pid namespace, so that nobody is ever signalled who isn't found here. Without /proc there are none.
 */
export async function processesOn(masterSocket: string): Promise<readonly number[]> {
  const pids = (await readdir('/proc').catch(() => [])).filter((name) => /^\d+$/.test(name))
  const found = await Promise.all(
    pids.map(async (pid) => ((await runsOn(Number(pid), masterSocket)) ? [Number(pid)] : [])),
  )
  return found.flat().sort((one, other) => one - other)
}

/** A zombie has no command line left and so doesn't count. */
async function runsOn(pid: number, masterSocket: string): Promise<boolean> {
  const args = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).split('\0')
  const at = args.indexOf('-S')
  return at > 0 && args[at + 1]?.split(',')[0] === masterSocket
}

/** Linux' bit of the right to raise hard limits. */
const sysResource = 1n << 24n

/**
 * The most files a master may let its workers open; null when it can't be known (another container, no /proc).
 * With the right to raise hard limits it is the kernel's own limit.
 */
export async function fileLimit(pid: number, masterSocket: string): Promise<number | null> {
  if (!(await runsOn(pid, masterSocket))) return null
  const [limits, status, most] = await Promise.all(
    [`/proc/${pid}/limits`, `/proc/${pid}/status`, '/proc/sys/fs/nr_open'].map((path) =>
      readFile(path, 'utf8').catch(() => ''),
    ),
  )
  const hard = /^Max open files\s+\S+\s+(\d+)/m.exec(limits ?? '')?.[1]
  if (hard === undefined) return null
  const rights = /^CapEff:\s+([0-9a-f]+)/m.exec(status ?? '')?.[1] ?? '0'
  return (BigInt(`0x${rights}`) & sysResource) === 0n ? Number(hard) : Math.max(Number(hard), Number(most) || 0)
}
