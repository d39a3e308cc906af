import type { Ms } from '../types.ts'
import { longestTimer, parseDuration, parsePercentage, printDuration } from './durations.ts'

export type Read<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly expected: string }

/**
 * How one kind of value is read. Every setting begins as text, wherever it was written, so that the file, the
 * environment and flags have one spelling. `expected` never repeats more of the text than harmless parts of it.
 */
export interface Reader<T> {
  /** Ends a sentence of the form "expected ...". */
  readonly describe: string
  readonly read: (text: string) => Read<T>
  /** A path: on a command line it may be relative. */
  readonly isPath?: boolean
}

export function ok<T>(value: T): Read<T> {
  return { ok: true, value }
}

export function wrong(expected: string): Read<never> {
  return { ok: false, expected }
}

/** A reader whose text is either understood or, with null, wrong as a whole. */
export function reader<T extends string | number | boolean>(
  describe: string,
  parse: (text: string) => T | null,
): Reader<T> {
  return {
    describe,
    read: (text) => {
      const value = parse(text)
      return value === null ? wrong(describe) : ok(value)
    },
  }
}

/** Text as it is, if it matches. Everything that lands in haproxy.cfg has a pattern without blanks. */
export function matching(describe: string, pattern: RegExp): Reader<string> {
  return reader(describe, (text) => (pattern.test(text) ? text : null))
}

function listWords(words: readonly string[]): string {
  return words
    .map((word) => `\`${word}\``)
    .join(', ')
    .replace(/, ([^,]*)$/, ' or $1')
}

export function choice<const T extends string>(...words: readonly T[]): Reader<T> {
  return reader(listWords(words), (text) => words.find((word) => word === text) ?? null)
}

/** A reader's value, or `word` for the absence of one, which becomes null. */
export function orElse<T>(base: Reader<T>, word: string): Reader<T | null> {
  return {
    ...base,
    describe: `${base.describe}, or \`${word}\``,
    read: (text) => (text === word ? ok(null) : base.read(text)),
  }
}

/** As `orElse`, for a word that is a value of its own. */
export function orWord<T, const W extends string>(base: Reader<T>, word: W): Reader<T | W> {
  return {
    ...base,
    describe: `${base.describe}, or \`${word}\``,
    read: (text) => (text === word ? ok(word) : base.read(text)),
  }
}

export const truth: Reader<boolean> = reader('`on` or `off` (as well as true, false, yes and no)', (text) => {
  const word = text.toLowerCase()
  if (['true', 'on', 'yes'].includes(word)) return true
  return ['false', 'off', 'no'].includes(word) ? false : null
})

export function integer(least: number, most: number): Reader<number> {
  return reader(`a whole number from ${least} to ${most}`, (text) => {
    const number = /^(?:0|[1-9]\d{0,9})$/.test(text) ? Number(text) : Number.NaN
    return number >= least && number <= most ? number : null
  })
}

/** Milliseconds. */
export function duration(least: Ms = 0, most: Ms = longestTimer): Reader<Ms> {
  const describe = 'a duration such as 500ms, 10s, 5m, 1h or 7d'
  return {
    describe,
    read: (text) => {
      if (/^\d{1,9}$/.test(text)) {
        return wrong(`a duration with its unit: ${text}ms, ${text}s, ${text}m, ${text}h or ${text}d`)
      }
      const value = parseDuration(text)
      if (value === null) return wrong(describe)
      if (value < least) return wrong(`a duration of at least ${printDuration(least)}`)
      return value > most ? wrong(`a duration of at most ${Math.floor(most / 86_400_000)}d`) : ok(value)
    },
  }
}

/** A share from 0 to 1. */
export const percentage: Reader<number> = {
  describe: 'a percentage from 0% to 100%',
  read: (text) => {
    const share = parsePercentage(text)
    if (share !== null) return ok(share)
    return wrong(/^\d{1,3}$/.test(text) ? `a percentage with its sign: ${text}%` : 'a percentage from 0% to 100%')
  },
}

/** Permissions of files: heddle reads and writes, others at most read. */
export const fileMode: Reader<number> = reader(
  'octal permissions such as 0640: the owner reads and writes, others at most read',
  (text) => (/^0?6[04][04]$/.test(text) ? Number.parseInt(text, 8) : null),
)
