import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stackOf } from '../errors.ts'
import type { Ms } from '../types.ts'
import { type ExitCode, exitCodes, type Io } from './context.ts'
import { type Client, createClient } from './demo/client.ts'
import { createAddressPool, createNames } from './demo/containers.ts'
import { sampleProbes } from './demo/judge.ts'
import { DemoError, type Parts, startParts, waitFor } from './demo/parts.ts'
import { jsonReport, type Report, type Summary, textReport } from './demo/report.ts'
import { type Change, playScenario } from './demo/scenario.ts'

export interface DemoOptions {
  /** How long to go on after every route was answered for the first time; null: until the signal. */
  readonly for: Ms | null
  /** HAProxy's port for the routes; null: any free one. */
  readonly port: number | null
  /** One JSON object a line in place of text. */
  readonly json?: boolean
}

export interface DemoIo extends Pick<Io, 'stdout' | 'stderr' | 'env' | 'signal' | 'onHangup'> {
  /** The compiled command line that `run` is started from. Default: the one this file belongs to. */
  readonly cli?: string
}

/**
 * The whole thing on this machine: sample containers that come and go, a catalog, heddle as a child process, its HAProxy,
 * and a client that asks every route all the time. Ends all it started, whatever happens. Resolves to the exit code: 0
 * exactly when every request was answered as it should be, at least one change was followed and none was not.
 */
export async function demo(options: DemoOptions, io: DemoIo): Promise<ExitCode> {
  const closers: (() => Promise<void>)[] = []
  // A terminal that is closed says so with SIGHUP.
  const hangup = new AbortController()
  io.onHangup(() => hangup.abort())
  const signal = AbortSignal.any([io.signal, hangup.signal])
  try {
    const parts = await startParts({
      port: options.port,
      env: io.env,
      cli: io.cli ?? fileURLToPath(new URL('../cli.js', import.meta.url)),
      signal,
      onEnd: (close) => closers.push(close),
    })
    const report = (options.json === true ? jsonReport : textReport)(io.stdout)
    const summary = await play(parts, options.for, report, signal)
    report.summary(summary)
    return summary.wrong === 0 && summary.notFollowed === 0 && summary.followed > 0 ? exitCodes.done : exitCodes.failed
  } catch (error) {
    // Ended by a signal before it had begun: there is nothing to tell.
    if (!signal.aborted || error instanceof DemoError) io.stderr(`heddle demo: ${explain(error)}\n`)
    return exitCodes.failed
  } finally {
    for (const close of closers.reverse()) await close().catch((error) => io.stderr(`heddle demo: ${explain(error)}\n`))
  }
}

function explain(error: unknown): string {
  if (error instanceof DemoError) return error.message
  return stackOf(error)
}

/** Asks and changes until the time is over or the signal comes; rejects when heddle ends by itself. */
async function play(parts: Parts, length: Ms | null, report: Report, stop: AbortSignal): Promise<Summary> {
  const ending = new AbortController()
  const signal = AbortSignal.any([stop, ending.signal])
  let startedAt = Date.now()
  const elapsed = (): Ms => Date.now() - startedAt
  const changes: Change[] = []
  const client = createClient(parts.ports.routes, (mistake) => report.mistake(mistake, elapsed()))
  await waitFor(() => isServed(client), parts.heddle, signal, 'the routes were not all answered')

  startedAt = Date.now()
  const { source, sample, ports, settingsFile } = parts
  report.ready({ source, containers: sample.length, ports, settingsFile })
  for (const probe of sampleProbes) client.add(probe)
  const scenario = playScenario({
    containers: parts.containers,
    catalog: parts.catalog,
    client,
    status: `http://127.0.0.1:${ports.status}`,
    fleet: new Map(sample.map((instance) => [instance.id, instance])),
    nextAddress: createAddressPool(sample),
    nextId: createNames(sample),
    report(change) {
      changes.push(change)
      report.change(change, elapsed())
    },
    signal,
  })
  try {
    const over = length === null ? [] : [delay(length, undefined, { signal }).catch(() => {})]
    const dead = parts.heddle.ended.then((how) => {
      if (!signal.aborted) throw new DemoError(`heddle ${how}:\n${parts.heddle.lastLines()}`)
    })
    await Promise.race([scenario, dead, ...over])
  } finally {
    ending.abort()
    // Its failure, if it failed, has been told by the race.
    await scenario.catch(() => {})
    await client.stop()
  }
  return summarise(changes, client, elapsed())
}

async function isServed(client: Client): Promise<boolean> {
  for (const probe of sampleProbes) if ((await client.ask(probe)) !== null) return false
  return true
}

function summarise(changes: readonly Change[], client: Client, duration: Ms): Summary {
  const times = changes.flatMap(({ followedAfter }) => (followedAfter === null ? [] : [followedAfter]))
  times.sort((a, b) => a - b)
  return {
    duration,
    ...client.counts(),
    followed: times.length,
    notFollowed: changes.length - times.length,
    slowest: times.at(-1) ?? null,
    median: times[Math.floor((times.length - 1) / 2)] ?? null,
  }
}
