// Pure: the table of a size from what was measured.

import { kinds } from './changes.mjs'
import { summary } from './statistics.mjs'

/** A row: what it says, the figure of a system, and how it is written. Without `write` no ratio makes sense. */
const rows = [
  ['every route served after a start', ({ start }) => start, time],
  ['change to traffic, p50', ({ times }) => allOf(times).p50, time],
  ['change to traffic, p95', ({ times }) => allOf(times).p95, time],
  ['change to traffic, max', ({ times }) => allOf(times).max, time],
  ...kinds.flatMap((kind) => [
    [`${kind}, p50`, ({ times }) => summary(times[kind]).p50, time],
    [`${kind}, max`, ({ times }) => summary(times[kind]).max, time],
  ]),
  ['processor time a change, all three', (one) => perChange(one), time],
  ['… of the controller', (one) => perChange(one, 'controller'), time],
  ['… of HAProxy', (one) => perChange(one, 'haproxy'), time],
  ['… of Consul', (one) => perChange(one, 'consul'), time],
  ['processor time of the churn, controller', ({ churn }) => churn.controller, seconds],
  ['processor time of the churn, HAProxy, with the load', ({ churn }) => churn.haproxy, seconds],
  ['processor time of the churn, Consul', ({ churn }) => churn.consul, seconds],
  ['reloads in the churn', ({ reloads }) => reloads, count],
  ['failed requests of the load', ({ load }) => failuresOf(load), count],
  ['latency of the load, p50', ({ load }) => load.p50, time],
  ['latency of the load, p99', ({ load }) => load.p99, time],
  ['latency of the load, max', ({ load }) => load.max, time],
  ['peak memory of the controller, RSS', ({ memory }) => memory.controller.resident, megabytes],
  ['peak memory of the controller, PSS', ({ memory }) => memory.controller.proportional, megabytes],
  ['peak memory of HAProxy, RSS', ({ memory }) => memory.haproxy.resident, megabytes],
  ['peak memory of HAProxy, PSS', ({ memory }) => memory.haproxy.proportional, megabytes],
  ['HAProxy processes at most', ({ memory }) => memory.haproxy.processes, count],
  ['processor time a request at the last route', ({ throughput }) => throughput.microseconds / 1_000, time],
  ['requests/s seen at the last route', ({ throughput }) => throughput.perSecond, count],
  ['latency there, p50', ({ throughput }) => throughput.p50, time],
  ['latency there, p99', ({ throughput }) => throughput.p99, time],
]

/** Columns of a size: the first system is what the others are set beside. */
export function cellsOf(systems) {
  const [first, ...others] = systems
  const head = ['', first.name, ...others.flatMap(({ name }) => [name, 'ratio'])]
  const body = rows.map(([label, figure, write]) => [
    label,
    write(figure(first)),
    ...others.flatMap((one) => [write(figure(one)), ratio(figure(one), figure(first))]),
  ])
  return { head, body }
}

/** What belongs to the table: who else was at work, and how requests of the load failed, if any did. */
export function notesOf(systems) {
  const others = systems.map(({ name, others }) => `${Math.round(100 * others)} % during ${name}`)
  const failures = failuresText(systems)
  return [
    `Other programs took of the processors: ${others.join(', ')}.`,
    ...(failures === '' ? [] : [`Failed requests: ${failures}.`]),
  ].join(' ')
}

function failuresText(systems) {
  return systems
    .filter(({ load }) => failuresOf(load) > 0)
    .map(({ name, load }) => {
      const parts = Object.entries(load.failures).map(([failure, times]) => `${failure} ${times}`)
      return `${name}: ${parts.join(', ')} of ${load.requests.toLocaleString('en')}`
    })
    .join('; ')
}

function allOf(times) {
  return summary(Object.values(times).flat())
}

function failuresOf({ failures }) {
  return Object.values(failures).reduce((sum, one) => sum + one, 0)
}

/** Milliseconds beyond what the load alone took. */
export function perChange({ churn, quiet, changes }, name = null) {
  const names = name === null ? Object.keys(churn) : [name]
  return (names.reduce((sum, one) => sum + churn[one] - quiet[one], 0) * 1_000) / changes
}

/** How often the first is in the second; of nothing, and of what fell below nothing, there is no ratio. */
export function ratio(value, base) {
  if (!(base > 0) || value < 0) return '-'
  if (value === Number.POSITIVE_INFINITY) return '∞'
  const times = value / base
  return times < 10 ? times.toFixed(times < 1 ? 2 : 1) : Math.round(times).toLocaleString('en')
}

/** From milliseconds; processor time beyond that of the load may come out below nothing. */
function time(value) {
  if (value === Number.POSITIVE_INFINITY) return '> 60 s'
  if (value >= 10_000) return `${(value / 1_000).toFixed(1)} s`
  if (value >= 10) return `${Math.round(value).toLocaleString('en')} ms`
  return Math.abs(value) >= 0.1 ? `${value.toFixed(1)} ms` : `${(value * 1_000).toFixed(1)} µs`
}

function seconds(value) {
  return `${value.toFixed(1)} s`
}

function count(value) {
  return Math.round(value).toLocaleString('en')
}

function megabytes(value) {
  return `${Math.round(value).toLocaleString('en')} MB`
}
