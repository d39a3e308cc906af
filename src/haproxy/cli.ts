import { connect, type Socket } from 'node:net'
import { codeOf } from '../errors.ts'
import type { Ms } from '../types.ts'

/** Client of HAProxy's CLI on a unix socket: of the worker (stats socket) and of the master. */

export interface CliLimits {
  /** Longest wait for one answer, connecting included. Default 2 s. */
  readonly timeout?: Ms | undefined
  /** Longest answer in characters. Default 64 Mi: the state of 500,000 servers. */
  readonly longest?: number | undefined
  readonly signal?: AbortSignal | undefined
}

/** `code`: an errno such as `ENOENT`, or `timeout`, `aborted`, `closed`, `too-long`, `bad-command`. */
export interface Silence {
  readonly ok: false
  readonly code: string
  readonly why: string
}

/** The answer's text is HAProxy's own, without prompt and closing newlines; '' is how most changes succeed. */
export type Answer = { readonly ok: true; readonly answer: string } | Silence

export interface Runtime {
  /**
   * Sends one command. Callers need not wait for the answer before the next one; answers come in order. Payload lines
   * must be neither empty nor hold a newline, and be 12,000 bytes at most together: HAProxy 2.6 drops more than 16 kB
   * without a word.
   */
  ask(command: string, payload?: readonly string[]): Promise<Answer>
  /** False: only commands of one line get through. */
  readonly takesPayload: boolean
  /** Idempotent; commands still waiting are answered `closed`. */
  close(): void
}

const defaultTimeout = 2_000
const defaultLongest = 64 * 1024 * 1024
/** HAProxy's buffer has 16 kB; a command or payload must fit in with room to spare. */
const longestCommand = 12_000
const prompt = '\n> '

const causes: Readonly<Record<string, string>> = {
  ENOENT: 'there is no socket; HAProxy is not running, or the path differs from the one in its configuration',
  ECONNREFUSED: 'nobody listens on it; HAProxy is not running or is just starting',
  EACCES: 'permission denied; give this user access to the socket (group and mode of the socket and its folder)',
  ECONNRESET: 'HAProxy closed the connection',
  EPIPE: 'HAProxy closed the connection',
}

function silence(path: string, code: string, text?: string): Silence {
  return { ok: false, code, why: `${path}: ${text ?? causes[code] ?? code}` }
}

function silenceOf(path: string, error: Error): Silence {
  const code = codeOf(error) ?? 'unknown'
  return silence(path, code, causes[code] ?? error.message)
}

/** Why a command must not be sent: it would be read as several, and answers would go to the wrong askers. */
function commandProblem(command: string, payload: readonly string[] | undefined): string | null {
  if (!/^[^\r\n\0]+$/.test(command)) return 'expected a command on one line'
  if (/(?:^|[^\\]);/.test(command)) return 'expected one command, without `;`'
  if (Buffer.byteLength(command) > longestCommand) return `expected a command of at most ${longestCommand} bytes`
  if (payload === undefined) return command.includes('<<') ? 'expected a payload after `<<`' : null
  if (!command.endsWith(' <<')) return 'expected a command that ends in ` <<` before a payload'
  if (payload.some((line) => !/^[^\r\n\0]+$/.test(line))) return 'expected payload lines that are not empty'
  const size = payload.reduce((sum, line) => sum + Buffer.byteLength(line) + 1, 0)
  return size > longestCommand ? `expected a payload of at most ${longestCommand} bytes, got ${size}` : null
}

/** Calls `stop` once when the signal is or gets aborted; the returned function forgets about it. */
function onAbort(signal: AbortSignal | undefined, stop: () => void): () => void {
  if (signal?.aborted) queueMicrotask(stop)
  signal?.addEventListener('abort', stop, { once: true })
  return () => signal?.removeEventListener('abort', stop)
}

/** One command on a connection of its own, which HAProxy closes after the answer. Never rejects. */
export function ask(path: string, command: string, limits: CliLimits = {}): Promise<Answer> {
  const { timeout = defaultTimeout, longest = defaultLongest, signal } = limits
  const problem = commandProblem(command, undefined)
  if (problem !== null) return Promise.resolve(silence(path, 'bad-command', problem))
  return new Promise((resolve) => {
    const parts: string[] = []
    let size = 0
    const socket = connect({ path })
    const finish = (answer: Answer) => {
      clearTimeout(timer)
      forget()
      socket.destroy()
      resolve(answer)
    }
    const timer = setTimeout(() => finish(silence(path, 'timeout', `no answer within ${timeout} ms`)), timeout)
    const forget = onAbort(signal, () => finish(silence(path, 'aborted')))
    socket.setEncoding('utf8')
    socket.on('error', (error) => finish(silenceOf(path, error)))
    socket.on('data', (text: string) => {
      size += text.length
      if (size > longest) finish(silence(path, 'too-long', `an answer longer than ${longest} characters`))
      else parts.push(text)
    })
    socket.on('end', () => finish({ ok: true, answer: parts.join('').replace(/\n+$/, '') }))
    socket.on('close', () => finish(silence(path, 'closed', 'HAProxy closed the connection')))
    // the master's CLI answers at once but closes only after we did
    socket.end(`${command}\n`)
  })
}

interface Waiting {
  readonly hasPayload: boolean
  readonly settle: (answer: Answer) => void
}

/** Cuts the stream at prompts and gives each piece to the command that waits longest. */
function createPipeline(socket: Socket, path: string, timeout: Ms, longest: number) {
  const waiting: Waiting[] = []
  let parts: string[] = []
  let size = 0
  /** End of what was read, kept back because a prompt may be cut between two chunks. */
  let rest = ''
  let broken: Silence | null = null
  let timer: NodeJS.Timeout | null = null
  let isCorked = false

  const fail = (why: Silence) => {
    if (broken !== null) return
    broken = why
    if (timer !== null) clearTimeout(timer)
    socket.destroy()
    for (const { settle } of waiting.splice(0)) settle(why)
  }

  const watch = () => {
    if (timer !== null) clearTimeout(timer)
    timer =
      waiting.length === 0
        ? null
        : setTimeout(() => fail(silence(path, 'timeout', `no answer within ${timeout} ms`)), timeout)
  }

  const finish = (text: string) => {
    const first = waiting.shift()
    if (first === undefined) return fail(silence(path, 'closed', 'HAProxy answered what was not asked'))
    // in payload mode 2.6 and 3.0 prompt for each line with `+ `
    const answer = first.hasPayload ? text.replace(/^(?:\+ )+/, '') : text
    first.settle({ ok: true, answer: answer.replace(/\n+$/, '') })
  }

  const keep = (text: string) => {
    parts.push(text)
    size += text.length
    if (size > longest) fail(silence(path, 'too-long', `an answer longer than ${longest} characters`))
  }

  const read = (chunk: string) => {
    const text = rest + chunk
    let from = 0
    for (let at = text.indexOf(prompt); at >= 0; at = text.indexOf(prompt, from)) {
      keep(text.slice(from, at))
      if (broken !== null) return
      finish(parts.join(''))
      parts = []
      size = 0
      from = at + prompt.length
      watch()
    }
    const end = Math.max(from, text.length - prompt.length + 1)
    keep(text.slice(from, end))
    rest = text.slice(end)
  }

  const send = (command: string, payload?: readonly string[]): Promise<Answer> => {
    const problem = commandProblem(command, payload)
    if (problem !== null) return Promise.resolve(silence(path, 'bad-command', problem))
    if (broken !== null) return Promise.resolve(broken)
    return new Promise((resolve) => {
      waiting.push({ hasPayload: payload !== undefined, settle: resolve })
      if (timer === null) watch()
      if (!isCorked) {
        isCorked = true
        socket.cork()
        process.nextTick(() => {
          isCorked = false
          socket.uncork()
        })
      }
      socket.write(payload === undefined ? `${command}\n` : `${command}\n${payload.join('\n')}\n\n`)
    })
  }

  return { send, read, fail }
}

/**
 * A connection for many commands, in `prompt` mode: an answer ends where the next prompt stands, so its length need not
 * be known. Each answer has `limits.timeout` from the one before it; after any failure the connection is closed
 * and every command gets that failure.
 *
 * It stays with the worker that accepted it and keeps that worker alive: close it before or right after a reload.
 */
export async function connectRuntime(
  path: string,
  limits: CliLimits = {},
): Promise<{ readonly ok: true; readonly runtime: Runtime } | Silence> {
  const { timeout = defaultTimeout, longest = defaultLongest, signal } = limits
  const socket = connect({ path })
  const pipeline = createPipeline(socket, path, timeout, longest)
  const forget = onAbort(signal, () => pipeline.fail(silence(path, 'aborted')))
  socket.setEncoding('utf8')
  socket.on('data', pipeline.read)
  socket.on('error', (error) => pipeline.fail(silenceOf(path, error)))
  socket.on('close', () => {
    pipeline.fail(silence(path, 'closed', 'HAProxy closed the connection'))
    forget()
  })
  const greeting = await pipeline.send('prompt')
  if (!greeting.ok) return greeting
  return {
    ok: true,
    runtime: {
      ask: pipeline.send,
      takesPayload: true,
      close: () => pipeline.fail(silence(path, 'closed', 'the connection was closed on our side')),
    },
  }
}
