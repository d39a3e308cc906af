import type { Ms } from '../../types.ts'

/** The value of an option, or what is wrong with it. */
export type Value<T> =
  | { readonly kind: 'value'; readonly value: T }
  | { readonly kind: 'wrong'; readonly reason: string }

export function value<T>(of: T): Value<T> {
  return { kind: 'value', value: of }
}

export function wrong(reason: string): { readonly kind: 'wrong'; readonly reason: string } {
  return { kind: 'wrong', reason }
}

const unitLengths = new Map<string, Ms>([
  ['ms', 1],
  ['s', 1000],
  ['m', 60_000],
  ['h', 3_600_000],
  ['d', 86_400_000],
])

/** HAProxy keeps times in 31 bits of milliseconds: 24 days fit. */
const longestDuration: Ms = 24 * 86_400_000

/** `30s`, `500ms`, `10m`, `24h`, `2d`. A number without a unit is refused: everybody reads it differently. */
export function parseDuration(text: string, shortest: Ms): Value<Ms> {
  const [, digits = '', unit = ''] = /^([0-9]{1,9})([a-z]*)$/.exec(text) ?? []
  if (digits === '') return wrong('expected a duration such as 30s')
  if (unit === '') return wrong(`expected a unit after ${digits}: ms, s, m, h or d`)
  const length = unitLengths.get(unit)
  if (length === undefined) return wrong('expected one of the units ms, s, m, h and d')
  const duration = Number(digits) * length
  if (duration < shortest) return wrong(`expected at least ${printDuration(shortest)}`)
  if (duration > longestDuration) return wrong('expected at most 24d')
  return value(duration)
}

/** The shortest text that reads back to the same duration. */
export function printDuration(duration: Ms): string {
  if (duration === 0) return '0s'
  for (const [unit, length] of [...unitLengths].reverse()) {
    if (duration % length === 0) return `${duration / length}${unit}`
  }
  return `${duration}ms`
}

/** A whole number in plain decimal digits: no sign, no exponent, no other script's digits. */
export function parseWhole(text: string, least: number, most: number): Value<number> {
  if (!/^[0-9]{1,9}$/.test(text)) return wrong(`expected a whole number from ${least} to ${most}`)
  const number = Number(text)
  return number < least || number > most ? wrong(`expected a whole number from ${least} to ${most}`) : value(number)
}

export function parseWord<const W extends string>(text: string, words: readonly W[]): Value<W> {
  const word = words.find((candidate) => candidate === text)
  return word === undefined ? wrong(`expected one of ${words.join(', ')}`) : value(word)
}

/** Turns a value into the options it sets, leaving what is wrong as it is. */
export function set<T, O>(parsed: Value<T>, toOptions: (of: T) => O): Value<O> {
  return parsed.kind === 'wrong' ? parsed : value(toOptions(parsed.value))
}
