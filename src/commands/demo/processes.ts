import { type ChildProcess, spawn } from 'node:child_process'
import { constants } from 'node:fs'
import { access, readdir, readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename, delimiter, join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

/** Environment variables, as `process.env` has them. */
export interface Environment {
  readonly PATH?: string | undefined
  readonly HOME?: string | undefined
  readonly XDG_CACHE_HOME?: string | undefined
  readonly [name: string]: string | undefined
}

/** A child of the demo. */
export interface Child {
  readonly name: string
  /** Resolves when it has ended, with how it ended in words. */
  readonly ended: Promise<string>
  readonly isRunning: () => boolean
  /** Its last lines, both outputs together. */
  readonly lastLines: () => string
  /** Asks it to end, and ends it when it hasn't after ten seconds. Returns when it is gone. */
  readonly stop: () => Promise<void>
}

const keptLines = 30

/** An environment for a child that is configured by the demo alone: CONSUL_HTTP_ADDR is meant for somebody else's Consul. */
export function withoutSettings(env: Environment): Environment {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(CONSUL|HEDDLE)_/.test(name)))
}

/**
 * Starts a program in a process group of its own: Ctrl-C in a terminal reaches the demo alone, which ends its children
 * in the right order.
 */
export function startChild(name: string, command: string, args: readonly string[], env: Environment): Child {
  const child = spawn(command, args, { env: { ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const ended = whenEnded(child)
  const lines = keepLines(child)
  let isRunning = true
  void ended.then(() => {
    isRunning = false
  })
  return {
    name,
    ended,
    isRunning: () => isRunning,
    lastLines: () => lines.join('\n'),
    async stop() {
      if (!isRunning) return
      child.kill('SIGTERM')
      const patience = new AbortController()
      await Promise.race([ended, delay(10_000, undefined, { signal: patience.signal }).catch(() => {})])
      patience.abort()
      if (isRunning) child.kill('SIGKILL')
      await ended
    },
  }
}

function whenEnded(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(`could not be started: ${error.message}`))
    // Not `close`: a grandchild may hold the pipes for longer.
    child.on('exit', (code, signal) => resolve(signal === null ? `ended with code ${code}` : `ended by ${signal}`))
  })
}

function keepLines(child: ChildProcess): string[] {
  const lines: string[] = []
  for (const stream of [child.stdout, child.stderr]) {
    let rest = ''
    stream?.setEncoding('utf8')
    stream?.on('data', (text: string) => {
      const parts = (rest + text).split('\n')
      rest = (parts.pop() ?? '').slice(-4096)
      lines.push(...parts)
      lines.splice(0, lines.length - keptLines)
    })
  }
  return lines
}

/** Path of a program on PATH or in one of the folders, or null. */
export async function findProgram(name: string, env: Environment, folders: readonly string[]): Promise<string | null> {
  const path = env.PATH ?? ''
  for (const folder of [...path.split(delimiter), ...folders]) {
    if (folder === '') continue
    const file = join(folder, name)
    if (await isExecutable(file)) return file
  }
  return null
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** A TCP port that was free a moment ago: `wanted`, or any. Rejects when the wanted one is taken. */
export function freePort(host = '127.0.0.1', wanted = 0): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(wanted, host, () => {
      const address = server.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      server.close(() => resolve(port))
    })
  })
}

/**
 * Ends what is left of a program whose command line names `folder`. HAProxy outlives the heddle that spawned it, so that
 * a restart of heddle costs no request; the demo's own must not outlive the demo. The folder's name is used once, so a
 * process that names it is the demo's.
 */
export async function endProcessesOf(program: string, folder: string): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    const pids = await processesOf(program, folder)
    for (const pid of pids) send(pid, signal)
    const deadline = Date.now() + 3000
    while (Date.now() < deadline && (await processesOf(program, folder)).length > 0) await delay(20)
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It ended by itself in the meantime.
  }
}

async function processesOf(program: string, folder: string): Promise<readonly number[]> {
  const pids: number[] = []
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue
    const words = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0')
    const isOurs = words.some((word) => word === folder || word.startsWith(`${folder}/`))
    if (isOurs && basename(words[0] ?? '') === basename(program)) pids.push(Number(entry))
  }
  return pids
}
