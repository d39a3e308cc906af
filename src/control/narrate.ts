import type { Log } from '../log.ts'
import type { Problem } from '../types.ts'
import type { State, Turn } from './state.ts'

/** More lines than this at once say no more than their number. */
const mostProblemLines = 20

/**
 * Turns what changed between two states into log lines: info for what was done, warn for what was refused and for problems
 * and sources that went bad, debug for each turn. Messages are constant; what they are about stands in fields.
 */
export function narrate(log: Log, before: State | null, after: State, turn: Turn): void {
  if (turn.drift.length > 0) narrateDrift(log, turn.drift)
  if (turn.reload !== null) narrateReload(log, turn.reload)
  narrateRevision(log, before, after, turn)
  narrateSources(log, before, after)
  narrateProblems(log, before?.decision?.problems ?? [], after.decision?.problems ?? [])
  if (before?.ready.isReady !== after.ready.isReady) {
    const level = after.ready.isReady ? 'info' : 'warn'
    log[level]({ reason: after.ready.reason }, after.ready.isReady ? 'ready' : 'not ready')
  }
  for (const [name, text] of after.notices) {
    if (before?.notices.get(name) !== text) log.warn({ subject: name, reason: text }, 'new version not taken')
  }
  log.debug({ outcome: turn.outcome, milliseconds: rounded(turn.durations) }, 'turn')
}

function narrateDrift(log: Log, drift: Turn['drift']): void {
  const found = drift.slice(0, mostProblemLines).map(({ what, subject }) => `${what} ${subject}`)
  log.warn({ found, count: drift.length }, 'HAProxy is not as it was left; put right')
}

function narrateReload(log: Log, { outcome, reasons }: NonNullable<Turn['reload']>): void {
  const said = reasons.slice(0, mostProblemLines).map(({ code, subject }) => `${code} ${subject}`.trim())
  if (outcome === 'success') log.info({ reasons: said, count: reasons.length }, 'HAProxy reloaded')
  else log.warn({ reasons: said, count: reasons.length }, 'HAProxy could not be reloaded')
}

function narrateRevision(log: Log, before: State | null, after: State, turn: Turn): void {
  const { proof, haproxy } = after
  if (proof !== null && before?.proof?.number !== proof.number) {
    const record = after.history.find(({ number }) => number === proof.number)
    const { number, hash } = proof
    const reasons = record?.reasons ?? []
    log.info(
      { number, hash, reasons, cause: record?.cause ?? [], milliseconds: rounded(turn.durations) },
      'revision runs',
    )
  }
  // before there is anything to run, that nothing runs is no news
  if (after.candidate !== null && haproxy.error !== null && before?.haproxy.error !== haproxy.error) {
    log.warn({ hash: after.candidate?.hash ?? null, reason: haproxy.error }, 'wanted revision does not run')
  }
}

function narrateSources(log: Log, before: State | null, after: State): void {
  for (const [source, status] of after.sources) {
    const known = before?.sources.get(source)
    if (known?.state === status.state && known.error === status.error) continue
    const fields = { source, state: status.state, partitions: status.partitions, reason: status.error }
    if (status.state === 'fresh') log.info(fields, 'source is fresh')
    else if (status.error !== null) log.warn(fields, 'source has a problem')
  }
  for (const [source, { note }] of after.sources) {
    if (note !== null && before?.sources.get(source)?.note !== note)
      log.warn({ source, reason: note }, 'source is slow')
  }
}

function narrateProblems(log: Log, before: readonly Problem[], after: readonly Problem[]): void {
  if (before === after) return
  const [known, standing] = [new Map(before.map(keyed)), new Map(after.map(keyed))]
  const appeared = [...standing].filter(([key]) => !known.has(key)).map(([, one]) => one)
  const gone = [...known].filter(([key]) => !standing.has(key)).map(([, one]) => one)
  for (const { code, service, instance, subject, reason } of appeared.slice(0, mostProblemLines)) {
    log.warn({ code, service, instance, subject, reason }, 'problem appeared')
  }
  if (appeared.length > mostProblemLines)
    log.warn({ count: appeared.length - mostProblemLines }, 'more problems appeared')
  for (const { code, service, instance, subject } of gone.slice(0, mostProblemLines)) {
    log.info({ code, service, instance, subject }, 'problem gone')
  }
  if (gone.length > mostProblemLines) log.info({ count: gone.length - mostProblemLines }, 'more problems gone')
}

function keyed(one: Problem): readonly [string, Problem] {
  return [JSON.stringify([one.code, one.service, one.instance, one.subject]), one]
}

function rounded(durations: Turn['durations']): Record<string, number> {
  return Object.fromEntries(Object.entries(durations).map(([stage, length]) => [stage, Math.round(length * 10) / 10]))
}
