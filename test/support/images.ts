import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmod, cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { atEnd, haproxyBin, killGroup, ownAddress, temporaryFolder, until, type WorkFolder } from './haproxy.ts'
import { freePorts } from './ports.ts'

/** What the two images hold, in a folder and without an engine: for tests that start it as the users of the images. */

export const repository = join(import.meta.dirname, '..', '..')

export interface User {
  readonly uid: number
  readonly gid: number
}

/** As the Dockerfiles and containers/folders say. */
export const users = {
  heddle: { uid: 10001, gid: 10000 },
  haproxy: { uid: 99, gid: 10000 },
  stranger: { uid: 54321, gid: 54321 },
} as const

export interface Images {
  /** Where heddle's files and sockets are, as they lie in the images below /. */
  readonly folder: WorkFolder
  /** Free ports of the folder's address. */
  readonly statsPort: number
  readonly statusPort: number
  /** Path of something in the images' /opt/heddle. */
  readonly path: (name: string) => string
  /** Paths of what is in the images, below `root`. */
  readonly root: string
}

/**
 * A folder with what is copied into the images. Of the configuration that HAProxy starts with, port and socket are the folder's.
 * `isShared`: the folders that heddle and HAProxy share are made as the images make them, which only root can.
 */
export async function unpackedImages({ isShared }: { isShared: boolean }): Promise<Images> {
  const root = await temporaryFolder()
  // mkdtemp makes it for one user
  await chmod(root, 0o755)
  const path = (name: string) => join(root, 'opt', 'heddle', name)
  const address = ownAddress()
  const [port = 0, statsPort = 0, statusPort = 0] = await freePorts(3, address)
  const run = join(root, 'run', 'haproxy')
  const directory = join(root, 'var', 'lib', 'heddle')
  const folder: WorkFolder = {
    directory,
    file: join(directory, 'current', 'haproxy.cfg'),
    masterSocket: join(run, 'master.sock'),
    statsSocket: join(run, 'stats.sock'),
    address,
    port,
  }
  for (const name of ['haproxy', 'containers']) await cp(join(repository, name), path(name), { recursive: true })
  const bootstrap = path('haproxy/bootstrap/haproxy.cfg')
  const text = await readFile(bootstrap, 'utf8')
  const own = text.replace('bind :80', `bind ${address}:${port}`).replace('/run/haproxy/stats.sock', folder.statsSocket)
  await writeFile(bootstrap, own)
  if (isShared) await finished(path('containers/folders'), [root])
  else await mkdir(run, { recursive: true })
  return { folder, statsPort, statusPort, path, root }
}

const lockShape = z.object({ packages: z.record(z.string(), z.object({ dev: z.boolean().optional() })) })

/** The compiled heddle with what it needs at run time, where any user may read it: its command. */
let copied: Promise<string> | null = null

async function copyHeddle(): Promise<string> {
  const folder = await temporaryFolder()
  await chmod(folder, 0o755)
  const lock = lockShape.parse(JSON.parse(await readFile(join(repository, 'package-lock.json'), 'utf8')))
  const packages = Object.entries(lock.packages).flatMap(([name, { dev }]) => (name === '' || dev ? [] : [name]))
  for (const name of ['package.json', 'dist', 'templates', 'page', ...packages]) {
    await cp(join(repository, name), join(folder, name), { recursive: true })
  }
  return join(folder, 'dist', 'cli.js')
}

export interface Started {
  readonly output: () => string
  readonly signal: (name: NodeJS.Signals) => void
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>
}

/** Starts a program as that user, with nothing of our own environment but PATH; killed at the end with its children. */
export function startAs(
  user: User | null,
  [command = '', ...args]: readonly string[],
  env: Readonly<Record<string, string>>,
): Started {
  const child: ChildProcess = spawn(command, args, {
    ...user,
    cwd: '/',
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk) => (output += chunk))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  atEnd(async () => {
    if (child.pid !== undefined) killGroup(child.pid)
    await ended
  })
  return { output: () => output, signal: (name) => child.kill(name), ended }
}

/** Runs a program to its end as that user. Resolves with its exit code and what it printed. */
export function finishedAs(
  user: User | null,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly code: number; readonly output: string }> {
  return new Promise((resolve) => {
    const options = { ...user, cwd: '/', env: { PATH: process.env['PATH'], ...env } }
    execFile(command, args, options, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: `${stdout}${stderr}` })
    })
  })
}

/** As ourselves; rejects unless it ends well. */
export async function finished(command: string, args: readonly string[]): Promise<string> {
  const { code, output } = await finishedAs(null, command, args)
  if (code !== 0) throw new Error(`${command} ended with ${code}: ${output}`)
  return output
}

/** The one under test may lie where only its owner can read it. */
function binFor(user: User | null): string {
  return user === null ? haproxyBin : 'haproxy'
}

/** `haproxy/start`; through `words`, such as `unshare --net`. */
export function startHaproxyOf({ folder, path }: Images, user: User | null, words: readonly string[] = []): Started {
  return startAs(user, [...words, path('haproxy/start')], {
    HEDDLE_HAPROXY_BIN: binFor(user),
    HEDDLE_HAPROXY_DIRECTORY: folder.directory,
    HEDDLE_HAPROXY_MASTER_SOCKET: folder.masterSocket,
  })
}

/** heddle by environment variables alone, as docker-compose.yml starts it. */
export async function startHeddleOf(
  { folder, statsPort, statusPort }: Images,
  user: User | null,
  { snapshot, env = {} }: { snapshot: string; env?: Readonly<Record<string, string>> },
): Promise<Started> {
  copied ??= copyHeddle()
  const cli = await copied
  return startAs(user, [process.execPath, cli, 'run', '--snapshot', snapshot], {
    HEDDLE_HAPROXY_BIN: binFor(user),
    HEDDLE_HAPROXY_DIRECTORY: folder.directory,
    HEDDLE_HAPROXY_MASTER_SOCKET: folder.masterSocket,
    HEDDLE_HAPROXY_STATS_SOCKET: folder.statsSocket,
    HEDDLE_HAPROXY_BIND: `${folder.address}:${folder.port}`,
    HEDDLE_HAPROXY_STATS_BIND: `${folder.address}:${statsPort}`,
    HEDDLE_STATUS_LISTEN: `${folder.address}:${statusPort}`,
    HEDDLE_WEAVE_CIDR: '127.0.0.0/8',
    HEDDLE_WEAVE_RESERVED: '[]',
    HEDDLE_WEAVE_DOCKER: '{}',
    HEDDLE_APPLY_RELOAD_EVERY: '100ms',
    ...env,
  })
}

/** Resolves when heddle says that a proved revision runs. */
export async function proved({ folder, statusPort }: Images, heddle: Started): Promise<void> {
  await until(async () => {
    const answer = await fetch(`http://${folder.address}:${statusPort}/readyz`).catch(() => null)
    return answer?.status === 200
  }, 20_000).catch((error) => {
    throw new Error(`${error.message}\n${heddle.output().slice(-4000)}`)
  })
}
