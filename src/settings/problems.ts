import { escapeUnprintable } from '../printable.ts'

/** A setting that can't be used. Free of secrets and of control characters: it is printed as it is. */
export interface SettingProblem {
  /** Dotted, with an index where it is one entry of a list: `haproxy.bind[1]`; '' for the file as a whole. */
  readonly key: string
  /** Ends a sentence of the form "expected ...". */
  readonly expected: string
  /** What was there instead, never a secret. */
  readonly got: string
  /** `FILE:LINE`, the variable or the flag. */
  readonly where: string
}

const longestShown = 60
const mostDescribed = 50

/** A value as it may be shown in a problem: text in quotes, lists and maps by their kind only. */
export function show(value: unknown): string {
  if (value === undefined || value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  if (typeof value !== 'string') return 'a map'
  // Whatever stands before an `@` could be a password, with a scheme or without.
  const masked = value.replace(/^.*@/s, '(hidden)@')
  const short = masked.length > longestShown ? `${masked.slice(0, longestShown)}…` : masked
  return escapeUnprintable(JSON.stringify(short))
}

/**
 * A name that nobody knows, as it may be shown: up to the first character that names don't have, since
 * `token:abc`, written without its blank, is one long name that holds a secret.
 */
export function harmlessName(name: string): string {
  const short = (/^[A-Za-z0-9_.-]*/.exec(name)?.[0] ?? '').slice(0, longestShown)
  return short === name ? name : `${short}…`
}

/** One line each, place first, as compilers do. */
export function describeProblems(problems: readonly SettingProblem[]): string {
  const lines = problems.slice(0, mostDescribed).map(({ where, key, expected, got }) => {
    const about = key === '' ? '' : `${key}: `
    return `  ${where}: ${about}expected ${expected}, got ${got}`
  })
  const rest = problems.length - lines.length
  if (rest > 0) lines.push(`  and ${rest} more`)
  return [`${problems.length} ${problems.length === 1 ? 'setting is' : 'settings are'} wrong:`, ...lines].join('\n')
}
