import type { Drift, Turn } from '../control/state.ts'
import { problemCodes } from '../problems.ts'
import type { SourceStatus } from '../sources/source.ts'
import type { Step } from '../types.ts'
import { addressSources, reloadReasonCodes, serverStates } from './views.ts'

export const outcomes = ['unchanged', 'applied', 'rejected', 'waiting'] as const satisfies readonly Turn['outcome'][]
export const stages = [
  'decide',
  'render',
  'runtime',
  'validate',
  'apply',
  'install',
] as const satisfies readonly (keyof Turn['durations'])[]
export const reloadOutcomes = ['success', 'failure'] as const
export const stepKinds = [
  'seat',
  'add',
  'weigh',
  'state',
  'limit',
  'readdress',
  'map',
  'open',
  'shutdown',
  'delete',
] as const satisfies readonly Step['do'][]
export const driftKinds = ['server', 'map', 'seat', 'frontend', 'worker'] as const satisfies readonly Drift['what'][]

/** Stands for a label value outside its list, so that no text from outside ever becomes a label. */
export const other = 'other'
export const sourceNames = ['consul', 'snapshot', 'docker', 'weave', other] as const
export const sourceStates = [
  'fresh',
  'stale',
  'doubtful',
  'waiting',
] as const satisfies readonly SourceStatus['state'][]
/** What can be refused or fail to be written: names of `State.notices`. */
export const noticeSubjects = ['settings', 'templates', 'current', 'check', 'journal', 'memory', other] as const

export interface MetricRow {
  readonly type: 'gauge' | 'counter' | 'histogram'
  /** What it is, and what it is good for. */
  readonly help: string
  /** Label names with their values, or what the one value is. */
  readonly labels?: Readonly<Record<string, readonly string[] | string>>
  /** Of a histogram, in seconds. */
  readonly buckets?: readonly number[]
}

/** Every metric of heddle's own, in the order they are documented. Seconds and plain counts only. */
export const metricTable = {
  heddle_build_info: {
    type: 'gauge',
    help: 'Always 1; the version that runs. Count it by version to see which edges still run an old one.',
    labels: { version: 'of heddle', node: 'of Node.js' },
  },
  heddle_ready: {
    type: 'gauge',
    help: 'Whether a proved revision runs in HAProxy (1) or not (0), as /readyz says, which also tells why not.',
  },
  heddle_haproxy_up: {
    type: 'gauge',
    help: "Whether HAProxy's master and worker both answer heddle (1). At 0 nothing can change, whoever still serves.",
  },
  heddle_source_state: {
    type: 'gauge',
    help: 'The state each source is in is 1, the others are 0. Waiting holds up the first revision, doubtful every removal.',
    labels: { source: sourceNames, state: sourceStates },
  },
  heddle_source_age_seconds: {
    type: 'gauge',
    help: "Seconds since the last fresh answer of the source's worst partition; absent until it has spoken. Below 75 while all is well.",
    labels: { source: sourceNames },
  },
  heddle_source_errors_total: {
    type: 'counter',
    help: 'Failed requests to the source. A rate that stays above 0 is a fault between heddle and it.',
    labels: { source: sourceNames },
  },
  heddle_source_partitions: {
    type: 'gauge',
    help: 'Nodes, services or engines that the source is read by: those that answered last time (fresh), and those that failed and keep what they had (stale).',
    labels: { source: sourceNames, state: ['fresh', 'stale'] },
  },
  heddle_services: { type: 'gauge', help: 'Exposed services. A sudden fall is a fault of the catalog or of a tag.' },
  heddle_instances: {
    type: 'gauge',
    help: 'Instances of exposed services by state and by what proved their address. Only ready ones take new requests.',
    labels: { state: [...serverStates, 'dead', 'unresolved'], source: [...addressSources, 'none'] },
  },
  heddle_problems: {
    type: 'gauge',
    help: 'Problems of the input by code; `heddle lint` names them with what to write instead.',
    labels: { code: [...Object.keys(problemCodes), other] },
  },
  heddle_conflicts: {
    type: 'gauge',
    help: 'Matches that a service asks for and another one has; `heddle routes` shows the owners.',
  },
  heddle_routes: { type: 'gauge', help: 'Routes wanted of HAProxy. At 0 this edge answers 404 to everybody.' },
  heddle_backends: { type: 'gauge', help: 'Backends wanted of HAProxy. With the servers they make up its memory.' },
  heddle_backend_info: {
    type: 'gauge',
    help: "Always 1; which service a backend of HAProxy is of. Join HAProxy's own statistics, where a new service is called `:spare3` until the next reload, by it.",
    labels: {
      backend: "as HAProxy's exporter has it in its label `proxy`",
      service: 'as Consul has it, invisible characters escaped',
    },
  },
  heddle_stage_duration_seconds: {
    type: 'histogram',
    help: 'Time that each stage of a turn took. Shows where a slow change spends it: runtime is what HAProxy is told without a reload, validate is `haproxy -c`, apply the reload, install the files that follow.',
    labels: { stage: stages },
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
  },
  heddle_change_duration_seconds: {
    type: 'histogram',
    help: 'Time from when a change was seen until HAProxy was read back with it, pacing and refusals included: how far traffic lags behind the catalog.',
    buckets: [0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 300],
  },
  heddle_runtime_steps_total: {
    type: 'counter',
    help: 'What HAProxy was told without a reload, by kind: the changes that cost next to nothing.',
    labels: { step: stepKinds },
  },
  heddle_drifts_total: {
    type: 'counter',
    help: 'What was found otherwise than it was left and put right: servers, map entries, seats and frontends that somebody else changed over the socket, workers that came without a reload of heddle.',
    labels: { what: driftKinds },
  },
  heddle_checks_total: {
    type: 'counter',
    help: 'Checks by `haproxy -c` of files that followed changes without one. A failure is a bug of heddle: please report it.',
    labels: { outcome: reloadOutcomes },
  },
  heddle_spares: {
    type: 'gauge',
    help: 'Sections of the running HAProxy that were declared ahead for new services, by whether one serves from it (taken). With none free a new service needs a reload.',
    labels: { state: ['free', 'taken'] },
  },
  heddle_reloads_total: {
    type: 'counter',
    help: 'Reloads of HAProxy. A failure is always worth a look: the reason is in the log and in the status.',
    labels: { outcome: reloadOutcomes },
  },
  heddle_reload_reasons_total: {
    type: 'counter',
    help: 'Reloads by each reason they had; one reload can have several. Tells what to change where there are too many.',
    labels: { reason: [...reloadReasonCodes, other] },
  },
  heddle_old_workers: {
    type: 'gauge',
    help: 'HAProxy workers that still finish requests after a reload. Each has a memory of its own; haproxy.maxOldWorkers is the limit.',
  },
  heddle_last_success_timestamp_seconds: {
    type: 'gauge',
    help: 'When HAProxy was last known to run what is wanted, as Unix time; 0 until then. Falls behind the clock while a revision is refused.',
  },
  heddle_revision_number: {
    type: 'gauge',
    help: 'Number of the revision that runs; 0 until one is proved. Its changes are the changes of this edge.',
  },
  heddle_routes_hash: {
    type: 'gauge',
    help: 'A number made of the routes, servers and options that run; 0 until a revision is proved. Edges that serve the same have the same.',
  },
  heddle_turns_total: {
    type: 'counter',
    help: 'Turns of the loop by how they ended. It turns every few seconds at least: a standing counter is a heddle that hangs.',
    labels: { outcome: outcomes },
  },
  heddle_notices: {
    type: 'gauge',
    help: 'Whether a new version of settings or templates was not taken, files could not be written or were refused (1); /api/v1/status says why.',
    labels: { subject: noticeSubjects },
  },
  heddle_event_streams: {
    type: 'gauge',
    help: 'Open event streams of the status page and of API clients. One more than 100 is refused.',
  },
} as const satisfies Record<string, MetricRow>

type NameOf<T extends MetricRow['type']> = {
  [N in keyof typeof metricTable]: (typeof metricTable)[N]['type'] extends T ? N : never
}[keyof typeof metricTable]
export type GaugeName = NameOf<'gauge'>
export type CounterName = NameOf<'counter'>
export type HistogramName = NameOf<'histogram'>
