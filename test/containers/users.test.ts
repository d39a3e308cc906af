import { lstat, readdir, readlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { workers } from '../../src/haproxy/master.ts'
import { httpServer, request, until } from '../support/haproxy.ts'
import {
  finishedAs,
  type Images,
  proved,
  startHaproxyOf,
  startHeddleOf,
  type User,
  unpackedImages,
  users,
} from '../support/images.ts'
import { body, entry, followed } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

/** heddle and HAProxy as two users with one group, as in their containers: the same scripts, folders, numbers. */

const env = { HEDDLE_HAPROXY_SOCKET_GID: String(users.heddle.gid) }

async function site(...names: readonly string[]) {
  const images = await unpackedImages({ isShared: true })
  const snapshot = join(images.root, 'snapshot.json')
  const serve = async (...present: readonly string[]) => {
    const servers = await Promise.all(present.map((name) => httpServer({ name })))
    const entries = servers.map((server, index) => [
      present[index] ?? '',
      // what no spare section has: a second one takes a reload
      [entry(`${present[index]}-1`, server, `heddle.route=${present[index]}.example`, 'heddle.balance=leastconn')],
    ])
    await writeSnapshot(snapshot, Object.fromEntries(entries))
  }
  await serve(...names)
  return { images, snapshot, serve }
}

async function answered(images: Images): Promise<void> {
  await until(async () => (await workers(images.folder.masterSocket)).ok)
  await until(() => request(images.folder).catch(() => null))
}

/** Path to owner, group and permissions, of all that is below a folder. */
async function ownership(folder: string): Promise<ReadonlyMap<string, string>> {
  const names = ['', ...(await readdir(folder, { recursive: true }))]
  const found = await Promise.all(
    names.map(async (name) => {
      // a file that is being written has another name a moment later
      const stat = await lstat(join(folder, name)).catch(() => null)
      return stat === null ? [] : [[name, `${stat.uid}:${stat.gid} ${(stat.mode & 0o7777).toString(8)}`] as const]
    }),
  )
  return new Map(found.flat())
}

/** What comes of the expression in a Node.js that runs as that user: an error's code, or `done`. */
async function attempt(user: User, expression: string): Promise<string> {
  const code = `import fs from 'node:fs/promises'; import { connect } from 'node:net'
    const connected = (path) => new Promise((resolve, reject) => connect(path).on('connect', resolve).on('error', reject))
    const end = await (${expression}).then(() => 'done', ({ code }) => code); console.log(end); process.exit()`
  const { output } = await finishedAs(user, process.execPath, ['--input-type=module', '--eval', code])
  return output.trim()
}

describe.skipIf(process.getuid?.() !== 0)('heddle and HAProxy as two users with one group', () => {
  it('work together when HAProxy starts first, on folders as the images make them', async () => {
    const { images, snapshot, serve } = await site('one')
    const { folder } = images
    const haproxy = startHaproxyOf(images, users.haproxy)
    await answered(images)
    expect(await request(folder, { host: 'one.example' })).toMatchObject({
      status: 503,
      headers: { 'retry-after': '5' },
    })

    const heddle = await startHeddleOf(images, users.heddle, { snapshot, env })
    await proved(images, heddle)
    expect(await body(folder, 'one.example')).toBe('one')
    const before = await readlink(join(folder.directory, 'current'))
    await serve('one', 'two')
    await followed(folder, 'two.example', 'two')
    await until(async () => (await readlink(join(folder.directory, 'current'))) !== before)

    heddle.signal('SIGTERM')
    expect(await heddle.ended).toBe(0)
    expect(await body(folder, 'two.example')).toBe('two')
    haproxy.signal('SIGUSR1')
    expect(await haproxy.ended).toBe(0)
  })

  it('work together when heddle starts first', async () => {
    const { images, snapshot } = await site('one')
    const { folder } = images
    const heddle = await startHeddleOf(images, users.heddle, { snapshot, env })
    await until(async () => (await readlink(join(folder.directory, 'current'))) !== 'revisions/bootstrap')
    startHaproxyOf(images, users.haproxy)
    await proved(images, heddle)
    expect(await body(folder, 'one.example')).toBe('one')
  })

  it('leave files and sockets to nobody else', async () => {
    const { images, snapshot } = await site('one')
    const { folder } = images
    startHaproxyOf(images, users.haproxy)
    const heddle = await startHeddleOf(images, users.heddle, { snapshot, env })
    await proved(images, heddle)

    const own = await ownership(folder.directory)
    expect(new Set([...own.values()])).toEqual(
      new Set(['10001:10000 2750', '10001:10000 640', '10001:10000 600', '10001:10000 777']),
    )
    expect([own.get(''), own.get('current'), own.get('heddle.sock')]).toEqual([
      '10001:10000 2750',
      '10001:10000 777',
      '10001:10000 600',
    ])
    expect(own.get(join(await readlink(join(folder.directory, 'current')), 'haproxy.cfg'))).toBe('10001:10000 640')
    expect(await ownership(dirname(folder.masterSocket))).toEqual(
      new Map([
        ['', '99:10000 2750'],
        ['master.sock', '99:10000 660'],
        ['stats.sock', '99:10000 660'],
      ]),
    )

    const { directory, masterSocket, statsSocket } = folder
    const read = `fs.readFile('${directory}/current/haproxy.cfg')`
    const write = (path: string) => `fs.writeFile('${directory}/${path}', '')`
    // the user of HAProxy reads what it has to, and can change nothing of heddle's
    expect(await attempt(users.haproxy, read)).toBe('done')
    for (const path of ['new', 'revisions/new', 'current/new', 'current/haproxy.cfg', 'memory.json'])
      expect([path, await attempt(users.haproxy, write(path))]).toEqual([path, 'EACCES'])
    expect(await attempt(users.haproxy, `fs.rm('${directory}/current')`)).toBe('EACCES')
    expect(await attempt(users.haproxy, `connected('${directory}/heddle.sock')`)).toBe('EACCES')
    // heddle can put nothing among the sockets
    expect(await attempt(users.heddle, `fs.rm('${masterSocket}')`)).toBe('EACCES')
    // and to all others both are closed
    for (const path of [masterSocket, statsSocket, `${directory}/heddle.sock`])
      expect([path, await attempt(users.stranger, `connected('${path}')`)]).toEqual([path, 'EACCES'])
    expect(await attempt(users.stranger, read)).toBe('EACCES')
    expect(await attempt(users.stranger, `fs.readdir('${directory}')`)).toBe('EACCES')
  })

  it('are healthy when a proved revision runs, wherever the status endpoint is', async () => {
    const { images, snapshot } = await site('one')
    const { folder, path } = images
    const healthy = () =>
      finishedAs(users.heddle, process.execPath, [path('containers/healthy.mjs')], {
        HEDDLE_HAPROXY_DIRECTORY: folder.directory,
      })
    expect(await healthy()).toMatchObject({ code: 1, output: expect.stringContaining('heddle.sock') })
    const heddle = await startHeddleOf(images, users.heddle, { snapshot, env })
    await until(async () => (await healthy()).output.includes('"ready":false'))
    expect(await healthy()).toMatchObject({ code: 1 })
    startHaproxyOf(images, users.haproxy)
    await proved(images, heddle)
    expect(await healthy()).toMatchObject({ code: 0, output: expect.stringContaining('"ready":true') })
  })

  it('share a token that is made once', async () => {
    const { path, root } = await unpackedImages({ isShared: true })
    const folder = join(root, 'run', 'heddle-token')
    const make = () => finishedAs(users.heddle, process.execPath, [path('containers/token.mjs'), folder])
    const read = (user: User) => finishedAs(user, 'cat', [join(folder, 'token')])
    expect(await make()).toEqual({ code: 0, output: '' })
    const prometheus = { uid: 65534, gid: users.heddle.gid }
    const first = await read(prometheus)
    expect(first).toMatchObject({ code: 0, output: expect.stringMatching(/^[\w-]{43}\n$/) })
    expect(await make()).toEqual({ code: 0, output: '' })
    expect(await read(prometheus)).toEqual(first)
    expect(await ownership(folder)).toEqual(
      new Map([
        ['', '10001:10000 2750'],
        ['token', '10001:10000 640'],
      ]),
    )
    expect(await read(users.stranger)).toMatchObject({ code: 1 })
  })
})
