import type { Ms } from '../types.ts'
import type { Runtime, Silence } from './cli.ts'
import { isSectionName } from './seats.ts'
import { readCount, readStatTable } from './stat-table.ts'
import { connectWorker, type HaproxySockets } from './worker.ts'

/** What runs on servers at this moment, which nobody but HAProxy knows. */

export interface ServerLoad {
  /** Requests, or connections of a tunnel, that run on it. */
  readonly sessions: number
  /** All it has had in the life of this worker. */
  readonly total: number
  /** Requests that wait for it alone. */
  readonly queue: number
}

/** By the name of the server. */
export type SectionLoads = ReadonlyMap<string, ServerLoad>

export interface Loads {
  /** By section. One that is missing has not been told. */
  readonly sections: ReadonlyMap<string, SectionLoads>
  /** Why one is missing; null: none is. */
  readonly why: string | null
}

/** Never rejects, and takes no longer than its limit. */
export type AskLoads = (sections: readonly string[]) => Promise<Loads>

export interface LoadLimits {
  /** For all answers together. */
  readonly within: Ms
  /** How long an answer may be given to others who ask for the same. */
  readonly shared: Ms
  /** More sections than these are read from the table of all. */
  readonly mostSingly: number
}

const defaultLimits: LoadLimits = { within: 2_000, shared: 1_000, mostSingly: 200 }

type Told = { readonly ok: true; readonly loads: SectionLoads } | Silence
type Table = { readonly ok: true; readonly sections: Loads['sections'] } | Silence

/**
 * Asks for one section after the other, on one connection; for very many the table of all is less work, though it is half a second
 * of HAProxy's and 15 MB for 60,000 servers. Who asks for a section that somebody has just asked for gets the same answer, also
 * while it is awaited, so that many clients cost no more than one.
 */
export function loadReader(sockets: () => HaproxySockets, limits: Partial<LoadLimits> = {}): AskLoads {
  const all = { ...defaultLimits, ...limits }
  const recent = new Map<string, { readonly at: Ms; readonly told: Promise<Told> }>()
  const forgetOld = () => {
    const now = performance.now()
    for (const [section, { at }] of recent) if (now - at >= all.shared) recent.delete(section)
  }
  return async (sections) => {
    forgetOld()
    const missing = [...new Set(sections)].filter((section) => !recent.has(section))
    const at = performance.now()
    if (missing.length > 0) {
      for (const [section, told] of askSections(sockets(), missing, all)) recent.set(section, { at, told })
      // an answer can be large: it is not kept until somebody asks again
      setTimeout(forgetOld, all.within + all.shared).unref()
    }
    return gather(new Map(sections.map((section) => [section, recent.get(section)?.told])))
  }
}

async function gather(told: ReadonlyMap<string, Promise<Told> | undefined>): Promise<Loads> {
  const sections = new Map<string, SectionLoads>()
  let why: string | null = null
  for (const [section, answer] of told) {
    const one = await answer
    if (one?.ok === true) sections.set(section, one.loads)
    else why ??= one?.why ?? null
  }
  return { sections, why }
}

function askSections(
  sockets: HaproxySockets,
  sections: readonly string[],
  { within, mostSingly }: LoadLimits,
): ReadonlyMap<string, Promise<Told>> {
  const connection = connectWorker(sockets, { timeout: within, signal: AbortSignal.timeout(within) })
  const ask = async (name: string): Promise<Table> => {
    const connected = await connection
    return connected.ok ? readTable(connected.runtime, name) : connected
  }
  const ofAll = sections.length > mostSingly ? ask(everything) : null
  const tell = async (section: string): Promise<Told> => {
    const table = isSectionName(section) ? await (ofAll ?? ask(section)) : notUnderstood(section)
    if (table.ok) return { ok: true, loads: table.sections.get(section) ?? new Map() }
    return table.code === 'aborted' ? { ...table, why: `HAProxy has not told all of it within ${within} ms` } : table
  }
  const told = new Map(sections.map((section) => [section, tell(section)]))
  void Promise.all(told.values()).then(async () => {
    const connected = await connection
    if (connected.ok) connected.runtime.close()
  })
  return told
}

/** HAProxy takes what is no name for a number, and -1 for all. A section could be called `-1`, but none ends in `:`. */
const everything = '-1:'

/** Of the servers of one section. */
export async function readLoads(runtime: Runtime, section: string): Promise<Told> {
  if (!isSectionName(section)) return notUnderstood(section)
  const table = await readTable(runtime, section)
  return table.ok ? { ok: true, loads: table.sections.get(section) ?? new Map() } : table
}

async function readTable(runtime: Runtime, name: string): Promise<Table> {
  // 4: servers, -1: all of them
  const answer = await runtime.ask(`show stat ${name} 4 -1`)
  if (!answer.ok) return answer
  const rows = readStatTable(answer.answer, ['pxname', 'svname', 'scur', 'stot', 'qcur'])
  if (rows === null) return notUnderstood(name)
  const sections = new Map<string, Map<string, ServerLoad>>()
  for (const cell of rows) {
    const [sessions, total, queue] = [readCount(cell('scur')), readCount(cell('stot')), readCount(cell('qcur'))]
    if (sessions === null || total === null || queue === null) continue
    const section = cell('pxname')
    const loads = sections.get(section) ?? new Map<string, ServerLoad>()
    sections.set(section, loads.set(cell('svname'), { sessions, total, queue }))
  }
  return { ok: true, sections }
}

function notUnderstood(section: string): Silence {
  return { ok: false, code: 'unreadable', why: `HAProxy tells no statistics of ${section}` }
}
