import type { Container, Ms } from '../../types.ts'
import type { Answer, DockerApi } from './api.ts'
import type { ContainerTable } from './table.ts'

/** Brings single containers of the table up to date, a few at a time, each at most once at a time. */
export interface Inspector {
  /** Resolves when an answer that is newer than this call has been taken in, or none came. Never rejects. */
  readonly inspect: (id: string) => Promise<void>
  /** Containers whose last inspection failed, with the error. */
  readonly failing: ReadonlyMap<string, string>
  /** Cancels what is planned. */
  readonly stop: () => void
}

interface InspectorOptions {
  readonly concurrency: number
  /** When to look again at a container that runs without an address, or that could not be inspected. */
  readonly retryAfter: readonly Ms[]
}

export function inspector(
  api: DockerApi,
  table: ContainerTable,
  options: InspectorOptions,
  events: { readonly onChange: () => void; readonly onError: () => void },
  signal: AbortSignal,
): Inspector {
  const flights = new Map<string, { isOutdated: boolean; landed: Promise<void> }>()
  const failing = new Map<string, string>()
  const retries = new Map<string, { readonly life: string; readonly count: number; readonly timer: NodeJS.Timeout }>()
  const limited = limiter(options.concurrency)

  function inspect(id: string): Promise<void> {
    const known = flights.get(id)
    if (known !== undefined) {
      // An answer on its way may be older than what made us ask: it is thrown away and asked for again.
      known.isOutdated = true
      return known.landed
    }
    const flight = { isOutdated: false, landed: Promise.resolve() }
    flights.set(id, flight)
    flight.landed = fly(id, flight)
    return flight.landed
  }

  async function fly(id: string, flight: { isOutdated: boolean }): Promise<void> {
    for (;;) {
      flight.isOutdated = false
      const answer = await limited(() => api.inspect(id, signal))
      if (signal.aborted || !flight.isOutdated) {
        flights.delete(id)
        if (!signal.aborted) accept(id, answer)
        return
      }
    }
  }

  function accept(id: string, answer: Answer<Container | null>): void {
    if (!answer.ok) {
      failing.set(id, answer.error)
      events.onError()
      plan(id, 'failing')
    } else {
      failing.delete(id)
      if (answer.value === null) {
        table.bury(id, Date.now())
        retries.delete(id)
      } else {
        table.put(answer.value)
        if (isAwaitingAddress(answer.value)) plan(id, answer.value.startedAt)
        else retries.delete(id)
      }
    }
    events.onChange()
  }

  /** `life`: what the count of attempts is for; another one begins at the first delay. */
  function plan(id: string, life: string): void {
    const before = retries.get(id)
    const count = before?.life === life ? before.count + 1 : 0
    const delay = options.retryAfter[count]
    clearTimeout(before?.timer)
    if (delay !== undefined) retries.set(id, { life, count, timer: setTimeout(() => void inspect(id), delay) })
  }

  return {
    inspect,
    failing,
    stop: () => {
      for (const retry of retries.values()) clearTimeout(retry.timer)
      retries.clear()
    },
  }
}

/** Weave's proxy attaches its network after Docker has called the container started. */
function isAwaitingAddress(container: Container): boolean {
  return container.running && container.network.kind === 'own' && container.addresses.length === 0
}

/** At most `size` pieces of work at a time, in the order they came. */
function limiter(size: number): <T>(work: () => Promise<T>) => Promise<T> {
  const waiting: (() => void)[] = []
  let active = 0
  return async (work) => {
    if (active >= size) await new Promise<void>((resolve) => waiting.push(resolve))
    else active++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) active--
      else next()
    }
  }
}
