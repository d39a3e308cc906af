import type { Ms } from '../types.ts'
import type { Turn } from './state.ts'

/** What a turn did, put together while it is done. */
export interface Report {
  readonly durations: { -readonly [stage in keyof Turn['durations']]: Ms }
  outcome: Turn['outcome']
  reload: Turn['reload']
  change: Turn['change']
  readonly steps: Turn['steps'][number][]
  readonly drift: Turn['drift'][number][]
  check: Turn['check']
}

export function newReport(): Report {
  return { durations: {}, outcome: 'waiting', reload: null, change: null, steps: [], drift: [], check: null }
}

export function turnOf(report: Report): Turn {
  return { at: Date.now(), ...report }
}
