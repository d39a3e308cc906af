import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { chmod, chown, type FileHandle, lstat, mkdir, open, readdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { syncFolder } from '../disk.ts'
import { codeOf, messageOf } from '../errors.ts'
import type { Candidate } from '../types.ts'

/** The folder operations below the revision store: each leaves the old or the new, never a part. All reject with errno errors. */

export interface Ownership {
  /** Group of files and folders; null: the one they get by themselves. */
  readonly gid: number | null
  /** Of files. Folders get 2750. */
  readonly mode: number
}

const folderMode = 0o2750
/** Prefix of what is not finished yet; anything that bears it may be thrown away at a start. */
export const unfinished = '.tmp-'

export function unfinishedName(): string {
  return `${unfinished}${randomBytes(6).toString('hex')}`
}

const advice: Readonly<Record<string, string>> = {
  ENOSPC: 'no space left on its filesystem; free some, what is installed stays as it is',
  EDQUOT: 'the disk quota is used up; free some space, what is installed stays as it is',
  EROFS: 'its filesystem is mounted read-only; mount it writable or choose another haproxy.directory',
  EACCES: 'permission denied; give it to the user heddle runs as, or choose another haproxy.directory',
  EPERM: 'not permitted; give it to the user heddle runs as, and let that user be a member of the group files.gid',
  EMFILE: 'too many open files; raise the limit of heddle (LimitNOFILE, ulimit -n)',
}

/** What went wrong and what to do about it, for a person. */
export function explainError(path: string, error: unknown): string {
  const code = codeOf(error)
  return `${path}: ${(code === null ? undefined : advice[code]) ?? messageOf(error)}`
}

/**
 * Makes a folder and those it lies in. Not by `recursive: true`: where a filesystem answers ENOENT to whatever is made in
 * it, as /proc does, Node 20 tries for ever.
 */
export async function makeFolder(path: string): Promise<void> {
  const parent = dirname(path)
  const isMissing = (await lstat(parent).catch((error: unknown) => codeOf(error))) === 'ENOENT'
  if (isMissing && parent !== path) await makeFolder(parent)
  await mkdir(path).catch((error: unknown) => {
    if (codeOf(error) !== 'EEXIST') throw error
  })
}

export async function setFolderOwnership(path: string, ownership: Ownership): Promise<void> {
  if (ownership.gid !== null) await chown(path, -1, ownership.gid)
  await chmod(path, folderMode)
}

/**
 * Why a folder is not to be worked in. Who may write HAProxy's configuration may run programs as its user, often root;
 * so neither links nor folders that others may write to. Null: it is fine; 'absent': there is nothing.
 */
export async function folderProblem(path: string): Promise<string | 'absent' | null> {
  const found = await lstat(path).catch((error: unknown) => codeOf(error))
  if (found === 'ENOENT') return 'absent'
  if (found === null || typeof found === 'string')
    return explainError(path, Object.assign(new Error(), { code: found }))
  const uid = process.geteuid?.()
  if (found.isSymbolicLink()) return `${path}: is a symbolic link, expected a folder; name the folder itself`
  if (!found.isDirectory()) return `${path}: is not a folder; move it away`
  if (uid !== undefined && found.uid !== uid)
    return `${path}: belongs to uid ${found.uid}, heddle runs as uid ${uid}; chown it, or choose another haproxy.directory`
  if ((found.mode & 0o022) !== 0)
    return `${path}: others may write to it (mode ${(found.mode & 0o7777).toString(8)}); chmod g-w,o-w it, or let haproxy.directory be a folder inside it`
  return null
}

/** Writes the set into a new folder beside its place, complete and on disk before anybody can see it by its name. */
export async function writeFolder(parent: string, files: Candidate['files'], ownership: Ownership): Promise<string> {
  const folder = join(parent, unfinishedName())
  await mkdir(folder, { mode: 0o700 })
  try {
    for (const [name, pieces] of files) await writeNewFile(join(folder, name), pieces, ownership)
    await setFolderOwnership(folder, ownership)
    await syncFolder(folder)
  } catch (error) {
    await rm(folder, { recursive: true, force: true }).catch(() => {})
    throw error
  }
  return folder
}

async function writeNewFile(path: string, pieces: readonly string[], { gid, mode }: Ownership): Promise<void> {
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = constants
  const handle = await open(path, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600)
  try {
    // each from where the one before ended
    for (const chunk of chunksOf(pieces)) await handle.writeFile(chunk)
    if (gid !== null) await handle.chown(-1, gid)
    await handle.chmod(mode)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Of UTF-8 no character takes more bytes for a unit of a string. */
const mostBytes = 3
const chunkSize = 256 * 1024

/**
 * As bytes, each chunk in the same buffer as the one before: a whole file as one text, and again as bytes, would be garbage of its
 * size at every change.
 */
function* chunksOf(pieces: readonly string[]): Generator<Buffer> {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0)
  let chunk = Buffer.allocUnsafe(Math.min(length * mostBytes, chunkSize))
  let used = 0
  for (const piece of pieces) {
    const longest = piece.length * mostBytes
    if (used + longest > chunk.length) {
      yield chunk.subarray(0, used)
      used = 0
      if (longest > chunk.length) chunk = Buffer.allocUnsafe(longest)
    }
    used += chunk.write(piece, used)
  }
  yield chunk.subarray(0, used)
}

/** True when the folder is a real one and holds these files with these bytes; other files in it don't matter. */
export async function holds(folder: string, files: Candidate['files']): Promise<boolean> {
  const found = await lstat(folder).catch(() => null)
  if (!found?.isDirectory()) return false
  for (const [name, pieces] of files) if (!(await holdsFile(join(folder, name), pieces))) return false
  return true
}

async function holdsFile(path: string, pieces: readonly string[]): Promise<boolean> {
  const isSame = await openToRead(path, async (handle) => {
    const read = Buffer.allocUnsafe(chunkSize)
    for (const chunk of chunksOf(pieces)) {
      for (let compared = 0; compared < chunk.length; ) {
        const { bytesRead } = await handle.read(read, 0, Math.min(read.length, chunk.length - compared))
        if (bytesRead === 0 || chunk.compare(read, 0, bytesRead, compared, compared + bytesRead) !== 0) return false
        compared += bytesRead
      }
    }
    return (await handle.read(read, 0, 1)).bytesRead === 0
  })
  return isSame === true
}

/** The first `longest` bytes of a regular file; null when it is none or can't be read. */
export function readBounded(path: string, longest: number): Promise<Buffer | null> {
  return openToRead(path, async (handle, size) => {
    const buffer = Buffer.alloc(Math.min(longest, size + 1))
    let read = 0
    while (read < buffer.length) {
      const { bytesRead } = await handle.read(buffer, read, buffer.length - read, read)
      if (bytesRead === 0) break
      read += bytesRead
    }
    return buffer.subarray(0, read)
  })
}

/** Null: it is no regular file, or can't be read. */
async function openToRead<T>(path: string, read: (handle: FileHandle, size: number) => Promise<T>): Promise<T | null> {
  let handle: FileHandle | undefined
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    const found = await handle.stat()
    return found.isFile() ? await read(handle, found.size) : null
  } catch {
    return null
  } finally {
    await handle?.close()
  }
}

/** Out of sight by one rename, then deleted: a run that is killed meanwhile leaves only an unfinished name. */
export async function removeFolder(parent: string, name: string): Promise<void> {
  const away = join(parent, unfinishedName())
  await rename(join(parent, name), away)
  await rm(away, { recursive: true, force: true })
}

/** Throws away what a killed run left behind. `keep` may be in use. */
export async function removeUnfinished(parent: string, keep: string | null): Promise<void> {
  for (const name of await readdir(parent)) {
    if (name.startsWith(unfinished) && name !== keep) await rm(join(parent, name), { recursive: true, force: true })
  }
}
