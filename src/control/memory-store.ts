import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, lstat, open, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '../disk.ts'
import { messageOf } from '../errors.ts'
import { encodeChanges } from '../model/memory-changes.ts'
import { encodeCheckpoint } from '../model/memory-text.ts'
import type { Memory, Ms } from '../types.ts'
import { checkpointName, logName, readMemoryFiles, removeOtherLogs, setAside } from './memory-file.ts'

/**
 * The memory of a running heddle on disk (memory-file.ts says what is there). A save appends what has changed. When the log has
 * grown to half of its checkpoint, a new one is written beside it, a slice at a time while saves go on, and the next save puts it
 * in place. So a save costs what has changed, and at whatever moment heddle ends, what was saved last is what is read back.
 */
export interface MemoryStore {
  /** `now` names a file that is set aside. Comes before the first save. Never rejects. */
  readonly load: (now: Ms) => Promise<LoadedMemory>
  /** Null: it is on disk (fdatasync); else why it is not, or not as it should be. One call at a time. Never rejects. */
  readonly save: (memory: Memory) => Promise<string | null>
  readonly close: () => Promise<void>
}

export interface LoadedMemory {
  /** Null: none is there, or none that can be read. */
  readonly memory: Memory | null
  /** What could not be read. `as`: the path it has now; null: it could not be moved and will be overwritten. */
  readonly fault: { readonly why: string; readonly as: string | null } | null
}

/** `directory` is heddle's own, held by the caller (see socket.ts). A log of less than `smallest` bytes is never too large. */
export function memoryStore(directory: string, { smallest = 2 ** 19 } = {}): MemoryStore {
  /** Null: none is there that can be appended to. */
  let log: Log | null = null
  let draft: Draft | null = null
  /** Why there is no new checkpoint though it is time. */
  let trouble: string | null = null

  const save = async (memory: Memory): Promise<void> => {
    if (log !== null && !(await isInPlace(directory, log))) {
      await closeLog(log)
      log = null
    }
    if (log === null) {
      draft ??= beginDraft(directory, memory)
      await draft.ended
    }
    const made = draft?.made() ?? null
    if (made !== null) draft = null
    if (made?.kind === 'failed') trouble = made.why
    if (made?.kind === 'written') {
      const next = await putInPlace(directory, made, memory)
      if (log !== null) await closeLog(log)
      log = next
      trouble = null
    }
    if (log === null) return
    await append(log, memory)
    if (log.size > Math.max(smallest, log.checkpoint.bytes / 2)) draft ??= beginDraft(directory, memory)
  }
  return {
    load: async (now) => {
      await rm(join(directory, draftName), { force: true }).catch(ignore)
      const { memory, id, fault } = await readMemoryFiles(directory)
      const as = fault === null ? null : await setAside(directory, fault, now)
      await removeOtherLogs(directory, id)
      return { memory, fault: fault === null ? null : { why: fault.why, as } }
    },
    save: (memory) => save(memory).then(() => trouble, messageOf),
    close: async () => {
      await draft?.discard()
      if (log !== null) await closeLog(log)
    },
  }
}

// ---------------------------------------------------------------------------------------------- checkpoint

/** A checkpoint that is being written under another name. */
interface Draft {
  readonly ended: Promise<unknown>
  /** Null: it is not ended yet. */
  readonly made: () => Made | null
  readonly discard: () => Promise<void>
}

type Made = Checkpoint | { readonly kind: 'failed'; readonly why: string }

interface Checkpoint {
  readonly kind: 'written'
  readonly memory: Memory
  readonly id: string
  readonly bytes: number
  /** Kept open, so that no other file can pass for it. */
  readonly handle: FileHandle
}

/** One process holds the directory, so a fixed name will do, and what a crash left of it is overwritten. */
const draftName = `${checkpointName}.tmp`
const newFile = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW | constants.O_APPEND

function beginDraft(directory: string, memory: Memory): Draft {
  const abort = new AbortController()
  let made: Made | null = null
  const ended = writeDraft(directory, memory, abort.signal)
    .catch((error): Made => ({ kind: 'failed', why: messageOf(error) }))
    .then((end) => {
      made = end
      return end
    })
  return {
    ended,
    made: () => made,
    discard: async () => {
      abort.abort()
      const end = await ended
      if (end.kind === 'written') await end.handle.close().catch(ignore)
      await rm(join(directory, draftName), { force: true }).catch(ignore)
    },
  }
}

/** Resolves when it is on disk (fsync). */
async function writeDraft(directory: string, memory: Memory, signal: AbortSignal): Promise<Checkpoint> {
  const path = join(directory, draftName)
  const id = randomBytes(8).toString('hex')
  // a link under that name is removed, not followed
  await rm(path, { force: true })
  const handle = await open(path, newFile, 0o640)
  try {
    await writeFile(handle, inSlices(encodeCheckpoint(memory, id)), { signal })
    await handle.sync()
    const { size } = await handle.stat()
    return { kind: 'written', memory, id, bytes: size, handle }
  } catch (error) {
    await handle.close().catch(ignore)
    await rm(path, { force: true }).catch(ignore)
    throw error
  }
}

/**
 * Renaming the draft exchanges checkpoint and log at once, so what was saved since the draft was begun is in its log before. If it
 * fails half-way, the former log goes on if its checkpoint is still in place.
 */
async function putInPlace(directory: string, checkpoint: Checkpoint, memory: Memory): Promise<Log> {
  const path = join(directory, logName(checkpoint.id))
  let handle: FileHandle | null = null
  try {
    handle = await open(path, newFile, 0o640)
    const log = { checkpoint, handle, memory: checkpoint.memory, size: 0, isWhole: true }
    await append(log, memory)
    await syncFolder(directory)
    await rename(join(directory, draftName), join(directory, checkpointName))
    await syncFolder(directory)
    await removeOtherLogs(directory, checkpoint.id)
    return log
  } catch (error) {
    const isNamed = await isAt(join(directory, checkpointName), checkpoint.handle).catch(() => true)
    if (!isNamed) await rm(path, { force: true }).catch(ignore)
    await handle?.close().catch(ignore)
    await checkpoint.handle.close().catch(ignore)
    throw error
  }
}

// ---------------------------------------------------------------------------------------------- log

interface Log {
  readonly checkpoint: Checkpoint
  readonly handle: FileHandle
  /** What checkpoint and log make together. */
  memory: Memory
  size: number
  /** It ends in a line feed. */
  isWhole: boolean
}

async function append(log: Log, memory: Memory): Promise<void> {
  if (memory === log.memory) return
  try {
    await writeFile(log.handle, inSlices(encodeChanges(log.memory, memory)))
    await log.handle.datasync()
    log.size = (await log.handle.stat()).size
    log.memory = memory
  } catch (error) {
    // a line after half a line would be taken for a fault
    await log.handle.truncate(log.size).catch(() => {
      log.isWhole = false
    })
    throw error
  }
}

/** Somebody may have removed or replaced a file: what is appended then, nobody would read. */
async function isInPlace(directory: string, { checkpoint, handle, isWhole }: Log): Promise<boolean> {
  return (
    isWhole &&
    (await isAt(join(directory, checkpointName), checkpoint.handle)) &&
    (await isAt(join(directory, logName(checkpoint.id)), handle))
  )
}

async function isAt(path: string, handle: FileHandle): Promise<boolean> {
  const [there, ours] = await Promise.all([lstat(path).catch(() => null), handle.stat()])
  return there !== null && there.ino === ours.ino && there.dev === ours.dev
}

async function closeLog({ checkpoint, handle }: Log): Promise<void> {
  await handle.close().catch(ignore)
  await checkpoint.handle.close().catch(ignore)
}

/** Characters that are made at a time: some milliseconds, after which others have their turn. */
const slice = 2 ** 17

function* inSlices(pieces: Iterable<string>): Generator<string> {
  let text = ''
  for (const piece of pieces) {
    text += piece
    if (text.length < slice) continue
    yield text
    text = ''
  }
  if (text !== '') yield text
}

function ignore(): void {}
