import { type ChildProcess, spawn } from 'node:child_process'
import { codeOf } from '../errors.ts'
import type { Ms } from '../types.ts'

/**
 * What HAProxy sees of the environment. A fixed one: configuration may hold `${NAME}`, and what heddle was started
 * with (tokens among it) is none of its business.
 */
export const haproxyEnvironment: Readonly<Record<string, string>> = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
}

export interface RunLimits {
  readonly timeout?: Ms | undefined
  readonly signal?: AbortSignal | undefined
}

export type CheckResult =
  | { readonly kind: 'valid' }
  /** HAProxy refused the file; its messages, at most 64 kB of them. */
  | { readonly kind: 'invalid'; readonly output: string }
  /** Nothing is known of the file: HAProxy could not be run, hung or crashed. */
  | { readonly kind: 'failed'; readonly why: string }

export type VersionResult =
  | { readonly kind: 'version' /** As printed: `2.6.12-1+deb12u4`. */; readonly version: string }
  | { readonly kind: 'failed'; readonly why: string }

const longestOutput = 64 * 1024

type Run =
  | { readonly kind: 'exited'; readonly code: number; readonly output: string }
  | { readonly kind: 'failed'; readonly why: string }

/** Runs to the end or to the deadline; then the whole process group is killed, with what it may have started. */
function run(bin: string, args: readonly string[], timeout: Ms, signal: AbortSignal | undefined): Promise<Run> {
  return new Promise((resolve) => {
    const parts: Buffer[] = []
    let size = 0
    const child: ChildProcess = spawn(bin, args, {
      cwd: '/',
      env: haproxyEnvironment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    const read = (chunk: Buffer) => {
      const kept = chunk.subarray(0, longestOutput - size)
      size += kept.length
      if (kept.length > 0) parts.push(kept)
    }
    const finish = (result: Run) => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      resolve(result)
    }
    const kill = (why: string) => {
      finish({ kind: 'failed', why })
      child.stdout?.destroy()
      child.stderr?.destroy()
      if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
      try {
        process.kill(-child.pid, 'SIGKILL')
      } catch {
        // it ended in the meantime
      }
    }
    const abort = () => kill(`${bin} ${args[0]}: aborted`)
    const timer = setTimeout(() => kill(`${bin} ${args[0]}: did not end within ${timeout} ms, killed`), timeout)
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort, { once: true })
    child.on('error', (error) => finish({ kind: 'failed', why: startProblem(bin, error) }))
    // there are none when it could not be started
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.on('close', (code, killedBy) => {
      if (code === null) finish({ kind: 'failed', why: `${bin} ${args[0]}: ended by ${killedBy}` })
      else finish({ kind: 'exited', code, output: Buffer.concat(parts).toString('utf8').trim() })
    })
  })
}

/** What to do about a program that can't be started. */
export function startProblem(bin: string, error: Error): string {
  const code = codeOf(error)
  if (code === 'ENOENT') return `${bin}: not found; install HAProxy or let haproxy.bin name it by its absolute path`
  if (code === 'EACCES') return `${bin}: may not be executed; check its mode and haproxy.bin`
  return `${bin}: ${error.message}`
}

/** `haproxy -c` on one file, which finds its maps beside itself. Takes some 0.4 s for 50,000 servers. Never rejects. */
export async function checkConfiguration(bin: string, file: string, limits: RunLimits = {}): Promise<CheckResult> {
  const result = await run(bin, ['-c', '-f', file], limits.timeout ?? 30_000, limits.signal)
  if (result.kind === 'failed') return result
  if (result.code === 0) return { kind: 'valid' }
  // 1: errors; 2: nothing to listen on. Anything else is not HAProxy's way of refusing a file
  if (result.code === 1 || result.code === 2) return { kind: 'invalid', output: withoutPids(result.output) }
  return { kind: 'failed', why: `${bin} -c: ended with code ${result.code}` }
}

/** The same file is refused with the same words: who said them, and what every run says, is left out. */
export function withoutPids(output: string): string {
  return output
    .split('\n')
    .filter((line) => !line.startsWith('[NOTICE]'))
    .map((line) => line.replace(/^\[(\w+)\]\s+\(\d+\) : /, '[$1] ').replace(/\b(worker) \(\d+\)/gi, '$1'))
    .join('\n')
}

/** Version of the binary, by `haproxy -v`. Never rejects. */
export async function haproxyVersion(bin: string, limits: RunLimits = {}): Promise<VersionResult> {
  const result = await run(bin, ['-v'], limits.timeout ?? 5_000, limits.signal)
  if (result.kind === 'failed') return result
  const version = /^HA-?Proxy version ([\w.+~:-]{1,64})/m.exec(result.output)?.[1]
  if (version === undefined) return { kind: 'failed', why: `${bin} -v: is this HAProxy? It prints no version` }
  return { kind: 'version', version }
}
