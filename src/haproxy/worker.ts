import { ask, type CliLimits, connectRuntime, type Runtime, type Silence } from './cli.ts'
import { workers } from './master.ts'

export interface HaproxySockets {
  readonly masterSocket: string
  readonly statsSocket: string
}

/** Of a socket that was removed, or that another configuration has elsewhere. */
const absent = new Set(['ENOENT', 'ECONNREFUSED'])

/**
 * A connection to the worker that serves now: by its stats socket, else by way of the master, which takes commands of at most
 * one line for it. No reload brings a removed socket back, as listeners are handed from worker to worker without being bound.
 */
export async function connectWorker(
  { statsSocket, masterSocket }: HaproxySockets,
  limits: CliLimits = {},
): Promise<{ readonly ok: true; readonly runtime: Runtime } | Silence> {
  const direct = await connectRuntime(statsSocket, limits)
  if (direct.ok || !absent.has(direct.code)) return direct
  const group = await workers(masterSocket, limits)
  if (!group.ok || group.current === null) return direct
  return { ok: true, runtime: throughMaster(masterSocket, group.current.pid, direct, limits) }
}

/** One connection after the other: the master takes few at once. */
function throughMaster(masterSocket: string, pid: number, why: Silence, limits: CliLimits): Runtime {
  let last: Promise<unknown> = Promise.resolve()
  return {
    takesPayload: false,
    ask: (command, payload) => {
      if (payload !== undefined) return Promise.resolve(why)
      const answer = last.then(() => ask(masterSocket, `@!${pid} ${command}`, limits))
      last = answer
      return answer
    },
    close: () => {},
  }
}
