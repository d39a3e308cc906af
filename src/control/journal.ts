import { constants } from 'node:fs'
import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { syncFolder } from '../disk.ts'
import { codeOf, messageOf } from '../errors.ts'
import type { ModelDiff, RevisionRecord } from '../types.ts'

/**
 * The journal: every revision is a line of JSON in `<directory>/journal/NNNNNN.jsonl`, written before it is acted upon. The
 * newest file is appended to, the oldest are deleted. What is read back is not trusted: a line that was torn by a crash or that
 * somebody else wrote is left where it is, counted and passed over, and a file that is no regular file is never touched.
 */
export interface Journal {
  /**
   * Resolves when the line is written: it survives the end of heddle, however sudden. It is on disk (fdatasync) soon after: what
   * a power cut takes with it, it takes from HAProxy as well, and a disk that is busy with files must not hold up traffic.
   * A failure of that is told by the next append. Appends are done one after another, in the order of the calls.
   */
  readonly append: (record: RevisionRecord) => Promise<Appended>
  /** Records with `from <= number <= to`, oldest first; of more than `limit` (1,000), or than are read, the newest. Never rejects. */
  readonly read: (range?: { from?: number; to?: number; limit?: number }) => Promise<Records>
  readonly close: () => Promise<void>
}

export type Appended = { readonly kind: 'written' } | { readonly kind: 'failed'; readonly why: string }

export interface Records {
  readonly records: readonly RevisionRecord[]
  /** Lines and whole files that were met and not understood. */
  readonly skipped: number
}

export type OpenedJournal =
  | {
      readonly kind: 'open'
      readonly journal: Journal
      /** The newest records, oldest first, at most `tail` of them. */
      readonly tail: readonly RevisionRecord[]
      /** 0: none yet. */
      readonly lastNumber: number
      readonly skipped: number
    }
  | { readonly kind: 'failed'; readonly why: string }

/** In bytes, but `tail`, which is a number of records. */
export interface JournalLimits {
  readonly file: number
  readonly total: number
  /** No older file is read once so much has been: reading must not keep the loop from its work, or fill the memory. */
  readonly read: number
  readonly tail: number
}

const defaults: JournalLimits = { file: 4 * 2 ** 20, total: 64 * 2 ** 20, read: 16 * 2 ** 20, tail: 1000 }
/** Of a line; one that does not say is of the first. */
const format = 1
const flags = constants.O_NOFOLLOW | constants.O_NONBLOCK
const namePattern = /^(\d{6,15})\.jsonl$/

/** `directory` is heddle's own, held by the caller (see socket.ts): one process writes a journal. */
export async function openJournal(directory: string, limits: Partial<JournalLimits> = {}): Promise<OpenedJournal> {
  const { file, total, read, tail } = { ...defaults, ...limits }
  const folder = join(directory, 'journal')
  try {
    await mkdir(folder, { recursive: true, mode: 0o750 })
    const { records, skipped } = await readRecords(folder, { limit: tail, largest: total, most: read })
    let active = await openFrom(folder, (await listFiles(folder)).at(-1) ?? 1, file)
    let queue: Promise<unknown> = Promise.resolve()
    let isClosed = false

    let unsynced: string | null = null
    let syncing: Promise<void> = Promise.resolve()
    let isSyncAsked = false

    const syncSoon = ({ handle }: Active): void => {
      if (isSyncAsked) return
      isSyncAsked = true
      syncing = syncing.then(async () => {
        isSyncAsked = false
        await handle.datasync().catch((error: unknown) => {
          unsynced = messageOf(error)
        })
      })
    }
    const write = async (record: RevisionRecord): Promise<Appended> => {
      if (isClosed) return { kind: 'failed', why: 'the journal is closed' }
      try {
        const line = Buffer.from(`${JSON.stringify({ format, ...record })}\n`)
        if (active.size > 0 && active.size + line.length > file) {
          const next = await openFrom(folder, active.ordinal + 1, file)
          await syncing
          await active.handle.close().catch(ignore)
          active = next
          await deleteOldest(folder, total - file)
        }
        await appendLine(active, line)
        const why = unsynced
        unsynced = null
        syncSoon(active)
        return why === null ? { kind: 'written' } : { kind: 'failed', why }
      } catch (error) {
        return { kind: 'failed', why: messageOf(error) }
      }
    }
    const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
      const result = queue.then(work)
      queue = result.catch(ignore)
      return result
    }
    const journal: Journal = {
      append: (record) => inTurn(() => write(record)),
      read: (range = {}) =>
        readRecords(folder, { ...range, largest: total, most: read }).catch(() => ({ records: [], skipped: 1 })),
      close: () =>
        inTurn(async () => {
          if (isClosed) return
          isClosed = true
          await syncing
          await active.handle.close().catch(ignore)
        }),
    }
    const lastNumber = records.reduce((last, { number }) => Math.max(last, number), 0)
    return { kind: 'open', journal, tail: records, lastNumber, skipped }
  } catch (error) {
    return { kind: 'failed', why: messageOf(error) }
  }
}

// ---------------------------------------------------------------------------------------------- writing

interface Active {
  readonly ordinal: number
  readonly handle: FileHandle
  size: number
  /** The file does not end in a line feed: the next line must not be glued to the torn one. */
  isTorn: boolean
}

async function appendLine(active: Active, line: Buffer): Promise<void> {
  const whole = active.isTorn ? Buffer.concat([Buffer.from('\n'), line]) : line
  // until it is known to be whole, it is not
  active.isTorn = true
  await active.handle.appendFile(whole)
  active.isTorn = false
  active.size += whole.length
}

/** The first file from an ordinal on that is ours and has room; what is in the way is left alone. */
async function openFrom(folder: string, ordinal: number, largest: number): Promise<Active> {
  try {
    const active = await openFile(folder, ordinal)
    if (active.size < largest) return active
    await active.handle.close()
  } catch (error) {
    if (!isForeign(error)) throw error
  }
  return openFrom(folder, ordinal + 1, largest)
}

async function openFile(folder: string, ordinal: number): Promise<Active> {
  const path = pathOf(folder, ordinal)
  const mode = constants.O_RDWR | constants.O_APPEND | constants.O_CREAT
  const handle = await open(path, mode | flags, 0o640)
  try {
    const { size } = await statRegular(handle, path)
    if (size === 0) await syncFolder(folder)
    const last = size === 0 ? null : await handle.read(Buffer.alloc(1), 0, 1, size - 1)
    return { ordinal, handle, size, isTorn: last !== null && last.buffer[0] !== 0x0a }
  } catch (error) {
    await handle.close().catch(ignore)
    throw error
  }
}

async function deleteOldest(folder: string, keep: number): Promise<void> {
  let sum = 0
  for (const ordinal of (await listFiles(folder)).reverse()) {
    const path = pathOf(folder, ordinal)
    sum += (await sizeOf(path)) ?? 0
    // a file that can't be deleted now is tried again at the next rotation
    if (sum > keep) await rm(path, { force: true }).catch(ignore)
  }
}

// ---------------------------------------------------------------------------------------------- reading

async function readRecords(
  folder: string,
  range: { from?: number; to?: number; limit?: number; largest: number; most: number },
): Promise<Records> {
  const { from = 0, to = Number.POSITIVE_INFINITY, limit = 1000, largest, most } = range
  let records: RevisionRecord[] = []
  let skipped = 0
  let length = 0
  for (const ordinal of (await listFiles(folder)).reverse()) {
    const text = await readText(pathOf(folder, ordinal), largest)
    const read = text === null ? { records: [], skipped: 1 } : parseLines(text)
    skipped += read.skipped
    records = [...read.records.filter(({ number }) => number >= from && number <= to), ...records]
    const oldest = read.records[0]
    length += text?.length ?? 0
    if (records.length >= limit || length >= most || (oldest !== undefined && oldest.number < from)) break
  }
  return { records: records.slice(Math.max(0, records.length - limit)), skipped }
}

function parseLines(text: string): Records {
  const records: RevisionRecord[] = []
  let skipped = 0
  for (const line of text.split('\n')) {
    if (line === '') continue
    const record = parseLine(line)
    if (record === null) skipped++
    else records.push(record)
  }
  return { records, skipped }
}

function parseLine(line: string): RevisionRecord | null {
  try {
    const raw: unknown = JSON.parse(line)
    const parsed = formatSchema.safeParse(raw).success ? recordSchema.safeParse(raw) : null
    return parsed?.success === true ? parsed.data : null
  } catch {
    return null
  }
}

const formatSchema = z.object({ format: z.literal(format).optional() })
const texts = z.array(z.string())
const changes = z.object({ added: texts, removed: texts, changed: texts })
const diffSchema: z.ZodType<ModelDiff> = z.object({ routes: changes, servers: changes, backends: changes })
const recordSchema: z.ZodType<RevisionRecord> = z.object({
  number: z.int().nonnegative(),
  hash: z.string(),
  routesHash: z.string(),
  at: z.number(),
  action: z.enum(['runtime', 'reload', 'held', 'rejected']),
  reasons: texts,
  cause: texts,
  diff: diffSchema,
})

/** Null: no regular file, or one that is too large to be ours. */
async function readText(path: string, largest: number): Promise<string | null> {
  let handle: FileHandle | null = null
  try {
    handle = await open(path, constants.O_RDONLY | flags)
    const { size } = await statRegular(handle, path)
    return size > largest ? null : await handle.readFile('utf8')
  } catch {
    return null
  } finally {
    await handle?.close().catch(ignore)
  }
}

/** Ordinals of the files that are there, ascending. */
async function listFiles(folder: string): Promise<number[]> {
  const ordinals = (await readdir(folder)).flatMap((name) => {
    const digits = namePattern.exec(name)?.[1]
    return digits === undefined || pathOf('', Number(digits)) !== name ? [] : [Number(digits)]
  })
  return ordinals.sort((a, b) => a - b)
}

function pathOf(folder: string, ordinal: number): string {
  return join(folder, `${String(ordinal).padStart(6, '0')}.jsonl`)
}

class ForeignFile extends Error {}

async function statRegular(handle: FileHandle, path: string): Promise<{ size: number }> {
  const stats = await handle.stat()
  if (!stats.isFile()) throw new ForeignFile(`expected a regular file, got another kind: ${path}`)
  return stats
}

/** True for what is in the way under the name of a journal file: a link, a folder, a pipe, a socket. */
function isForeign(error: unknown): boolean {
  const code = codeOf(error)
  return error instanceof ForeignFile || code === 'ELOOP' || code === 'EISDIR' || code === 'ENXIO'
}

async function sizeOf(path: string): Promise<number | null> {
  const handle = await open(path, constants.O_RDONLY | flags).catch(() => null)
  const stats = await handle?.stat().catch(() => null)
  await handle?.close().catch(ignore)
  return stats?.size ?? null
}

function ignore(): void {}
