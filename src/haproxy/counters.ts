import type { BackendId } from '../types.ts'
import type { Runtime, Silence } from './cli.ts'

/** Connections that HAProxy did not get, of every backend, counted since its worker started. */
export interface BackendFailures {
  readonly pid: number
  readonly failures: ReadonlyMap<BackendId, number>
}

export interface ServerCounters {
  readonly name: string
  readonly failures: number
  /** Requests that it was given, with or without success. */
  readonly sessions: number
  readonly isInMaintenance: boolean
}

/** Kinds of rows of `show stat`. */
const backendRows = 2
const serverRows = 4

/**
 * `-1` alone would be taken for a backend of that name, which a service may have; no name has a `/`, and HAProxy reads the number
 * before it.
 */
const everyBackend = '-1/'

/** Costs HAProxy a fortieth of a second for 5,000 backends, 1.3 MB. */
export async function readBackendFailures(
  runtime: Runtime,
): Promise<{ readonly ok: true; readonly counted: BackendFailures } | Silence> {
  const [about, stat] = await Promise.all([
    runtime.ask('show info'),
    runtime.ask(`show stat ${everyBackend} ${backendRows} -1`),
  ])
  if (!about.ok) return about
  if (!stat.ok) return stat
  const pid = Number(/^Pid: (\d{1,10})$/m.exec(about.answer)?.[1])
  const rows = readRows(stat.answer)
  if (!(pid > 0) || rows === null) return unreadable
  return { ok: true, counted: { pid, failures: new Map(rows.map((row) => [row('pxname'), failuresOf(row)])) } }
}

/** None of a backend that HAProxy does not have. */
export async function readServerCounters(
  runtime: Runtime,
  backend: BackendId,
): Promise<{ readonly ok: true; readonly servers: readonly ServerCounters[] } | Silence> {
  const stat = await runtime.ask(`show stat ${backend} ${serverRows} -1`)
  if (!stat.ok) return stat
  if (stat.answer === 'No such proxy.') return { ok: true, servers: [] }
  const rows = readRows(stat.answer)
  if (rows === null) return unreadable
  const servers = rows.map((row) => ({
    name: row('svname'),
    failures: failuresOf(row),
    sessions: countOf(row('stot')),
    isInMaintenance: row('status').startsWith('MAINT'),
  }))
  return { ok: true, servers }
}

const unreadable: Silence = { ok: false, code: 'unreadable', why: 'the answer of `show stat` is not understood' }

/** No text of them can hold a comma, nor can any column before them. */
const columns = ['pxname', 'svname', 'stot', 'econ', 'wretr', 'wredis', 'status'] as const
type Row = (column: (typeof columns)[number]) => string

/** Null: it is no table with these columns. */
function readRows(text: string): readonly Row[] | null {
  const [header = '', ...lines] = text.split('\n')
  const names = header.replace(/^# /, '').split(',')
  const places = new Map<string, number>(columns.map((name) => [name, names.indexOf(name)]))
  const width = Math.max(...places.values()) + 1
  if ([...places.values()].includes(-1)) return null
  return lines
    .filter((line) => line !== '')
    .map((line) => {
      const cells = line.split(',', width)
      return (column) => cells[places.get(column) ?? -1] ?? ''
    })
}

/** A connection that fails is tried again at the same server, or elsewhere, or given up. */
function failuresOf(row: Row): number {
  return countOf(row('econ')) + countOf(row('wretr')) + countOf(row('wredis'))
}

function countOf(cell: string): number {
  return /^\d{1,15}$/.test(cell) ? Number(cell) : 0
}
