import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { State, Turn } from '../control/state.ts'
import { problemCodes } from '../problems.ts'
import type { Ms } from '../types.ts'
import { ageSeconds } from './api.ts'
import { backendsOf } from './backend-names.ts'
import { type Counts, countsOf } from './counts.ts'
import {
  type CounterName,
  driftKinds,
  type GaugeName,
  type HistogramName,
  type MetricRow,
  metricTable,
  noticeSubjects,
  other,
  outcomes,
  reloadOutcomes,
  sourceNames,
  sourceStates,
  stages,
  stepKinds,
} from './metric-table.ts'
import { addressSources, reloadReasonCodes, serverStates } from './views.ts'

export interface Metrics {
  /** Adds one turn of the loop to counters and histograms. */
  readonly record: (turn: Turn) => void
  /** Counts the event streams of one more endpoint. */
  readonly countStreams: (count: () => number) => void
  /** The exposition text; gauges are those of `state`. */
  readonly text: (state: State, now: Ms) => Promise<string>
  readonly contentType: string
}

interface Sample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

interface Reading {
  readonly state: State
  readonly counts: Counts
  readonly now: Ms
  /** When a turn last left nothing to do; 0: never. */
  readonly lastSuccess: Ms
  readonly streams: number
}

/** Gauges among prom-client's defaults whose names end as only a counter's may. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total']

/** Has a registry of its own, with the process' and Node.js' metrics under their usual names beside heddle's. */
export function createMetrics(): Metrics {
  const registry = new Registry()
  const gauges = Object.entries(gaugeReadings).map(([name, read]) => ({
    gauge: new Gauge(named(name, registry)),
    read,
  }))
  const sourceErrors = counter('heddle_source_errors_total', registry)
  const stageDuration = histogram('heddle_stage_duration_seconds', registry)
  const changeDuration = histogram('heddle_change_duration_seconds', registry)
  const steps = counter('heddle_runtime_steps_total', registry)
  const drifts = counter('heddle_drifts_total', registry)
  const checks = counter('heddle_checks_total', registry)
  const reloads = counter('heddle_reloads_total', registry)
  const reloadReasons = counter('heddle_reload_reasons_total', registry)
  const turns = counter('heddle_turns_total', registry)
  for (const stage of stages) stageDuration.zero({ stage })
  for (const step of stepKinds) steps.inc({ step }, 0)
  for (const what of driftKinds) drifts.inc({ what }, 0)
  for (const outcome of reloadOutcomes) {
    reloads.inc({ outcome }, 0)
    checks.inc({ outcome }, 0)
  }
  for (const reason of [...reloadReasonCodes, other]) reloadReasons.inc({ reason }, 0)
  for (const outcome of outcomes) turns.inc({ outcome }, 0)
  collectDefaultMetrics({ register: registry })
  for (const name of misnamed) registry.removeSingleMetric(name)

  const streamCounts: (() => number)[] = []
  let lastSuccess: Ms = 0
  return {
    record(turn) {
      turns.inc({ outcome: turn.outcome })
      for (const stage of stages) {
        const duration = turn.durations[stage]
        if (duration !== undefined) stageDuration.observe({ stage }, duration / 1000)
      }
      if (turn.change !== null) changeDuration.observe(turn.change / 1000)
      for (const { do: step } of turn.steps) steps.inc({ step })
      for (const { what } of turn.drift) drifts.inc({ what })
      if (turn.check !== null) checks.inc({ outcome: turn.check })
      if (turn.reload !== null) {
        reloads.inc({ outcome: turn.reload.outcome })
        const reasons = new Set(turn.reload.reasons.map(({ code }) => oneOf(reloadReasonCodes, code)))
        for (const reason of reasons) reloadReasons.inc({ reason })
      }
      if (turn.outcome === 'unchanged' || turn.outcome === 'applied') lastSuccess = turn.at
    },
    countStreams: (count) => streamCounts.push(count),
    async text(state, now) {
      const streams = streamCounts.reduce((sum, count) => sum + count(), 0)
      const reading = { state, counts: countsOf(state.decision), now, lastSuccess, streams }
      for (const { gauge, read } of gauges) {
        gauge.reset()
        for (const { labels, value } of read(reading)) gauge.set({ ...labels }, value)
      }
      sourceErrors.reset()
      for (const [name, { errors }] of state.sources) sourceErrors.inc({ source: oneOf(sourceNames, name) }, errors)
      return registry.metrics()
    },
    contentType: registry.contentType,
  }
}

const gaugeReadings: Readonly<Record<GaugeName, (reading: Reading) => readonly Sample[]>> = {
  heddle_build_info: ({ state }) => [{ labels: { version: state.version, node: process.version }, value: 1 }],
  heddle_ready: ({ state }) => one(state.ready.isReady ? 1 : 0),
  heddle_haproxy_up: ({ state }) => one(state.haproxy.isConnected ? 1 : 0),
  heddle_source_state: ({ state: { sources } }) =>
    [...sources].flatMap(([name, source]) =>
      sourceStates.map((state) => ({
        labels: { source: oneOf(sourceNames, name), state },
        value: source.state === state ? 1 : 0,
      })),
    ),
  heddle_source_age_seconds: ({ state, now }) =>
    [...state.sources].flatMap(([name, { at }]) => {
      const age = ageSeconds(at, now)
      return age === null ? [] : [{ labels: { source: oneOf(sourceNames, name) }, value: age }]
    }),
  heddle_source_partitions: ({ state }) =>
    [...state.sources].flatMap(([name, { partitions }]) => {
      const source = oneOf(sourceNames, name)
      return [
        { labels: { source, state: 'fresh' }, value: partitions.total - partitions.stale },
        { labels: { source, state: 'stale' }, value: partitions.stale },
      ]
    }),
  heddle_services: ({ counts }) => one(counts.services),
  heddle_instances: ({ counts }) => {
    const found = serverStates.flatMap((state) => addressSources.map((source) => ({ state, source })))
    const all = [...found, { state: 'dead', source: 'none' } as const, { state: 'unresolved', source: 'none' } as const]
    return all.map((labels) => ({
      labels,
      value: counts.instancesBy.get(`${labels.state} ${labels.source}`) ?? 0,
    }))
  },
  heddle_problems: ({ counts }) => {
    const codes = Object.keys(problemCodes)
    const rest = counts.problems - codes.reduce((sum, code) => sum + (counts.problemsByCode.get(code) ?? 0), 0)
    const samples = codes.map((code) => ({ labels: { code }, value: counts.problemsByCode.get(code) ?? 0 }))
    return [...samples, { labels: { code: other }, value: rest }]
  },
  heddle_conflicts: ({ counts }) => one(counts.problemsByCode.get('conflict') ?? 0),
  heddle_routes: ({ counts }) => one(counts.routes),
  heddle_backends: ({ counts }) => one(counts.backends),
  heddle_spares: ({ state: { haproxy } }) => [
    { labels: { state: 'free' }, value: haproxy.spares.free },
    { labels: { state: 'taken' }, value: haproxy.spares.taken },
  ],
  heddle_backend_info: ({ state }) => backendsOf(state).map((labels) => ({ labels: { ...labels }, value: 1 })),
  heddle_old_workers: ({ state }) => one(state.haproxy.oldWorkers),
  heddle_last_success_timestamp_seconds: ({ state, lastSuccess }) =>
    one(Math.max(lastSuccess, state.proof?.at ?? 0) / 1000),
  heddle_revision_number: ({ state }) => one(state.proof?.number ?? 0),
  heddle_routes_hash: ({ state }) => one(state.proof === null ? 0 : numberOf(state.proof.routesHash)),
  heddle_notices: ({ state: { notices } }) =>
    noticeSubjects.map((subject) => {
      const isStanding = [...notices.keys()].some((name) => oneOf(noticeSubjects, name) === subject)
      return { labels: { subject }, value: isStanding ? 1 : 0 }
    }),
  heddle_event_streams: ({ streams }) => one(streams),
}

function one(value: number): readonly Sample[] {
  return [{ labels: {}, value }]
}

/** Of a hash, what a double holds exactly. */
function numberOf(hash: string): number {
  return Number.parseInt(hash.slice(0, 12), 16)
}

function oneOf(known: readonly string[], value: string): string {
  return known.includes(value) ? value : other
}

const rows: ReadonlyMap<string, MetricRow> = new Map(Object.entries(metricTable))

function named(name: string, registry: Registry) {
  const row = rows.get(name)
  return { name, help: row?.help ?? '', labelNames: Object.keys(row?.labels ?? {}), registers: [registry] }
}

function counter(name: CounterName, registry: Registry): Counter {
  return new Counter(named(name, registry))
}

function histogram(name: HistogramName, registry: Registry): Histogram {
  return new Histogram({ ...named(name, registry), buckets: [...metricTable[name].buckets] })
}
