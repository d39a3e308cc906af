import { lstat, readdir, readlink, rename, rm, symlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import { syncFolder } from '../disk.ts'
import { codeOf } from '../errors.ts'
import { partsFile, readParts } from '../render/parts.ts'
import type { Candidate } from '../types.ts'
import {
  explainError,
  folderProblem,
  holds,
  makeFolder,
  type Ownership,
  readBounded,
  removeFolder,
  removeUnfinished,
  setFolderOwnership,
  unfinishedName,
  writeFolder,
} from './folders.ts'

export interface StoreOptions {
  /** `haproxy.directory`, an absolute path. */
  readonly directory: string
  /** Group of all files and folders; null: not set. */
  readonly gid?: number | null
  /** Of files, default 0640. */
  readonly mode?: number
}

export interface StoreFailure {
  readonly kind: 'failed'
  /** With what to do about it. */
  readonly why: string
}

export interface Used {
  readonly kind: 'used'
  /** Lets `current` lead to where it led before, whatever that was; where it led nowhere, it stays. */
  readonly undo: () => Promise<{ readonly kind: 'undone' } | StoreFailure>
}

/**
 * Revisions on disk: `<directory>/revisions/<hash>/`, and `<directory>/current`, a relative symbolic link to the one
 * that HAProxy starts with. At every moment, also after kill -9 or a power cut, `current` leads to one whole set.
 *
 * Nothing here is ever thrown: what the disk refuses comes back as a value, and what was installed stays. Calls must
 * not overlap; there is one writer to a directory (the control socket sees to it).
 */
export interface RevisionStore {
  /** Creates the folders, refuses those that others could write to, throws away what a killed run left. */
  prepare(): Promise<{ readonly kind: 'ready' } | StoreFailure>
  /**
   * Puts the set beside the others without using it. One that is there already is left as it is; one of that hash with
   * other contents (somebody edited it) is replaced. `path` is its folder.
   */
  write(candidate: Candidate): Promise<{ readonly kind: 'written'; readonly path: string } | StoreFailure>
  /** Lets `current` lead to a set that was written. */
  use(hash: string): Promise<Used | StoreFailure>
  /** Where `current` leads; null when that is nothing, none of our sets, or one without a configuration. */
  current(): Promise<string | null>
  /** What HAProxy is started with, by way of `current`. */
  readonly file: string
  /** The haproxy.cfg that `current` leads to, ours or not; null: none that can be read. */
  configuration(): Promise<string | null>
  /** What a structure is made of that one of the sets has; null: none has it, or it does not say so. */
  parts(structure: string): Promise<Candidate['parts'] | null>
  /** Keeps the newest set of each of the last `structures` structures, never touching the current and previous one. */
  prune(options?: {
    readonly structures?: number
  }): Promise<{ readonly kind: 'pruned'; readonly removed: number } | StoreFailure>
}

const hashPattern = /^[0-9a-f]{8,64}$/
const fileName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/
const configuration = 'haproxy.cfg'
const largestConfiguration = 64 * 2 ** 20

/** `global description` of a haproxy.cfg; '' when it has none. */
export function describedStructure(text: string): string {
  return /^[ \t]+description[ \t]+(\S+)/m.exec(text)?.[1] ?? ''
}

function linkTo(name: string): string {
  return `revisions/${name}`
}

export function revisionStore({ directory, gid = null, mode = 0o640 }: StoreOptions): RevisionStore {
  const ownership: Ownership = { gid, mode }
  const revisions = join(directory, 'revisions')
  const link = join(directory, 'current')
  /** Name of the set before the current one: what a failed reload goes back to. */
  let previous: string | null = null
  /** Of sets that were looked into; they don't change under their name. */
  const structures = new Map<string, string>()

  /** The name below `revisions` that the link holds, ours or not. */
  async function target(): Promise<string | null> {
    const text = await readlink(link).catch(() => '')
    return /^revisions\/([^/]+)$/.exec(text)?.[1] ?? null
  }

  /** `text` is what the link holds: relative, but where it was somebody else's. */
  async function point(text: string): Promise<void> {
    const found = await lstat(link).catch((error: unknown) => {
      if (codeOf(error) === 'ENOENT') return null
      throw error
    })
    if (found !== null && !found.isSymbolicLink())
      throw new Error('is not a symbolic link; somebody put it there, move it away')
    const fresh = join(directory, unfinishedName())
    await symlink(text, fresh)
    try {
      await rename(fresh, link)
    } catch (error) {
      await rm(fresh, { force: true }).catch(() => {})
      throw error
    }
    await syncFolder(directory)
  }

  /**
   * A folder can't be replaced by rename. Where HAProxy may read the old one at any moment, `current` leads to a second
   * copy meanwhile.
   */
  async function replace(candidate: Candidate): Promise<void> {
    const name = candidate.hash
    const isCurrent = (await target()) === name
    const standIn = isCurrent ? await writeFolder(revisions, candidate.files, ownership) : null
    if (standIn !== null) await point(linkTo(standIn.slice(revisions.length + 1)))
    const fresh = await writeFolder(revisions, candidate.files, ownership)
    await removeFolder(revisions, name)
    await rename(fresh, join(revisions, name))
    await syncFolder(revisions)
    if (standIn === null) return
    await point(linkTo(name))
    await rm(standIn, { recursive: true, force: true })
  }

  async function attempt<T>(path: string, act: () => Promise<T>): Promise<T | StoreFailure> {
    try {
      return await act()
    } catch (error) {
      return { kind: 'failed', why: explainError(path, error) }
    }
  }

  async function structureOf(name: string): Promise<string> {
    const known = structures.get(name)
    if (known !== undefined) return known
    const head = (await readBounded(join(revisions, name, configuration), 16_384))?.toString('utf8') ?? ''
    const structure = describedStructure(head)
    structures.set(name, structure)
    return structure
  }

  return {
    prepare: () =>
      attempt(directory, async () => {
        for (const folder of [directory, revisions]) {
          const problem = await folderProblem(folder)
          if (problem === 'absent') await makeFolder(folder)
          else if (problem !== null) return { kind: 'failed', why: problem }
          await setFolderOwnership(folder, ownership)
        }
        await removeUnfinished(revisions, await target())
        await removeUnfinished(directory, null)
        return { kind: 'ready' }
      }),

    write: (candidate) =>
      attempt(revisions, async () => {
        const path = join(revisions, candidate.hash)
        const bad = [...candidate.files.keys()].find((name) => !fileName.test(name))
        if (!hashPattern.test(candidate.hash)) return { kind: 'failed', why: `${candidate.hash} is no revision hash` }
        if (bad !== undefined) return { kind: 'failed', why: `${bad} is no name for a file of a revision` }
        if (await holds(path, candidate.files)) return { kind: 'written', path }
        structures.delete(candidate.hash)
        const found = await lstat(path).catch(() => null)
        if (found !== null) await replace(candidate)
        else {
          await rename(await writeFolder(revisions, candidate.files, ownership), path)
          await syncFolder(revisions)
        }
        return { kind: 'written', path }
      }),

    use: (hash) =>
      attempt(link, async () => {
        const [before, text] = [await target(), await readlink(link).catch(() => null)]
        const file = join(revisions, hash, configuration)
        const found = await lstat(file).catch(() => null)
        if (!hashPattern.test(hash) || !found?.isFile()) return { kind: 'failed', why: `${file}: is not there` }
        // it is the newest of its structure from now on, however long it has been there
        const now = new Date()
        await utimes(join(revisions, hash), now, now)
        await point(linkTo(hash))
        if (before !== hash) previous = before
        const undo = () =>
          attempt(link, async () => {
            if (text !== null) await point(text)
            return { kind: 'undone' } as const
          })
        return { kind: 'used', undo }
      }),

    async current() {
      const name = await target()
      if (name === null || !hashPattern.test(name)) return null
      const found = await lstat(join(revisions, name, configuration)).catch(() => null)
      return found?.isFile() ? name : null
    },

    file: join(link, configuration),

    configuration: async () => {
      const name = await target()
      const file = name === null ? null : await readBounded(join(revisions, name, configuration), largestConfiguration)
      return file?.toString('utf8') ?? null
    },

    parts: async (structure) => {
      const names = await readdir(revisions).catch(() => [])
      for (const name of names.filter((one) => hashPattern.test(one))) {
        if ((await structureOf(name)) !== structure) continue
        const text = await readBounded(join(revisions, name, partsFile), largestConfiguration)
        const parts = text === null ? null : readParts(text.toString('utf8'))
        if (parts !== null) return parts
      }
      return null
    },

    prune: ({ structures: kept = 20 } = {}) =>
      attempt(revisions, async () => {
        const names = (await readdir(revisions)).filter((name) => hashPattern.test(name))
        const aged = await Promise.all(
          names.map(async (name) => ({ name, at: (await lstat(join(revisions, name))).mtimeMs })),
        )
        aged.sort((one, other) => other.at - one.at || (one.name < other.name ? -1 : 1))
        const inUse = new Set([await target(), previous])
        const seen = new Set<string>()
        let removed = 0
        for (const { name } of aged) {
          const structure = await structureOf(name)
          const isNewest = !seen.has(structure) && seen.size < kept
          if (isNewest) seen.add(structure)
          if (isNewest || inUse.has(name)) continue
          await removeFolder(revisions, name)
          structures.delete(name)
          removed += 1
        }
        return { kind: 'pruned', removed }
      }),
  }
}
