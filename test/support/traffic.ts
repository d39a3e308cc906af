import { Agent } from 'node:http'
import { atEnd, request, type WorkFolder } from './haproxy.ts'

/** Clients that ask all the time, each over a connection that it keeps. */
export interface Traffic {
  /** Answers by their first line, or by status where it isn't 200. */
  readonly answers: ReadonlyMap<string, number>
  /** Whatever was no answer of a container, with when. */
  readonly failures: readonly string[]
  readonly count: () => number
  readonly stop: () => Promise<void>
}

/** `path` is asked for at `host` by so many clients. */
export function startTraffic(
  folder: WorkFolder,
  { host, path = '/', clients = 4, pause = 2 }: { host: string; path?: string; clients?: number; pause?: number },
): Traffic {
  const answers = new Map<string, number>()
  const failures: string[] = []
  let isOver = false
  let count = 0
  const note = (text: string) => answers.set(text, (answers.get(text) ?? 0) + 1)

  const client = async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    while (!isOver) {
      count += 1
      try {
        const reply = await request(folder, { host, path, agent })
        const [first = ''] = reply.body.split('\n')
        note(reply.status === 200 ? first : String(reply.status))
        if (reply.status !== 200) failures.push(`${reply.status} ${first}`)
      } catch (error) {
        failures.push(String(error))
      }
      await new Promise((resolve) => setTimeout(resolve, pause))
    }
    agent.destroy()
  }
  const all = Promise.all(Array.from({ length: clients }, client))
  const stop = async () => {
    isOver = true
    await all
  }
  atEnd(stop)
  return { answers, failures, count: () => count, stop }
}
