import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it, onTestFinished } from 'vitest'
import { watchFile } from '../../src/sources/watched-file.ts'
import { eventually } from '../support/eventually.ts'

async function folderOf(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'hd-watch-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** Counts calls; resolves when the watch is up, which a change of the file itself shows. */
async function watched(path: string, probe: () => Promise<void>) {
  const end = new AbortController()
  onTestFinished(() => end.abort())
  const errors: unknown[] = []
  let calls = 0
  watchFile(
    path,
    () => calls++,
    end.signal,
    (error) => errors.push(error),
  )
  await eventually(
    async () => {
      await probe()
      expect(calls).toBeGreaterThan(0)
    },
    { every: 200 },
  )
  // what the last probes still set off is not taken for what comes after
  await eventually(
    async () => {
      const before = calls
      await new Promise((resolve) => setTimeout(resolve, 150))
      expect(calls).toBe(before)
    },
    { every: 0 },
  )
  return { calls: () => calls, errors, end }
}

describe('a file that is followed', () => {
  it('is told of when it is written, replaced, removed and put back', async () => {
    const folder = await folderOf()
    const file = join(folder, 'settings.yaml')
    await writeFile(file, 'a')
    const watch = await watched(file, () => writeFile(file, `${Math.random()}`))
    const changes: (() => Promise<void>)[] = [
      () => writeFile(file, 'b'),
      async () => {
        await writeFile(`${file}.new`, 'c')
        await rename(`${file}.new`, file)
      },
      () => rm(file),
      () => writeFile(file, 'd'),
    ]
    for (const change of changes) {
      const before = watch.calls()
      await change()
      await eventually(() => expect(watch.calls()).toBeGreaterThan(before))
    }
    expect(watch.errors).toEqual([])
  })

  it('may be absent at first', async () => {
    const file = join(await folderOf(), 'later.yaml')
    const watch = await watched(file, () => writeFile(file, `${Math.random()}`))
    expect(watch.errors).toEqual([])
  })

  it('is told of when a link that it is reached by is swapped, as Kubernetes does', async () => {
    const folder = await folderOf()
    const link = join(folder, '..data')
    const point = async (version: string) => {
      await mkdir(join(folder, version), { recursive: true })
      await writeFile(join(folder, version, 'settings.yaml'), version)
      await rm(`${link}.new`, { force: true })
      await symlink(version, `${link}.new`)
      await rename(`${link}.new`, link)
    }
    await point('v0')
    await symlink('..data/settings.yaml', join(folder, 'settings.yaml'))
    let version = 0
    const watch = await watched(join(folder, 'settings.yaml'), () => point(`v${++version}`))
    const before = watch.calls()
    await point('last')
    await eventually(() => expect(watch.calls()).toBeGreaterThan(before))
  })

  it('is not told of for what happens beside it, nor after the end', async () => {
    const folder = await folderOf()
    const file = join(folder, 'settings.yaml')
    const watch = await watched(file, () => writeFile(file, `${Math.random()}`))
    const before = watch.calls()
    await writeFile(join(folder, 'other.yaml'), 'x')
    // a change of its own that comes later shows that the other one would have been told by now
    await new Promise((resolve) => setTimeout(resolve, 100))
    await writeFile(file, 'y')
    await eventually(() => expect(watch.calls()).toBe(before + 1))
    watch.end.abort()
    await writeFile(file, 'z')
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(watch.calls()).toBe(before + 1)
  })
})

describe('a folder that is followed', () => {
  it('is told of when a file in it changes, comes or goes', async () => {
    const folder = join(await folderOf(), 'templates')
    await mkdir(folder)
    const file = join(folder, 'backend.eta')
    const watch = await watched(folder, () => writeFile(file, `${Math.random()}`))
    for (const change of [() => writeFile(join(folder, 'haproxy.cfg.eta'), 'x'), () => rm(file)]) {
      const before = watch.calls()
      await change()
      await eventually(() => expect(watch.calls()).toBeGreaterThan(before))
    }
  })
})
