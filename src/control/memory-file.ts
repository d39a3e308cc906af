import { constants } from 'node:fs'
import { type FileHandle, link, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, messageOf } from '../errors.ts'
import { applyChanges, decodeChanges, type MemoryChanges } from '../model/memory-changes.ts'
import { decodeCheckpoint } from '../model/memory-text.ts'
import type { Memory, Ms } from '../types.ts'

/**
 * Memory on disk, as it is read: a checkpoint, `<directory>/memory.json`, and beside it the log of what has changed since,
 * `memory-ID.jsonl`, where ID is what the checkpoint calls itself. So a log never meets another checkpoint than its own, and
 * renaming one file exchanges both. What can't be used is set aside under another name for a person to look at; it never stops
 * heddle.
 */

export const checkpointName = 'memory.json'
const logPattern = /^memory-[0-9a-f]{16}\.jsonl$/
const asidePattern = /^memory(?:-[0-9a-f]{16}\.jsonl|\.json)\.bad-(\d+T\d+Z)$/
const mostAside = 3
const largest = 256 * 2 ** 20

export function logName(id: string): string {
  return `memory-${id}.jsonl`
}

export interface ReadMemory {
  /** Null: none is there, or none that can be read. */
  readonly memory: Memory | null
  /** What its checkpoint calls itself; null: it has no log. */
  readonly id: string | null
  readonly fault: MemoryFault | null
}

/** Why a file can't be used. `isUsed`: what stands before the fault counts. */
export interface MemoryFault {
  readonly name: string
  readonly why: string
  readonly isUsed: boolean
}

/** Without touching anything. Never rejects. */
export async function readMemoryFiles(directory: string): Promise<ReadMemory> {
  const read = await readOwn(join(directory, checkpointName))
  if (read.kind === 'none') return { memory: null, id: null, fault: null }
  const decoded = read.kind === 'text' ? decodeCheckpoint(read.text) : read
  if (decoded.kind === 'invalid') {
    return { memory: null, id: null, fault: { name: checkpointName, why: decoded.why, isUsed: false } }
  }
  const { memory, id } = decoded
  if (id === null) return { memory, id, fault: null }
  const { changes, why } = await readLog(join(directory, logName(id)))
  const fault = why === null ? null : { name: logName(id), why, isUsed: changes.length > 0 }
  return { memory: applyChanges(memory, changes), id, fault }
}

/** Up to the first line that can't be used: later ones build on it. What a crash left of a last line was never saved. */
async function readLog(path: string): Promise<{ changes: readonly MemoryChanges[]; why: string | null }> {
  const read = await readOwn(path)
  if (read.kind !== 'text') return { changes: [], why: read.kind === 'none' ? null : read.why }
  const lines = read.text.split('\n').slice(0, -1)
  const changes: MemoryChanges[] = []
  for (const line of lines) {
    const decoded = decodeChanges(line)
    if (decoded.kind === 'invalid') return { changes, why: `line ${changes.length + 1}: ${decoded.why}` }
    changes.push(decoded.changes)
  }
  return { changes, why: null }
}

type Read =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'none' }
  | { readonly kind: 'invalid'; readonly why: string }

async function readOwn(path: string): Promise<Read> {
  let handle: FileHandle | null = null
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const stats = await handle.stat()
    if (!stats.isFile()) return { kind: 'invalid', why: 'expected a regular file, got another kind' }
    if ((stats.mode & 0o002) !== 0) return { kind: 'invalid', why: 'everybody may write to it' }
    if (stats.size > largest) return { kind: 'invalid', why: `expected at most ${largest} bytes, got ${stats.size}` }
    return { kind: 'text', text: await handle.readFile('utf8') }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return { kind: 'none' }
    if (codeOf(error) === 'ELOOP') return { kind: 'invalid', why: 'expected a regular file, got a link' }
    return { kind: 'invalid', why: messageOf(error) }
  } finally {
    await handle?.close().catch(() => {})
  }
}

/** The path it has now, logs going with their checkpoint; null: it could not be moved and will be overwritten. */
export async function setAside(directory: string, fault: MemoryFault, now: Ms): Promise<string | null> {
  const suffix = `.bad-${new Date(now).toISOString().replaceAll(/[-:.]/g, '')}`
  const path = join(directory, fault.name)
  try {
    // what counts of it has to be found again if heddle ends before it has saved that elsewhere
    await (fault.isUsed ? link(path, path + suffix) : rename(path, path + suffix))
    if (fault.name === checkpointName) {
      for (const name of await logsIn(directory)) await rename(join(directory, name), join(directory, name + suffix))
    }
    await removeOldest(directory)
    return path + suffix
  } catch {
    return null
  }
}

/** Keeps a few of them: a file that goes bad at every start must not fill the disk. */
async function removeOldest(directory: string): Promise<void> {
  const aside = (await readdir(directory)).flatMap((name) => {
    const time = asidePattern.exec(name)?.[1]
    return time === undefined ? [] : [{ name, time }]
  })
  const times = [...new Set(aside.map(({ time }) => time))].sort().slice(-mostAside)
  for (const { name, time } of aside) if (!times.includes(time)) await rm(join(directory, name), { force: true })
}

/** Removes the logs of all other checkpoints, as far as it can: nobody reads them. */
export async function removeOtherLogs(directory: string, id: string | null): Promise<void> {
  for (const name of await logsIn(directory).catch(() => [])) {
    if (id === null || name !== logName(id)) await rm(join(directory, name), { force: true }).catch(() => {})
  }
}

async function logsIn(directory: string): Promise<readonly string[]> {
  return (await readdir(directory)).filter((name) => logPattern.test(name))
}
