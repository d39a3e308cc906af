import { patched } from '../patched.ts'
import { commandsOf } from '../render/commands.ts'
import { mapFiles } from '../render/maps.ts'
import { wordsOf } from '../render/server-line.ts'
import type { BackendId, Running, RunningServer, Step } from '../types.ts'
import type { Answer, CliLimits, Runtime, Silence } from './cli.ts'
import { parseServers, readClosed, readEntry, readMap, revisionKey, workerPid } from './observe.ts'
import { backendsOf, seatsOf, sectionsOf, unseatedEntries, unseatedValue } from './seats.ts'
import { connectWorker, type HaproxySockets } from './worker.ts'

export type Taken =
  | {
      readonly kind: 'taken'
      /** What was touched as read back, the rest as it was. */
      readonly running: Running
      /** Steps that HAProxy can't do yet: something runs on the server still. */
      readonly waiting: readonly Step[]
    }
  | {
      /** It answered otherwise than it should: what runs has to be read anew. */
      readonly kind: 'refused'
      readonly why: string
    }
  /** Nobody answered, or another worker did. */
  | { readonly kind: 'failed'; readonly why: string }

/** A connection to the worker that serves now, for the changes of one turn. */
export interface Session {
  /** Takes steps in their order, all in one go, and reads back what they touched: about a millisecond for one. Never rejects. */
  readonly take: (running: Running, steps: readonly Step[]) => Promise<Taken>
  readonly close: () => void
}

export type OpenedSession =
  | { readonly kind: 'open'; readonly session: Session }
  | { readonly kind: 'failed'; readonly why: string }

/** With more than this touched, all of it is read back at once. */
const manyTouched = 100

/**
 * Opens a session with the worker that `running` was read from; with another one nothing is done. It is to be closed soon: it
 * keeps an old worker alive.
 */
export async function openSession(
  sockets: HaproxySockets,
  running: Running,
  limits: CliLimits = {},
): Promise<OpenedSession> {
  const connection = await connectWorker(sockets, limits)
  if (!connection.ok) return { kind: 'failed', why: connection.why }
  const { runtime } = connection
  const pid = await workerPid(runtime, sockets.statsSocket)
  if (!pid.ok || pid.pid !== running.pid) {
    runtime.close()
    return { kind: 'failed', why: pid.ok ? `${sockets.statsSocket} belongs to process ${pid.pid} now` : pid.why }
  }
  return { kind: 'open', session: { take: (...what) => take(runtime, ...what), close: () => runtime.close() } }
}

async function take(runtime: Runtime, running: Running, steps: readonly Step[]): Promise<Taken> {
  const seats = withSeats(running.seats, steps)
  const commands = commandsOf(steps, sectionsOf(seats), runtime.takesPayload)
  const sent = commands.map(({ command, payload }) => runtime.ask(command, payload))
  // asked in the same go: answers come in order
  const reading = readBack(runtime, { ...running, seats }, steps)
  const answers = await Promise.all(sent)
  const read = await reading
  for (const [index, answer] of answers.entries()) {
    const command = commands[index]
    if (!answer.ok) return { kind: 'failed', why: answer.why }
    if (command === undefined || command.accepts.test(answer.answer)) continue
    return { kind: 'refused', why: `${command.command.slice(0, 200)}: ${answer.answer.slice(0, 200) || 'no answer'}` }
  }
  if (!read.ok) return { kind: 'failed', why: read.why }
  return { kind: 'taken', running: read.running, waiting: waitingSteps(steps, read.running) }
}

function waitingSteps(steps: readonly Step[], { servers }: Running): readonly Step[] {
  return steps.filter((step) => step.do === 'delete' && servers.get(step.backend)?.has(step.server) === true)
}

function withSeats(seats: Running['seats'], steps: readonly Step[]): Running['seats'] {
  const taken = steps.filter((step) => step.do === 'seat')
  if (taken.length === 0) return seats
  return new Map([...(seats ?? []), ...taken.map(({ backend, spare }) => [backend, spare] as const)])
}

// ---------------------------------------------------------------------------------------------- read back

type ReadBack = { readonly ok: true; readonly running: Running } | Silence

async function readBack(runtime: Runtime, running: Running, steps: readonly Step[]): Promise<ReadBack> {
  const touched = new Set(steps.flatMap((step) => ('backend' in step ? [step.backend] : [])))
  const [servers, maps, seats, closed] = await Promise.all([
    readServers(runtime, running, touched, wordsAfter(steps)),
    readMaps(runtime, running, steps),
    steps.some((step) => step.do === 'seat') ? readMap(runtime, mapFiles.seats) : null,
    steps.some((step) => step.do === 'open') ? readClosed(runtime) : null,
  ])
  if (!servers.ok) return servers
  if (!maps.ok) return maps
  if (seats?.ok === false) return seats
  if (closed?.ok === false) return closed
  const read = seats === null ? running.seats : seatsOf(new Map([[mapFiles.seats, seats.entries ?? new Map()]]))
  const revision = maps.maps.get(mapFiles.revision)?.get(revisionKey) ?? ''
  return {
    ok: true,
    running: {
      ...running,
      seats: read,
      servers: servers.servers,
      closed: closed?.closed ?? running.closed,
      maps: maps.maps,
      revision,
    },
  }
}

/** What is known of servers that were added, or whose limit was set, by backend and name. */
function wordsAfter(steps: readonly Step[]): ReadonlyMap<string, string> {
  return new Map(
    steps.flatMap((step): (readonly [string, string])[] => {
      if (step.do === 'add') return [[`${step.backend} ${step.server.name}`, wordsOf(step.server, step.section)]]
      return step.do === 'limit' ? [[`${step.backend} ${step.server}`, step.words]] : []
    }),
  )
}

async function readServers(
  runtime: Runtime,
  { servers, seats }: Running,
  touched: ReadonlySet<BackendId>,
  words: ReadonlyMap<string, string>,
): Promise<{ readonly ok: true; readonly servers: Running['servers'] } | Silence> {
  if (touched.size === 0) return { ok: true, servers }
  const sectionOf = sectionsOf(seats)
  const commands =
    touched.size > manyTouched
      ? ['show servers state']
      : [...touched].map((backend) => `show servers state ${sectionOf(backend)}`)
  const answers = await Promise.all(commands.map((command) => runtime.ask(command)))
  const find = backendsOf(seats)
  const after = new Map<BackendId, ReadonlyMap<string, RunningServer> | null>()
  for (const backend of touched) after.set(backend, null)
  for (const answer of answers) {
    if (!answer.ok) return answer
    for (const [section, own] of parseServers(answer.answer)) {
      const backend = find(section)
      if (touched.has(backend)) after.set(backend, withWords(backend, own, servers.get(backend), words))
    }
  }
  return { ok: true, servers: patched(servers, after) }
}

function withWords(
  backend: BackendId,
  read: ReadonlyMap<string, RunningServer>,
  before: ReadonlyMap<string, RunningServer> | undefined,
  words: ReadonlyMap<string, string>,
): ReadonlyMap<string, RunningServer> {
  return new Map(
    [...read].map(([name, server]) => {
      const known = words.get(`${backend} ${name}`) ?? before?.get(name)?.words ?? null
      return [name, { ...server, words: known }]
    }),
  )
}

async function readMaps(
  runtime: Runtime,
  { maps, seats }: Running,
  steps: readonly Step[],
): Promise<{ readonly ok: true; readonly maps: Running['maps'] } | Silence> {
  const after = new Map(maps)
  const changes = steps.filter((step) => step.do === 'map')
  const find = backendsOf(seats)
  const read = await Promise.all(changes.map((step) => readEntries(runtime, step, maps.get(step.file), find)))
  for (const [index, entries] of read.entries()) {
    const file = changes[index]?.file
    if (!entries.ok) return entries
    if (file !== undefined) after.set(file, entries.entries)
  }
  return { ok: true, maps: after }
}

type Entries = ReadonlyMap<string, string>

async function readEntries(
  runtime: Runtime,
  { file, changes }: Extract<Step, { do: 'map' }>,
  before: Entries | undefined,
  find: (section: string) => BackendId,
): Promise<{ readonly ok: true; readonly entries: Entries } | Silence> {
  if (changes.size > manyTouched) {
    const whole = await readMap(runtime, file)
    return whole.ok ? { ok: true, entries: unseatedEntries(file, whole.entries ?? new Map(), find) } : whole
  }
  const entries = new Map(before ?? [])
  const keys = [...changes.keys()]
  const answers = await Promise.all(keys.map((key): Promise<Answer> => runtime.ask(`get map ${file} ${key}`)))
  for (const [index, answer] of answers.entries()) {
    if (!answer.ok) return answer
    const [key = '', found] = [keys[index], readEntry(answer.answer)]
    // a longest-prefix lookup finds a shorter key where this one is not
    if (found?.key === key) entries.set(key, unseatedValue(file, found.value, find))
    else entries.delete(key)
  }
  return { ok: true, entries }
}
