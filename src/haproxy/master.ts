import { ask, type CliLimits, type Silence } from './cli.ts'

/** The processes of a master, by its `show proc`. */
export interface Workers {
  readonly ok: true
  readonly master: {
    readonly pid: number
    readonly version: string
  }
  /** The youngest. At the first start of 3.2 it is listed before it has read its configuration. */
  readonly current: Worker | null
  /** Those that only finish what they have, youngest first. */
  readonly old: readonly Worker[]
  /** Reloads that failed since the last good one. */
  readonly failed: number
}

export interface Worker {
  readonly pid: number
  /** Reloads since it was started. Failed ones count. */
  readonly reloads: number
  readonly version: string
}

/**
 * Asks the master for its processes. The answer is HAProxy's own; one that can't be read is `code: 'unreadable'`.
 * While a master of 2.6 executes itself anew it refuses or drops connections, for seconds if a port is in use.
 */
export async function workers(masterSocket: string, limits: CliLimits = {}): Promise<Workers | Silence> {
  const answer = await ask(masterSocket, 'show proc', { longest: 1024 * 1024, ...limits })
  if (!answer.ok) return answer
  const read = parseProcesses(answer.answer)
  if (read !== null) return read
  return {
    ok: false,
    code: 'unreadable',
    why: `${masterSocket}: \`show proc\` is not understood; is it the master's CLI?`,
  }
}

/**
 * Which worker serves is told by the number of reloads, not by the headings: after a failed reload 3.2 lists the worker
 * that goes on serving as an old one.
 */
function parseProcesses(text: string): Workers | null {
  let master: { pid: number; version: string; failed: number } | null = null
  const found: Worker[] = []
  for (const line of text.split('\n')) {
    const row =
      /^(\d{1,10})\s+(master|worker)\s+(\d{1,10})(?:\s+\[failed:\s*(\d{1,10})\])?\s+\S+\s+(\S{1,64})\s*$/.exec(line)
    if (row === null) continue
    const [, pid, type, reloads, failed, version = ''] = row
    if (type === 'master') master = { pid: Number(pid), version, failed: Number(failed ?? 0) }
    else found.push({ pid: Number(pid), reloads: Number(reloads), version })
  }
  if (master === null) return null
  const [current = null, ...old] = found.sort((one, other) => one.reloads - other.reloads)
  return { ok: true, master: { pid: master.pid, version: master.version }, current, old, failed: master.failed }
}
