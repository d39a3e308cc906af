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
}

const defaultLimits: LoadLimits = { within: 2_000, shared: 1_000 }
/** Of one section, in characters: some 200 for each server. More than that is another answer than was asked for. */
const longest = 8 * 1024 * 1024

type Told = { readonly ok: true; readonly loads: SectionLoads } | Silence

/**
 * Asks for one section after the other, on one connection: HAProxy is free for others between two of them, while `show stat` of
 * 60,000 servers at once holds a thread for half a second. Who asks for a section that somebody has just asked for gets the same
 * answer, also while it is awaited, so that many clients cost no more than one.
 */
export function loadReader(sockets: () => HaproxySockets, limits: Partial<LoadLimits> = {}): AskLoads {
  const { within, shared } = { ...defaultLimits, ...limits }
  const recent = new Map<string, { readonly at: Ms; readonly told: Promise<Told> }>()
  return async (sections) => {
    const now = performance.now()
    for (const [section, { at }] of recent) if (now - at > shared) recent.delete(section)
    const missing = [...new Set(sections)].filter((section) => !recent.has(section))
    const told = missing.length === 0 ? [] : askSections(sockets(), missing, within)
    for (const [index, one] of told.entries()) recent.set(missing[index] ?? '', { at: now, told: one })
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

/** A promise for each section, in their order. */
function askSections(sockets: HaproxySockets, sections: readonly string[], within: Ms): readonly Promise<Told>[] {
  const signal = AbortSignal.timeout(within)
  const connection = connectWorker(sockets, { timeout: within, longest, signal })
  const told = sections.map(async (section): Promise<Told> => {
    const connected = await connection
    const answer = connected.ok ? await readLoads(connected.runtime, section) : connected
    if (answer.ok || answer.code !== 'aborted') return answer
    return { ...answer, why: `HAProxy has not told all of it within ${within} ms` }
  })
  void Promise.all(told).then(async () => {
    const connected = await connection
    if (connected.ok) connected.runtime.close()
  })
  return told
}

/** Of the servers of one section. */
export async function readLoads(runtime: Runtime, section: string): Promise<Told> {
  if (!isSectionName(section)) return notUnderstood(section)
  // 4: servers, -1: all of them
  const answer = await runtime.ask(`show stat ${section} 4 -1`)
  if (!answer.ok) return answer
  const rows = readStatTable(answer.answer, ['pxname', 'svname', 'scur', 'stot', 'qcur'])
  if (rows === null) return notUnderstood(section)
  const loads = new Map<string, ServerLoad>()
  for (const cell of rows) {
    const [sessions, total, queue] = [readCount(cell('scur')), readCount(cell('stot')), readCount(cell('qcur'))]
    // where no section has that name HAProxy takes a number for one: `-1` for all
    if (cell('pxname') !== section || sessions === null || total === null || queue === null) continue
    loads.set(cell('svname'), { sessions, total, queue })
  }
  return { ok: true, loads }
}

function notUnderstood(section: string): Silence {
  return { ok: false, code: 'unreadable', why: `HAProxy tells no statistics of ${section}` }
}
