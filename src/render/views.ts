import type { BackendId, Ms, RenderSettings, SectionOptions } from '../types.ts'
import { mapFiles } from './maps.ts'

/** What backend.eta sees: one backend, and of the catalog only what was parsed and checked. */
export interface BackendView {
  readonly id: BackendId
  readonly section: SectionOptions
  /** Stands for the server lines: to be printed as it is, on a line of its own. */
  readonly servers: string
}

/** What haproxy.cfg.eta sees: nothing of the catalog at all. */
export interface ConfigView {
  readonly settings: RenderSettings
  /** Stands for the structure hash. */
  readonly structure: string
  /** Stands for the backends of services: to be printed as it is, on a line of its own. */
  readonly backends: string
  readonly monitor: { readonly bind: string; readonly uri: string } | null
  readonly wildcardLevels: readonly number[]
  readonly maps: typeof mapFiles
  word(text: string): string
  words(list: readonly string[]): string
  duration(ms: Ms): string
}

/** One compiled template. */
export interface Template<View> {
  /** Path as it was read. */
  readonly file: string
  readonly source: string
  print(view: View): Printed
}

/** A template's text for one view, or where and why it threw. */
export type Printed =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'threw'; readonly file: string; readonly line: number | null; readonly reason: string }

/** Something wrong with a template, for the person who wrote it. */
export interface TemplateProblem {
  readonly file: string
  /** From 1; null: it is the whole file's. */
  readonly line: number | null
  readonly reason: string
  readonly hint: string
}

/** In the place of what is only known, or proved, after the template has run. No template holds such a character. */
export const placeholders = {
  servers: '\u0002servers\u0003',
  backends: '\u0002backends\u0003',
  structure: '\u0002structure\u0003',
} as const

export function configView(settings: RenderSettings): ConfigView {
  return {
    settings: structuredClone(settings),
    structure: placeholders.structure,
    backends: placeholders.backends,
    monitor: settings.monitor === null ? null : monitorOf(settings.monitor),
    wildcardLevels: [1, 2, 3, 4, 5, 6, 7, 8],
    maps: { ...mapFiles },
    word,
    words: (list) => list.map(word).join(' '),
    duration,
  }
}

export function backendView(id: BackendId, section: SectionOptions): BackendView {
  return { id, section: { ...section }, servers: placeholders.servers }
}

function monitorOf(monitor: string): { readonly bind: string; readonly uri: string } {
  const slash = monitor.indexOf('/')
  return slash === -1 ? { bind: monitor, uri: '/' } : { bind: monitor.slice(0, slash), uri: monitor.slice(slash) }
}

/** A text as one word of HAProxy's language. Throws on control characters, which no quoting carries. */
function word(text: string): string {
  if (/^[A-Za-z0-9_.:/@*,[\]=+-]+$/.test(text)) return text
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what could end the line
  if (/[\u0000-\u001f\u007f]/.test(text)) throw new Error(`expected no control character in ${JSON.stringify(text)}`)
  return `'${text.replaceAll("'", "'\\''")}'`
}

const units = [
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
] as const

/** In the largest unit that says it whole: 90 s, not 1.5 m. */
function duration(ms: Ms): string {
  for (const [unit, length] of units) {
    if (ms > 0 && ms % length === 0) return `${ms / length}${unit}`
  }
  return `${ms}ms`
}
