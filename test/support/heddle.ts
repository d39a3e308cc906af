import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { processesOn } from '../../src/haproxy/process.ts'
import { atEnd, haproxyBin, killGroup, until, type WorkFolder } from './haproxy.ts'
import { freePorts } from './ports.ts'

/** The compiled heddle as a child process, on a work folder. */

const cli = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export interface Finished {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

/** Settings of a folder as a file; `more` are further lines of YAML, `weave` further keys of that section. Containers may be anywhere on loopback. */
export async function writeSettings(
  folder: WorkFolder,
  kind: 'attach' | 'spawn',
  more = '',
  weave = 'docker: {}',
): Promise<string> {
  const file = join(dirname(folder.directory), 'heddle.yaml')
  const [stats, status] = await portsBeside(folder)
  const text = `
haproxy:
  process: ${kind}
  bin: ${haproxyBin}
  directory: ${folder.directory}
  masterSocket: ${folder.masterSocket}
  statsSocket: ${folder.statsSocket}
  bind: ["${folder.address}:${folder.port}"]
  statsBind: "${folder.address}:${stats}"
  accessLog: off
weave: {cidr: 127.0.0.0/8, reserved: [], ${weave}}
status: {listen: "${folder.address}:${status}"}
apply: {reloadEvery: 100ms}
log: {level: debug, format: json}
${more}`
  await writeFile(file, text)
  return file
}

/** Two ports that are neither each other's nor the folder's own. */
async function portsBeside(folder: WorkFolder): Promise<readonly number[]> {
  const free = await freePorts(3, folder.address)
  return free.filter((port) => port !== folder.port)
}

/** Runs a command to its end. */
export function heddle(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

export interface RunningHeddle {
  readonly pid: number
  /** Log lines and whatever else it wrote to stderr so far. */
  readonly log: () => string
  readonly signal: (name: NodeJS.Signals) => void
  /** Resolves with the exit code. */
  readonly ended: Promise<number | null>
  /** Of the status endpoint. */
  readonly url: string
  /** Asks the status endpoint. */
  readonly get: (path: string) => Promise<{ status: number; body: unknown }>
  /** Resolves when a proved revision runs. */
  readonly ready: () => Promise<void>
}

/** `heddle run` on that settings file; killed at the end of the test file, with a HAProxy that it spawned. */
export async function startHeddle(
  folder: WorkFolder,
  settings: string,
  args: readonly string[] = [],
): Promise<RunningHeddle> {
  const child: ChildProcess = spawn(process.execPath, [cli, '--config', settings, 'run', ...args], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let log = ''
  child.stderr?.on('data', (chunk) => (log += chunk))
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
  atEnd(async () => {
    child.kill('SIGKILL')
    await ended
    // a master in the middle of a reload would not say who it is
    for (const pid of await processesOn(folder.masterSocket)) killGroup(pid)
  })
  const url = `http://${await statusAddress(settings)}`
  const get = async (path: string) => {
    const answer = await fetch(`${url}${path}`, { headers: { connection: 'close' } })
    const text = await answer.text()
    const isJson = answer.headers.get('content-type')?.includes('json') === true
    return { status: answer.status, body: isJson ? JSON.parse(text) : text }
  }
  return {
    pid: child.pid ?? -1,
    log: () => log,
    signal: (name) => child.kill(name),
    ended,
    url,
    get,
    ready: async () => {
      await until(async () => {
        if (child.exitCode !== null) throw new Error(`heddle ended with ${child.exitCode}:\n${log}`)
        const answer = await get('/readyz').catch(() => null)
        return answer?.status === 200
      }, 20_000).catch((error) => {
        throw new Error(`${error.message}\n${folder.directory}\n${log.slice(-4000)}`)
      })
    },
  }
}

async function statusAddress(settings: string): Promise<string> {
  const [, address = ''] = /^status: \{listen: "([^"]+)"/m.exec(await readFile(settings, 'utf8')) ?? []
  return address
}

const statusShape = z.object({
  ready: z.boolean(),
  reason: z.string(),
  revision: z.object({ number: z.number(), hash: z.string(), routesHash: z.string() }).nullable(),
  haproxy: z.object({
    pid: z.number().nullable(),
    error: z.string().nullable(),
    reloads: z.object({ success: z.number(), failure: z.number() }),
  }),
})

export async function statusOf(running: RunningHeddle): Promise<z.infer<typeof statusShape>> {
  return statusShape.parse((await running.get('/api/v1/status')).body)
}
