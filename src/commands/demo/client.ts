import { request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import type { Ms } from '../../types.ts'
import type { ContainerAnswer } from './containers.ts'
import { type Answer, judge, type Probe } from './judge.ts'

/** One answered request, as those who wait for a change see it. */
export interface Seen {
  readonly container: ContainerAnswer
  readonly startedAt: Ms
  readonly at: Ms
}

export interface Mistake {
  readonly url: string
  readonly reason: string
}

/** Asks every route through HAProxy, all the time, each time on a new connection. */
export interface Client {
  readonly add: (probe: Probe) => void
  /** Returns once the last question of this probe is answered. */
  readonly remove: (probe: Probe) => Promise<void>
  /** Asks for this service more often until the returned function is called: a change is timed by it. */
  readonly hurry: (service: string) => () => void
  /** The catalog offers the instance no more, or again. */
  readonly setWithdrawn: (instance: string, since: Ms | null) => void
  /** Resolves to the time at which an answer made `isDone` true, null when `signal` was aborted before. */
  readonly until: (isDone: (seen: Seen) => boolean, signal: AbortSignal) => Promise<Ms | null>
  /** Asks once; does not count. */
  readonly ask: (probe: Probe) => Promise<string | null>
  readonly counts: () => { readonly requests: number; readonly wrong: number }
  /** Returns once the requests on the way are answered. */
  readonly stop: () => Promise<void>
}

const usualPause: Ms = 150
const hurriedPause: Ms = 8

export function createClient(port: number, onMistake: (mistake: Mistake) => void): Client {
  const loops = new Map<Probe, { isWanted: boolean; done: Promise<void> }>()
  const hurried = new Map<string, number>()
  const withdrawn = new Map<string, Ms>()
  const observers = new Set<(seen: Seen) => void>()
  const counts = { requests: 0, wrong: 0 }
  const withdrawnAt = (instance: string): Ms | null => withdrawn.get(instance) ?? null

  async function askOnce(probe: Probe): Promise<void> {
    const startedAt = Date.now()
    const answer = await send(port, probe)
    const reason = judge(probe, answer, startedAt, withdrawnAt)
    counts.requests++
    if (reason !== null) {
      counts.wrong++
      onMistake({ url: `http://${probe.host}${probe.path}`, reason })
    }
    if (answer.kind === 'error' || answer.container === null) return
    for (const observer of [...observers]) observer({ container: answer.container, startedAt, at: Date.now() })
  }

  async function keepAsking(probe: Probe, loop: { readonly isWanted: boolean }): Promise<void> {
    const service = probe.expected.kind === 'service' ? probe.expected.service : ''
    while (loop.isWanted) {
      await askOnce(probe)
      await delay(hurried.has(service) ? hurriedPause : usualPause)
    }
  }

  async function remove(probe: Probe): Promise<void> {
    const loop = loops.get(probe)
    if (loop === undefined) return
    loops.delete(probe)
    loop.isWanted = false
    await loop.done
  }

  return {
    add(probe) {
      const loop = { isWanted: true, done: Promise.resolve() }
      loop.done = keepAsking(probe, loop)
      loops.set(probe, loop)
    },
    remove,
    hurry(service) {
      hurried.set(service, (hurried.get(service) ?? 0) + 1)
      return () => {
        const left = (hurried.get(service) ?? 1) - 1
        if (left === 0) hurried.delete(service)
        else hurried.set(service, left)
      }
    },
    setWithdrawn(instance, since) {
      if (since === null) withdrawn.delete(instance)
      else withdrawn.set(instance, since)
    },
    until(isDone, signal) {
      return new Promise((resolve) => {
        function end(at: Ms | null): void {
          observers.delete(observe)
          signal.removeEventListener('abort', giveUp)
          resolve(at)
        }
        const observe = (seen: Seen): void => {
          if (isDone(seen)) end(seen.at)
        }
        const giveUp = (): void => end(null)
        if (signal.aborted) return resolve(null)
        observers.add(observe)
        signal.addEventListener('abort', giveUp)
      })
    },
    ask: async (probe) => judge(probe, await send(port, probe), Date.now(), withdrawnAt),
    counts: () => ({ ...counts }),
    async stop() {
      await Promise.all([...loops.keys()].map(remove))
    },
  }
}

const containerSchema = z.object({
  service: z.string(),
  instance: z.string(),
  node: z.string(),
  host: z.string(),
  path: z.string(),
  prefix: z.string().nullable(),
})

const longestBody = 65_536

function send(port: number, probe: Probe): Promise<Answer> {
  return new Promise((resolve) => {
    const fail = (error: Error): void => resolve({ kind: 'error', reason: `no answer: ${error.message}` })
    const headers = { host: `${probe.host}:${port}`, connection: 'close' }
    const signal = AbortSignal.timeout(10_000)
    const asked = request({ host: '127.0.0.1', port, path: probe.path, headers, agent: false, signal }, (response) => {
      let body = ''
      response.setEncoding('utf8')
      response.on('data', (text: string) => {
        if (body.length < longestBody) body += text
      })
      response.on('error', fail)
      response.on('end', () => {
        const { statusCode = 0, headers: received } = response
        const location = received.location ?? null
        resolve({ kind: 'response', status: statusCode, location, container: readContainer(body) })
      })
    })
    asked.on('error', fail)
    asked.end()
  })
}

function readContainer(body: string): ContainerAnswer | null {
  try {
    return containerSchema.parse(JSON.parse(body))
  } catch {
    return null
  }
}
