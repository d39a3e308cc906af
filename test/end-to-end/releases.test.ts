import { readFile, readlink, rename, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { haproxyVersion } from '../../scripts/haproxy.mjs'
import { realOthers, version } from '../support/dialect.ts'
import { haproxyBin, httpServer, startHaproxy, until, type WorkFolder } from '../support/haproxy.ts'
import { startHeddle, statusOf } from '../support/heddle.ts'
import { body, entry, followed, setUp, workerPid } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

/** A machine on which HAProxy is changed for another release while heddle runs. */

const route = 'heddle.route=shop.example'

/** The HAProxy under test, which says that it is of a release that there will hardly be. */
async function disguised(folder: WorkFolder): Promise<string> {
  const path = join(dirname(folder.directory), 'disguised')
  const text = `#!/bin/sh\n[ "$1" = -v ] && exec echo 'HAProxy version 99.9.9 2099/01/01'\nexec ${haproxyBin} "$@"\n`
  await writeFile(path, text, { mode: 0o755 })
  return path
}

/** Lets a link that is there or not lead to another program, as a package manager does. */
async function lead(link: string, program: string): Promise<void> {
  await symlink(program, `${link}.new`)
  await rename(`${link}.new`, link)
}

async function site() {
  const [one, two] = [await httpServer({ name: 'one' }), await httpServer({ name: 'two' })]
  const services = { web: [entry('w1', one, route), entry('w2', two, route)] }
  const { folder, settings, file, args } = await setUp('attach', services)
  const bin = join(dirname(folder.directory), 'haproxy')
  await lead(bin, haproxyBin)
  await writeFile(settings, (await readFile(settings, 'utf8')).replace(/^ {2}bin: .*$/m, `  bin: ${bin}`))
  const running = await startHeddle(folder, settings, args)
  await until(() => readlink(join(folder.directory, 'current')).catch(() => null))
  const haproxy = await startHaproxy(folder)
  await running.ready()
  /** One of two instances turns critical, and a service comes that only a reload can bring. */
  const change = () =>
    writeSnapshot(file, {
      web: [{ ...entry('w1', one, route), status: 'critical' }, entry('w2', two, route)],
      shops: [entry('s1', one, 'heddle.route=other.example', 'heddle.balance=leastconn')],
    })
  return { folder, bin, running, haproxy, change }
}

/** One that only says so, and a real one where one is at hand. */
const others: readonly (readonly [string, (folder: WorkFolder) => Promise<string>])[] = [
  ['disguised', disguised],
  ...realOthers.map((path) => ['real', async () => path] as const),
]

describe('haproxy.bin of another release than the worker', () => {
  it.each(others)(
    'stops reloads, says why, and holds up nothing urgent, until it is replaced (%s)',
    async (_, find) => {
      const { folder, bin, running, change } = await site()
      const other = await find(folder)
      const [worker, installed] = [await workerPid(folder), await readlink(join(folder.directory, 'current'))]
      await lead(bin, other)
      await change()
      const why = `haproxy.bin is ${haproxyVersion(other)?.version}, the running worker ${version}`
      await until(async () => (await statusOf(running)).haproxy.error?.includes(why))
      await until(
        async () => (await body(folder, 'shop.example')) === 'two' && (await body(folder, 'shop.example')) === 'two',
      )
      for (let count = 0; count < 4; count++) expect(await body(folder, 'shop.example')).toBe('two')
      expect(await statusOf(running)).toMatchObject({ ready: true, haproxy: { reloads: { success: 0, failure: 0 } } })
      expect(await body(folder, 'other.example')).toBe('404')
      expect(await workerPid(folder)).toBe(worker)
      expect(await readlink(join(folder.directory, 'current'))).toBe(installed)

      await lead(bin, haproxyBin)
      await followed(folder, 'other.example', 'one')
      await until(async () => (await statusOf(running)).haproxy.error === null)
      running.signal('SIGTERM')
      expect(await running.ended).toBe(0)
    },
  )

  // what only says so can't be started as another release
  it.each(realOthers)('is what is wanted as soon as HAProxy is restarted as that release (%s)', async (other) => {
    const { folder, bin, running, haproxy, change } = await site()
    await lead(bin, other)
    await change()
    await until(async () => (await statusOf(running)).haproxy.error?.includes('restart HAProxy'))
    await haproxy.stop()
    await startHaproxy(folder, other)
    await followed(folder, 'other.example', 'one')
    await until(async () => (await statusOf(running)).haproxy.error === null)
    expect(await statusOf(running)).toMatchObject({ ready: true, haproxy: { reloads: { success: 1, failure: 0 } } })
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})
