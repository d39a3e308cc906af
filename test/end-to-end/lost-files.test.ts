import { access, readlink, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ask } from '../../src/haproxy/cli.ts'
import { workers } from '../../src/haproxy/master.ts'
import { dialect } from '../support/dialect.ts'
import { httpServer, type RunningHaproxy, startHaproxy, until, type WorkFolder } from '../support/haproxy.ts'
import { type RunningHeddle, startHeddle, statusOf } from '../support/heddle.ts'
import { body, entry, followed, setUp } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

/** Somebody removes what is installed: HAProxy 3.2's master ends of a reload without its file, and none starts without it. */

const isThere = (path: string) =>
  access(path).then(
    () => true,
    () => false,
  )

/** What `current` leads to, with all its files. */
async function removeInstalled({ directory }: WorkFolder): Promise<void> {
  await rm(join(directory, await readlink(join(directory, 'current'))), { recursive: true })
}

interface Site {
  readonly folder: WorkFolder
  readonly file: string
  readonly running: RunningHeddle
  /** Null: heddle has started it. */
  readonly haproxy: RunningHaproxy | null
}

const shop = 'heddle.route=shop.example'

async function site(kind: 'attach' | 'spawn'): Promise<Site> {
  const web = await httpServer({ name: 'web' })
  const { folder, settings, file, args } = await setUp(kind, { web: [entry('w1', web, shop)] })
  const running = await startHeddle(folder, settings, args)
  if (kind === 'attach') await until(() => isThere(folder.file))
  const haproxy = kind === 'attach' ? await startHaproxy(folder) : null
  await running.ready()
  return { folder, file, running, haproxy }
}

/** Waits while it executes itself anew. */
function masterPid({ masterSocket }: WorkFolder): Promise<number> {
  return until(async () => {
    const now = await workers(masterSocket)
    return now.ok && now.master.pid
  })
}

async function end(running: RunningHeddle): Promise<void> {
  running.signal('SIGTERM')
  expect(await running.ended).toBe(0)
}

const reloadByHand = ({ masterSocket }: WorkFolder) => ask(masterSocket, 'reload', { timeout: 10_000 })

/** Both before heddle has a chance to see it. */
async function removeAndReload({ folder, running }: Site): Promise<void> {
  running.signal('SIGSTOP')
  await removeInstalled(folder)
  await reloadByHand(folder)
  running.signal('SIGCONT')
}

describe('installed files that somebody removes', () => {
  it('are put back before long, so that anybody can reload', async () => {
    const { folder, running } = await site('attach')
    const before = await workers(folder.masterSocket)
    await removeInstalled(folder)
    await until(() => isThere(folder.file))
    await reloadByHand(folder)
    await until(async () => {
      const now = await workers(folder.masterSocket)
      return now.ok && before.ok && now.current !== null && now.current.pid !== before.current?.pid && now.failed === 0
    })
    await followed(folder, 'shop.example', 'web')
    await running.ready()
    await end(running)
  })

  it('before a change cost HAProxy nothing', async () => {
    const { folder, file, running } = await site('spawn')
    const master = await masterPid(folder)
    await removeInstalled(folder)
    await writeSnapshot(file, { web: [entry('w2', await httpServer({ name: 'other' }), shop)] })
    await followed(folder, 'shop.example', 'other')
    expect(await masterPid(folder)).toBe(master)
    await end(running)
  })

  it('before a reload by hand cost 3.2 its master, and it can be started again', async () => {
    const all = await site('attach')
    const { folder, running, haproxy } = all
    await removeAndReload(all)
    if (dialect.name === '3.2') {
      await haproxy?.ended
      await until(async () => !(await statusOf(running)).ready)
      await until(() => isThere(folder.file))
      await startHaproxy(folder)
    }
    await followed(folder, 'shop.example', 'web')
    await until(() => isThere(folder.file))
    await running.ready()
    await end(running)
  })

  it('before a reload by hand of a HAProxy of its own are put back, and it is started again where it ended', async () => {
    const all = await site('spawn')
    const { folder, running } = all
    const master = await masterPid(folder)
    await removeAndReload(all)
    await until(() => isThere(folder.file))
    await until(async () => (await body(folder, 'shop.example').catch(() => '')) === 'web', 20_000)
    await running.ready()
    expect((await masterPid(folder)) === master).toBe(dialect.name !== '3.2')
    await end(running)
  })
})
