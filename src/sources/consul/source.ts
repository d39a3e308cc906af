import { backoff, pause } from '../../backoff.ts'
import type { CatalogObservation, Ms } from '../../types.ts'
import type { Report, Source } from '../source.ts'
import { type Failure, failure } from './answer.ts'
import { retry } from './blocking-query.ts'
import { followNodes } from './by-node.ts'
import { exposedServices, followServices } from './by-service.ts'
import { type Client, type ConnectionSettings, createClient } from './client.ts'
import { decodeMostConnections, decodeNodeName, decodeNodes } from './decode.ts'
import { partitionTable } from './partitions.ts'

export interface ConsulSettings extends ConnectionSettings {
  readonly watch: 'auto' | 'nodes' | 'services'
  /**
   * Consul's filter expression for the reads that say what is registered. Its selectors differ between the ways of
   * watching: `"heddle" in Tags` by nodes (`catalog/node`), `"heddle" in Service.Tags` by services (`health/service`).
   */
  readonly filter: string | null
  readonly exposePrefix: string
  readonly exposeBy: 'tag' | 'all'
}

export interface ConsulOptions {
  /** Clock of the observations. */
  readonly now?: () => Ms
  /** Longest wait of a blocking query. */
  readonly wait?: Ms
  /** What the agent may take beyond it before a request counts as lost. */
  readonly margin?: Ms
  /** How long partitions that can't be read hold up the first report. */
  readonly patience?: Ms
  /** Of the jitter: 0 to 1. */
  readonly random?: () => number
}

const defaultPatience: Ms = 5_000

type By = CatalogObservation['by']
type ReportCatalog = (report: Report<CatalogObservation>) => void

/**
 * Follows the catalog of one datacenter. A report that tells only that all is as it was comes about every 10 s and has the very
 * value of the one before.
 */
export function consulSource(settings: ConsulSettings, options: ConsulOptions = {}): Source<CatalogObservation> {
  return async (report, signal) => {
    const client = createClient(settings, options)
    try {
      await follow({ client, settings, options, report: carryOver(report), errors: 0 }, signal)
    } finally {
      client.close()
    }
  }
}

/** Name of the node whose agent we talk to; null when it doesn't say. */
export async function readNodeName(settings: ConnectionSettings, signal: AbortSignal): Promise<string | null> {
  const client = createClient(settings)
  try {
    const answer = await client.read({ of: 'agent/self' }, { index: null, consistent: false }, signal)
    return answer.kind === 'answered' ? decodeNodeName(answer.body) : null
  } finally {
    client.close()
  }
}

/** One run of the source. */
interface Run {
  readonly client: Client
  readonly settings: ConsulSettings
  readonly options: ConsulOptions
  readonly report: ReportCatalog
  errors: number
}

async function follow(run: Run, signal: AbortSignal): Promise<void> {
  const { watch, maxConnections } = run.settings
  if (maxConnections === null) await takeWhatThereIs(run, signal)
  const by = watch === 'auto' ? await choose(run, signal) : watch === 'nodes' ? 'node' : 'service'
  if (by === null) return
  const end = await followBy(run, by, watch === 'auto', signal)
  if (end === 'refused') await followBy(run, other(by), false, signal)
}

/** Resolves when `signal` is aborted, or with `refused` when the agent takes too few connections and the other way needs fewer. */
async function followBy(run: Run, by: By, mayChange: boolean, signal: AbortSignal): Promise<'ended' | 'refused'> {
  const { client, settings, options } = run
  const life = new AbortController()
  const end = () => life.abort()
  signal.addEventListener('abort', end, { once: true })
  if (signal.aborted) end()
  let isRefused = false
  const questions = new Set<Promise<void>>()

  const table = partitionTable({
    by,
    report: run.report,
    now: options.now ?? Date.now,
    errors: () => run.errors,
    note: client.connections.note,
    patience: options.patience ?? defaultPatience,
    signal: life.signal,
  })

  async function compare(): Promise<void> {
    // this question may be refused as well, and be the last one that is
    for (let failures = 1; !life.signal.aborted; failures++) {
      const needs = await needsOf(run, other(by), life.signal)
      if (needs.kind === 'needs') {
        isRefused = needs.connections < connectionsFor(by, table.names().size)
        if (isRefused) end()
        return
      }
      await pause(backoff(failures, retry, options.random?.()), life.signal)
    }
  }

  const scheme = {
    client,
    table,
    prefix: settings.exposePrefix,
    filter: settings.filter,
    random: options.random ?? Math.random,
    onFailure: (problem: Failure) => {
      run.errors += 1
      if (problem.status !== 429 || !mayChange || questions.size > 0) return
      const question: Promise<void> = compare().finally(() => questions.delete(question))
      questions.add(question)
    },
  }
  await (by === 'node' ? followNodes(scheme, life.signal) : followServices(scheme, settings.exposeBy, life.signal))
  await Promise.all(questions)
  signal.removeEventListener('abort', end)
  return isRefused && !signal.aborted ? 'refused' : 'ended'
}

/** A client leaves others on its machine some of what the agent takes from one address. */
const ourShare = 0.75
const mostConnections = 1024

/** Asks the agent how many connections it takes. As many as it does by default where the token may not see that. */
async function takeWhatThereIs(run: Run, signal: AbortSignal): Promise<void> {
  const { client, options } = run
  for (let failures = 1; !signal.aborted; failures++) {
    const answer = await client.read({ of: 'agent/self' }, { index: null, consistent: false }, signal)
    const most = answer.kind === 'answered' ? decodeMostConnections(answer.body) : null
    if (most !== null) {
      const share = most === 0 ? mostConnections : Math.max(1, Math.floor(most * ourShare))
      client.connections.allow(Math.min(share, mostConnections))
    }
    if (answer.kind === 'answered' || (answer.status !== null && answer.status < 500)) return
    if (signal.aborted) return
    reportWaiting(run, { ...answer, why: `agent/self: ${answer.why}` })
    await pause(backoff(failures, retry, options.random?.()), signal)
  }
}

/**
 * By nodes when that fits into the connections, else by services when that does, else whichever needs fewer. Where the token
 * may not see every service, by services first: `catalog/node` asks for the right to a service by its *id*, so that it hides
 * `host1:web:80` from who may read `web` (Consul 1.13.9; docs/decisions/006).
 */
async function choose(run: Run, signal: AbortSignal): Promise<By | null> {
  const maxConnections = run.client.connections.most()
  for (let failures = 1; !signal.aborted; failures++) {
    const byNode = await needsOf(run, 'node', signal)
    const byService = byNode.kind === 'needs' ? await needsOf(run, 'service', signal) : byNode
    if (byNode.kind === 'needs' && byService.kind === 'needs') {
      const isServiceFitting = byService.connections <= maxConnections
      if (byService.isFiltered && isServiceFitting) return 'service'
      if (byNode.connections <= maxConnections) return 'node'
      return isServiceFitting || byService.connections < byNode.connections ? 'service' : 'node'
    }
    if (signal.aborted) break
    if (byService.kind === 'failed') reportWaiting(run, byService)
    await pause(backoff(failures, retry, run.options.random?.()), signal)
  }
  return null
}

interface Needs {
  readonly kind: 'needs'
  readonly connections: number
  /** The token may not see all that there is. */
  readonly isFiltered: boolean
}

async function needsOf(run: Run, by: By, signal: AbortSignal): Promise<Needs | Failure> {
  const { client, settings } = run
  const of = by === 'node' ? 'catalog/nodes' : 'catalog/services'
  const answer = await client.read({ of }, { index: null, consistent: true }, signal)
  if (answer.kind === 'failed') return { ...answer, why: `${of}: ${answer.why}` }
  const names =
    by === 'node' ? decodeNodes(answer.body) : exposedServices(answer.body, settings.exposePrefix, settings.exposeBy)
  if (names === null) return failure(`${of}: expected another kind of document`, 200)
  return { kind: 'needs', connections: connectionsFor(by, names.length), isFiltered: answer.isFiltered }
}

function connectionsFor(by: By, partitions: number): number {
  return by === 'node' ? 2 * partitions + 1 : partitions + 1
}

function other(by: By): By {
  return by === 'node' ? 'service' : 'node'
}

function reportWaiting(run: Run, problem: Failure): void {
  run.errors += 1
  const status = { state: 'waiting', at: null, error: problem.why, errors: run.errors, note: null } as const
  run.report({ value: null, status: { ...status, partitions: { total: 0, stale: 0 } } })
}

/** While a second way of watching has not spoken yet, the last value of the first one stands, as stale. */
function carryOver(report: ReportCatalog): ReportCatalog {
  let last: CatalogObservation | null = null
  let isCarried = false
  return ({ value, status }) => {
    if (value !== null) {
      last = value
      isCarried = false
    } else if (last !== null && !isCarried) {
      last = asStale(last)
      isCarried = true
    }
    report({ value: last, status: value === null && last !== null ? { ...status, state: 'stale' } : status })
  }
}

function asStale({ by, partitions }: CatalogObservation): CatalogObservation {
  const stale = [...partitions].map(
    ([name, { value, at, why }]) =>
      [name, { value, at, evidence: 'stale', why: why ?? 'changing to another way of watching the catalog' }] as const,
  )
  return { by, partitions: new Map(stale) }
}
