import { mapFiles } from '../render/maps.ts'
import { isSpare } from '../render/spares.ts'
import type { Ms, Running, RunningServer, ServerState } from '../types.ts'
import type { Answer, Runtime, Silence } from './cli.ts'
import { workers } from './master.ts'
import { seatsOf, unseatedMaps, unseatedServers } from './seats.ts'
import { readStatTable } from './stat-table.ts'
import { connectWorker, type HaproxySockets } from './worker.ts'

export interface ObserveOptions extends HaproxySockets {
  /** For each single answer. Default 5 s: 60,000 servers take a tenth of a second. */
  readonly timeout?: Ms | undefined
  readonly signal?: AbortSignal | undefined
}

/** Which worker answers on the stats socket, and what it was started with. */
export interface Identity {
  readonly pid: number
  readonly version: string
  /** `global description`, '' when there is none. */
  readonly structure: string
  /** The entry of revision.map, '' when there is none. */
  readonly revision: string
  /** Connections it takes, and file descriptors it set aside for itself. */
  readonly maxconn: number
  readonly ulimit: number
}

export type Observed =
  | {
      readonly kind: 'running'
      readonly running: Running
      readonly oldWorkers: number
      /** Why there can be no reload though the worker answers: its master doesn't, or it is another one's. Null: it can. */
      readonly masterProblem: string | null
    }
  | { readonly kind: 'absent'; readonly why: string }

/** By the names the CLI knows them by, too. */
const files = Object.values(mapFiles)
export const revisionKey = 'revision'

/** Reads back all that a plan needs from the worker that serves now. Never rejects. */
export async function observeRunning(options: ObserveOptions): Promise<Observed> {
  const { statsSocket, masterSocket, timeout = 5_000, signal } = options
  const connection = await connectWorker(options, { timeout, signal })
  if (!connection.ok) return { kind: 'absent', why: connection.why }
  const { runtime } = connection
  const [identity, state, closed, ...maps] = await Promise.all([
    readIdentity(runtime, statsSocket),
    runtime.ask('show servers state'),
    readClosed(runtime),
    ...files.map((file) => readMap(runtime, file)),
  ]).finally(() => runtime.close())
  if (!identity.ok) return { kind: 'absent', why: identity.why }
  if (!state.ok) return { kind: 'absent', why: state.why }
  if (!closed.ok) return { kind: 'absent', why: closed.why }
  const found = new Map<string, ReadonlyMap<string, string>>()
  for (const [index, map] of maps.entries()) {
    const file = files[index]
    if (!map.ok) return { kind: 'absent', why: map.why }
    if (file !== undefined && map.entries !== null) found.set(file, map.entries)
  }
  const { pid, version, structure, revision } = identity.identity
  const seats = seatsOf(found)
  const processes = await workers(masterSocket, { timeout: Math.min(timeout, 2_000), signal })
  return {
    kind: 'running',
    running: {
      pid,
      version,
      structure,
      revision,
      seats,
      servers: unseatedServers(parseServers(state.answer), seats),
      closed: closed.closed,
      maps: unseatedMaps(found, seats),
    },
    oldWorkers: processes.ok ? processes.old.length : 0,
    masterProblem: masterProblem(processes, pid),
  }

  function masterProblem(answer: Awaited<ReturnType<typeof workers>>, worker: number): string | null {
    if (!answer.ok) return answer.why
    if ([answer.current, ...answer.old].some((known) => known?.pid === worker)) return null
    return `${statsSocket} belongs to process ${worker}, which is no worker of the master on ${masterSocket}`
  }
}

/** Only who runs and with what: cheap enough to be asked every second. Never rejects. */
export async function observeIdentity(
  options: ObserveOptions,
): Promise<
  { readonly kind: 'running'; readonly identity: Identity } | { readonly kind: 'absent'; readonly why: string }
> {
  const { statsSocket, timeout = 2_000, signal } = options
  const connection = await connectWorker(options, { timeout, signal })
  if (!connection.ok) return { kind: 'absent', why: connection.why }
  const { runtime } = connection
  const answer = await readIdentity(runtime, statsSocket).finally(() => runtime.close())
  return answer.ok ? { kind: 'running', identity: answer.identity } : { kind: 'absent', why: answer.why }
}

async function readIdentity(
  runtime: Runtime,
  path: string,
): Promise<{ readonly ok: true; readonly identity: Identity } | Silence> {
  const [about, map] = await Promise.all([runtime.ask('show info'), readMap(runtime, mapFiles.revision)])
  if (!about.ok) return about
  if (!map.ok) return map
  const fields = new Map<string, string>()
  for (const line of about.answer.split('\n')) {
    const colon = line.indexOf(':')
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim())
  }
  const pid = pidOf(about.answer)
  const version = fields.get('Version') ?? ''
  if (pid === null || !/^\d[\w.+~:-]{0,63}$/.test(version)) return notUnderstood(path)
  return {
    ok: true,
    identity: {
      pid,
      version,
      structure: (fields.get('description') ?? '').slice(0, 256),
      revision: (map.entries?.get(revisionKey) ?? '').slice(0, 256),
      maxconn: Number(fields.get('Maxconn') ?? 0) || 0,
      ulimit: Number(fields.get('Ulimit-n') ?? 0) || 0,
    },
  }
}

/** Which worker answers. */
export async function workerPid(
  runtime: Runtime,
  path: string,
): Promise<{ readonly ok: true; readonly pid: number } | Silence> {
  const about = await runtime.ask('show info')
  if (!about.ok) return about
  const pid = pidOf(about.answer)
  return pid === null ? notUnderstood(path) : { ok: true, pid }
}

/** Of the answer to `show info`; null: it is none. */
export function pidOf(info: string): number | null {
  const pid = Number(/^Pid: (\d{1,10})$/m.exec(info)?.[1])
  return pid > 0 ? pid : null
}

/** The entry that `get map` found; null: none. */
export function readEntry(answer: string): { readonly key: string; readonly value: string } | null {
  const [, key, value] = /found=yes.* key="([^"]*)", val(?:ue)?="([^"]*)"/.exec(answer) ?? []
  return key === undefined || value === undefined ? null : { key, value }
}

function notUnderstood(path: string): Silence {
  return {
    ok: false,
    code: 'unreadable',
    why: `${path}: \`show info\` is not understood; is it HAProxy's stats socket?`,
  }
}

/** `entries` is null when HAProxy has no map of that name. Of a key that stands twice the first counts, as for HAProxy. */
export async function readMap(
  runtime: Runtime,
  file: string,
): Promise<{ readonly ok: true; readonly entries: ReadonlyMap<string, string> | null } | Silence> {
  const answer: Answer = await runtime.ask(`show map ${file}`)
  if (!answer.ok) return answer
  const entries = new Map<string, string>()
  if (answer.answer === '') return { ok: true, entries }
  for (const line of answer.answer.split('\n')) {
    const entry = /^0x[0-9a-f]+ (\S+)(?: (.*))?$/.exec(line)
    if (entry === null) return { ok: true, entries: null }
    const [, key = '', value = ''] = entry
    if (!entries.has(key)) entries.set(key, value)
  }
  return { ok: true, entries }
}

/** Bits of `srv_admin_state`. The one of a `disabled` line (0x04) stays after `state ready` and says nothing. */
const maintenance = 0x01 | 0x02 | 0x20 | 0x40
const drain = 0x08 | 0x10
/** Values of `srv_op_state`. */
const stopped = 0
const stopping = 3

function stateOf(admin: number, operation: number): ServerState {
  if ((admin & maintenance) !== 0) return 'maint'
  if ((admin & drain) !== 0 || operation === stopping) return 'drain'
  return operation === stopped ? 'maint' : 'ready'
}

/** Of a frontend that takes connections, or as many as it may. */
const open: ReadonlySet<string> = new Set(['OPEN', 'FULL'])

/** Of the frontends, those that take no connections. */
export async function readClosed(
  runtime: Runtime,
): Promise<{ readonly ok: true; readonly closed: ReadonlySet<string> } | Silence> {
  const answer = await runtime.ask('show stat -1/ 1 -1')
  if (!answer.ok) return answer
  const rows = [...(readStatTable(answer.answer, ['pxname', 'status']) ?? [])]
  const closed = rows.filter((row) => /^[\w.:-]{1,64}$/.test(row('pxname')) && !open.has(row('status')))
  return { ok: true, closed: new Set(closed.map((row) => row('pxname'))) }
}

type Servers = ReadonlyMap<string, ReadonlyMap<string, RunningServer>>

/** By section. One without servers is not listed. Those of our own, which begin with `:`, are left out, but for spares. */
export function parseServers(text: string): Servers {
  const servers = new Map<string, Map<string, RunningServer>>()
  let columns: ReadonlyMap<string, number> = new Map()
  for (const line of text.split('\n')) {
    if (line.startsWith('# ')) {
      const names = line.slice(2).split(' ')
      columns = new Map(names.map((name, index) => [name, index]))
    }
    const cells = line.split(' ')
    const cell = (name: string) => cells[columns.get(name) ?? -1] ?? ''
    const section = cell('be_name')
    if (line.startsWith('#') || !(/^[\w.-][\w.:-]*$/.test(section) || isSpare(section))) continue
    const known = servers.get(section) ?? new Map<string, RunningServer>()
    servers.set(section, known)
    const name = cell('srv_name')
    const address = `${cell('srv_addr')}:${cell('srv_port')}`
    known.set(name, {
      weight: Number(cell('srv_uweight')),
      state: stateOf(Number(cell('srv_admin_state')), Number(cell('srv_op_state'))),
      // of equal texts one is kept: there are tens of thousands
      address: address === name ? name : address,
      words: null,
    })
  }
  return servers
}
