import type { Ms } from '../types.ts'

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const

/** The longest time that HAProxy's and Node's timers hold: 2^31 - 1 ms, almost 25 days. */
export const longestTimer: Ms = 2_147_483_647

/** `20ms`, `1.5s`, `2m`, `1h`, `7d`. Null when it is none: no unit, a sign, several parts, a fraction of a millisecond. */
export function parseDuration(text: string): Ms | null {
  const [, number, unit] = /^(\d{1,15}(?:\.\d{1,6})?)(ms|s|m|h|d)$/.exec(text) ?? []
  const factor = units.find(([name]) => name === unit)?.[1]
  if (number === undefined || factor === undefined) return null
  const duration = Math.round(Number(number) * factor * 1e6) / 1e6
  return Number.isSafeInteger(duration) ? duration : null
}

/** In the largest unit that needs no fraction; `parseDuration` gives the same value back. */
export function printDuration(duration: Ms): string {
  const [unit, factor] = units.find(([, size]) => duration > 0 && duration % size === 0) ?? ['ms', 1]
  return `${duration / factor}${unit}`
}

/** `50%` is 0.5. Null when it is not a percentage from 0% to 100%. */
export function parsePercentage(text: string): number | null {
  const number = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(text)?.[1]
  if (number === undefined) return null
  const share = Number(number) / 100
  return share <= 1 ? share : null
}
