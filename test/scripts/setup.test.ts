import { spawnSync } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { withLock } from '../../scripts/lock.mjs'
import { ensureDependencies, findProgram, requireNode, SetupError } from '../../scripts/setup.mjs'

let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heddle-setup-'))
})

afterEach(() => rm(folder, { recursive: true, force: true }))

describe('the Node.js that runs the scripts', () => {
  it.each(['20.19.0', '20.20.2', '22.0.0', '24.11.1'])('may be %s', (version) => {
    expect(() => requireNode(version)).not.toThrow()
  })

  it.each(['18.20.4', '20.18.3', '4.9.1'])('may not be %s', (version) => {
    expect(() => requireNode(version)).toThrow(SetupError)
  })
})

describe('finding a program', () => {
  it('takes an executable file of a folder that is named', async () => {
    const path = join(folder, 'shuttle')
    await writeFile(path, '')
    expect(findProgram('shuttle', [folder])).toBeNull()
    await chmod(path, 0o755)
    expect(findProgram('shuttle', [folder])).toBe(path)
  })

  it('does not take a folder for a program', async () => {
    await mkdir(join(folder, 'shuttle'))
    expect(findProgram('shuttle', [folder])).toBeNull()
  })
})

describe('dependencies', () => {
  it('that are a link to those of another checkout are left alone', async () => {
    const lock = { name: 'x', lockfileVersion: 3, requires: true, packages: { '': { name: 'x' } } }
    await writeFile(join(folder, 'package.json'), '{ "name": "x" }')
    await writeFile(join(folder, 'package-lock.json'), JSON.stringify(lock))
    await mkdir(join(folder, 'shared', 'shuttle'), { recursive: true })
    await symlink('shared', join(folder, 'node_modules'))
    await ensureDependencies(folder)
    expect(await readdir(join(folder, 'shared'))).toEqual(['shuttle'])
  })
})

describe('the lock of a build', () => {
  it('lets one work at a time', async () => {
    const lock = join(folder, 'lock')
    let working = 0
    let most = 0
    await Promise.all(
      Array.from({ length: 3 }, () =>
        withLock(lock, async () => {
          most = Math.max(most, ++working)
          await new Promise((resolve) => setImmediate(resolve))
          working--
        }),
      ),
    )
    expect(most).toBe(1)
    expect(await readdir(folder)).toEqual([])
  })

  it('is taken over from a process that is gone', async () => {
    const lock = join(folder, 'lock')
    const { pid } = spawnSync(process.execPath, ['-e', ''])
    await writeFile(lock, String(pid))
    expect(await withLock(lock, async () => 'built')).toBe('built')
  })

  it('is given back when the work fails', async () => {
    const lock = join(folder, 'lock')
    const work = withLock(lock, async () => {
      throw new Error('no compiler')
    })
    await expect(work).rejects.toThrow('no compiler')
    expect(await readdir(folder)).toEqual([])
  })
})
