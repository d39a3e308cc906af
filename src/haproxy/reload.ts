import { access } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type { Ms } from '../types.ts'
import { withoutPids } from './check.ts'
import { ask, type Silence } from './cli.ts'
import { dialectOf } from './dialect.ts'
import { workers } from './master.ts'
import { type Identity, observeIdentity } from './observe.ts'
import type { HaproxySockets } from './worker.ts'

export interface ReloadOptions extends HaproxySockets {
  /** What the master was started with and is to load anew. */
  readonly file: string
  /** What `current` holds: the new worker must say the same of itself. */
  readonly expected: { readonly structure: string; readonly revision: string }
  /** For all of it. Default 30 s. */
  readonly timeout?: Ms | undefined
  readonly signal?: AbortSignal | undefined
}

export type ReloadOutcome =
  /** `pid` is the worker that serves from now on, and was read back to run what was expected. */
  | { readonly kind: 'reloaded'; readonly pid: number }
  /** The former worker goes on, unless `why` says that another configuration was loaded. */
  | { readonly kind: 'failed'; readonly why: string }

/** The master is there or it isn't: it answers within a millisecond. */
const masterTimeout = 2_000
const pollEvery = 20
/** What HAProxy reckons with differs by a few from start to start. */
const spareFiles = 10
/** The connection was never made, so nothing was asked. */
const notAsked = new Set(['ENOENT', 'ECONNREFUSED', 'EACCES', 'bad-command'])

/**
 * Lets the master load `current` anew, and believes it only when the new worker has been asked what it runs.
 * Reloads must not overlap; the caller paces them. Never rejects.
 */
export async function reload(options: ReloadOptions): Promise<ReloadOutcome> {
  const { masterSocket, file, timeout = 30_000, signal } = options
  const end = performance.now() + timeout
  const left = () => Math.max(1, Math.ceil(end - performance.now()))
  const before = await workers(masterSocket, { timeout: Math.min(masterTimeout, left()), signal })
  if (!before.ok) return failed(before.why)
  const dialect = dialectOf(before.master.version)
  if (dialect === null) return failed(`the master is HAProxy ${before.master.version}, expected 2.6 or newer`)
  // 3.2's master ends of that, and its worker with it
  if (!(await isThere(file))) return failed(`${file} is not there: somebody has removed it`)

  const answer = await ask(masterSocket, 'reload', { timeout: left(), longest: 1024 * 1024, signal })
  if (!answer.ok && notAsked.has(answer.code)) return failed(answer.why)
  const said = answer.ok ? dialect.readReload(answer.answer) : null
  if (said?.isLoaded === false)
    return failed(`HAProxy refused to load it: ${withoutPids(said.log) || 'it gave no reason'}`)

  if (answer.ok && said === null && answer.answer !== '')
    return failed(`the master answered \`reload\` with: ${answer.answer.slice(0, 200)}`)

  const known = new Set([before.current, ...before.old].map((worker) => worker?.pid))
  let last: Silence | null = null
  while (performance.now() < end && !signal?.aborted) {
    const now = await workers(masterSocket, { timeout: Math.min(masterTimeout, left()), signal })
    if (!now.ok) last = now
    else if (now.failed > before.failed || (now.failed > 0 && now.master.pid !== before.master.pid))
      return failed(
        'HAProxy could not start it (a port in use, too few files allowed?); its own messages are on its stderr',
      )
    else if (now.current !== null && !known.has(now.current.pid)) return confirm(options, now.current.pid, left)
    await pause(Math.min(pollEvery, left()))
  }
  if (signal?.aborted) return failed('aborted while HAProxy was loading')
  return failed(`no outcome within ${timeout} ms${last === null ? '' : `; ${last.why}`}`)
}

function isThere(file: string): Promise<boolean> {
  return access(file).then(
    () => true,
    () => false,
  )
}

function failed(why: string): ReloadOutcome {
  return { kind: 'failed', why }
}

/** Asks the new worker itself, by way of the stats socket, which is its own from the moment it serves. */
async function confirm(options: ReloadOptions, pid: number, left: () => Ms): Promise<ReloadOutcome> {
  const { statsSocket, masterSocket, expected, signal } = options
  let last = ''
  while (left() > 1 && !signal?.aborted) {
    const answer = await observeIdentity({
      statsSocket,
      masterSocket,
      timeout: Math.min(masterTimeout, left()),
      signal,
    })
    if (answer.kind === 'running' && answer.identity.pid === pid) return compare(answer.identity, expected)
    last = answer.kind === 'running' ? `${statsSocket} still belongs to process ${answer.identity.pid}` : answer.why
    const now = await workers(masterSocket, { timeout: Math.min(masterTimeout, left()), signal })
    if (now.ok && now.current?.pid !== pid) return failed(`the new worker ${pid} ended right after its start`)
    await pause(Math.min(pollEvery, left()))
  }
  return failed(`worker ${pid} was started but can't be asked what it runs: ${last}`)
}

function compare(running: Identity, expected: ReloadOptions['expected']): ReloadOutcome {
  for (const what of ['structure', 'revision'] as const) {
    if (running[what] !== expected[what])
      return failed(
        `the new worker ${running.pid} runs ${what} ${running[what] || 'unknown'} instead of ${expected[what]}: does HAProxy read the files that heddle writes?`,
      )
  }
  return { kind: 'reloaded', pid: running.pid }
}

/**
 * Why HAProxy would not start with so many connections, which `haproxy -c` does not find out. Null: it would, or it
 * can't be known. `limit` is the most files it may open (`fileLimit`), null if unknown.
 */
export function maxconnProblem(
  maxconn: number,
  running: Pick<Identity, 'maxconn' | 'ulimit'>,
  limit: number | null,
): string | null {
  // two for each connection, and what this very HAProxy needs besides for listeners, threads and logs
  const besides = Math.max(40, running.ulimit - 2 * running.maxconn) + spareFiles
  const needed = 2 * maxconn + besides
  if (limit === null || needed <= limit) return null
  return `haproxy.maxconn ${maxconn} needs ${needed} file descriptors, HAProxy may open ${limit}: at most ${Math.floor((limit - besides) / 2)}, or raise its limit (LimitNOFILE, ulimit -n)`
}
