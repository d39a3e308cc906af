import { constants } from 'node:fs'
import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '../disk.ts'
import { codeOf, messageOf } from '../errors.ts'
import { decodeMemory, encodeMemory } from '../model/memory-text.ts'
import type { Memory, Ms } from '../types.ts'

/**
 * Memory on disk: `<directory>/memory.json`, replaced whole, so that it is the old one or the new one at any moment. A file that
 * can't be used is set aside under another name for a person to look at; it never stops heddle.
 */

export type LoadedMemory =
  | { readonly kind: 'loaded'; readonly memory: Memory }
  /** The first start in this directory. */
  | { readonly kind: 'none' }
  /** `as` is the path it has now; null: it could not be moved and will be overwritten. */
  | { readonly kind: 'set-aside'; readonly why: string; readonly as: string | null }

export type SavedMemory =
  | { readonly kind: 'saved'; readonly bytes: number }
  | { readonly kind: 'failed'; readonly why: string }

const fileName = 'memory.json'
/** One process holds the directory, so a fixed name will do, and what a crash left of it is overwritten. */
const temporaryName = 'memory.json.tmp'
const asidePrefix = `${fileName}.bad-`
const mostAside = 3
const largest = 256 * 2 ** 20

/** Resolves when the file is on disk under its name (fsync). On failure the old file is as it was. Never rejects. */
export async function saveMemory(directory: string, memory: Memory): Promise<SavedMemory> {
  const temporary = join(directory, temporaryName)
  try {
    const text = Buffer.from(encodeMemory(memory))
    // a link under that name is removed, not followed
    await rm(temporary, { force: true })
    await writeNew(temporary, text)
    await rename(temporary, join(directory, fileName))
    await syncFolder(directory)
    return { kind: 'saved', bytes: text.length }
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {})
    return { kind: 'failed', why: messageOf(error) }
  }
}

/** `now` names the file that is set aside. Never rejects. */
export async function loadMemory(directory: string, now: Ms): Promise<LoadedMemory> {
  await rm(join(directory, temporaryName), { force: true }).catch(() => {})
  const read = await readMemoryFile(directory)
  return read.kind === 'invalid' ? { kind: 'set-aside', why: read.why, as: await setAside(directory, now) } : read
}

/** Without touching anything. Never rejects. */
export async function readMemoryFile(
  directory: string,
): Promise<Exclude<LoadedMemory, { kind: 'set-aside' }> | { readonly kind: 'invalid'; readonly why: string }> {
  const read = await readOwn(join(directory, fileName))
  const decoded = read.kind === 'text' ? decodeMemory(read.text) : read
  return decoded.kind === 'ok' ? { kind: 'loaded', memory: decoded.memory } : decoded
}

async function writeNew(path: string, text: Buffer): Promise<void> {
  const handle = await open(
    path,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    0o640,
  )
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
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

/** Keeps a few of them: a file that goes bad at every start must not fill the disk. */
async function setAside(directory: string, now: Ms): Promise<string | null> {
  const path = join(directory, `${asidePrefix}${new Date(now).toISOString().replaceAll(/[-:.]/g, '')}`)
  try {
    await rename(join(directory, fileName), path)
    const others = (await readdir(directory)).filter((name) => name.startsWith(asidePrefix)).sort()
    for (const name of others.slice(0, -mostAside)) await rm(join(directory, name), { force: true })
    return path
  } catch {
    return null
  }
}
