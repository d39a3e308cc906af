import type { Turn } from '../control/state.ts'
import { problemCodes } from '../problems.ts'
import { addressSources, reloadReasonCodes, serverStates } from './views.ts'

export const outcomes = ['unchanged', 'applied', 'rejected', 'waiting'] as const satisfies readonly Turn['outcome'][]
export const stages = ['decide', 'render', 'validate', 'apply'] as const satisfies readonly (keyof Turn['durations'])[]
export const reloadOutcomes = ['success', 'failure'] as const

/** Stands for a label value outside its list, so that no text from outside ever becomes a label. */
export const other = 'other'
export const sourceNames = ['consul', 'snapshot', 'docker', 'weave', 'templates', other] as const

export interface MetricRow {
  readonly type: 'gauge' | 'counter' | 'histogram'
  readonly help: string
  /** Label names with their values, or what the one value is. */
  readonly labels?: Readonly<Record<string, readonly string[] | string>>
}

/** Every metric of heddle's own, in the order they are documented. Seconds and plain counts only. */
export const metricTable = {
  heddle_build_info: {
    type: 'gauge',
    help: 'Always 1; what is running.',
    labels: { version: 'of heddle', node: 'of Node.js' },
  },
  heddle_ready: { type: 'gauge', help: 'Whether a proved revision runs in HAProxy (1) or not (0).' },
  heddle_source_age_seconds: {
    type: 'gauge',
    help: "Seconds since the last fresh answer of the source's worst partition; absent until it has spoken.",
    labels: { source: sourceNames },
  },
  heddle_source_errors_total: {
    type: 'counter',
    help: 'Failed requests to the source.',
    labels: { source: sourceNames },
  },
  heddle_source_partitions: {
    type: 'gauge',
    help: 'Partitions of the source (nodes, services, engines) by how far their last answer can be believed.',
    labels: { source: sourceNames, state: ['fresh', 'stale'] },
  },
  heddle_services: { type: 'gauge', help: 'Exposed services.' },
  heddle_instances: {
    type: 'gauge',
    help: 'Instances of exposed services by state and by what proved their address.',
    labels: { state: [...serverStates, 'dead', 'unresolved'], source: [...addressSources, 'none'] },
  },
  heddle_problems: {
    type: 'gauge',
    help: 'Problems of the input by code.',
    labels: { code: [...Object.keys(problemCodes), other] },
  },
  heddle_conflicts: { type: 'gauge', help: 'Matches that a service asks for and does not get.' },
  heddle_routes: { type: 'gauge', help: 'Routes wanted of HAProxy.' },
  heddle_backends: { type: 'gauge', help: 'Backends wanted of HAProxy.' },
  heddle_stage_duration_seconds: {
    type: 'histogram',
    help: 'Time that each stage of a turn took.',
    labels: { stage: stages },
  },
  heddle_reloads_total: { type: 'counter', help: 'Reloads of HAProxy.', labels: { outcome: reloadOutcomes } },
  heddle_reload_reasons_total: {
    type: 'counter',
    help: 'Reloads by each reason they had; one reload can have several.',
    labels: { reason: [...reloadReasonCodes, other] },
  },
  heddle_old_workers: { type: 'gauge', help: 'HAProxy workers that still finish requests after a reload.' },
  heddle_last_success_timestamp_seconds: {
    type: 'gauge',
    help: 'When HAProxy was last known to run what is wanted, as Unix time; 0 until then.',
  },
  heddle_revision_number: { type: 'gauge', help: 'Number of the revision that runs; 0 until one is proved.' },
  heddle_revision_info: {
    type: 'gauge',
    help: 'Always 1; the revision that runs. Absent until one is proved.',
    labels: { hash: 'of the revision' },
  },
  heddle_turns_total: { type: 'counter', help: 'Turns of the loop by how they ended.', labels: { outcome: outcomes } },
} as const satisfies Record<string, MetricRow>

type NameOf<T extends MetricRow['type']> = {
  [N in keyof typeof metricTable]: (typeof metricTable)[N]['type'] extends T ? N : never
}[keyof typeof metricTable]
export type GaugeName = NameOf<'gauge'>
export type CounterName = NameOf<'counter'>
export type HistogramName = NameOf<'histogram'>
