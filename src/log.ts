import { writeSync } from 'node:fs'
import { type Logger, pino } from 'pino'
import { codeOf } from './errors.ts'
import { escapeUnprintable, hideUserinfo } from './printable.ts'
import type { Settings } from './settings/schema.ts'

/**
 * Object first, then a constant lower-case message: `log.info({ service }, 'route added')`. Errors under `err`.
 * There are no child loggers: they would keep the level they were made with.
 */
export type Log = Pick<Logger, 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal'>

export type LogLevel = Settings['log']['level']
export type LogFormat = Settings['log']['format']

/** Takes whole lines, each with its newline at the end. */
export interface LogDestination {
  readonly write: (line: string) => void
}

export interface LogOptions {
  readonly level: LogLevel
  /** `auto`: pretty on a terminal, JSON otherwise. */
  readonly format: LogFormat
  readonly isTerminal: boolean
  /** Default: on a terminal. The caller looks at NO_COLOR. */
  readonly isColoured?: boolean
  /** Default: stderr. */
  readonly destination?: LogDestination
}

export interface LogControl {
  readonly log: Log
  /** Counts from the next line on. */
  readonly change: (settings: { readonly level: LogLevel; readonly format: LogFormat }) => void
}

/** Second line of defence: nothing secret should be given to the log in the first place. */
const secretNames = ['token', 'password', 'secret', 'authorization', 'x-consul-token', 'X-Consul-Token']
const secretPaths = ['', '*.', '*.*.', '*.*.*.'].flatMap((depth) =>
  secretNames.map((name) => (name.includes('-') ? `${depth.replace(/\.$/, '')}["${name}"]` : `${depth}${name}`)),
)

export function createLogger(options: LogOptions): LogControl {
  const { isTerminal, isColoured = isTerminal, destination = stderr } = options
  const isPrettyWith = (format: LogFormat) => (format === 'auto' ? isTerminal : format === 'pretty')
  let isPretty = isPrettyWith(options.format)
  const logger = pino(
    {
      level: options.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      serializers: { err: describeError, error: describeError },
      redact: { paths: secretPaths, censor: '(set)' },
    },
    {
      write: (line: string) => {
        const clean = escapeUnprintable(hideUserinfo(line.trimEnd(), '(hidden)'))
        destination.write(`${isPretty ? prettyLine(clean, isColoured) : clean}\n`)
      },
    },
  )
  return {
    log: logger,
    change: ({ level, format }) => {
      logger.level = level
      isPretty = isPrettyWith(format)
    },
  }
}

interface ErrorText {
  readonly type: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
}

/** Only what is known to be harmless: other properties of an error hold requests, headers, options. */
function describeError(error: unknown): ErrorText | string {
  if (!(error instanceof Error)) return String(error)
  const messages: string[] = []
  for (let next: unknown = error; next instanceof Error && messages.length < 5; next = next.cause) {
    if (next.message !== '') messages.push(next.message)
  }
  return {
    type: error.name,
    message: messages.join(': '),
    ...('code' in error ? { code: String(error.code) } : {}),
    ...(error.stack === undefined ? {} : { stack: error.stack }),
  }
}

const colours = new Map([
  ['trace', 90],
  ['debug', 90],
  ['info', 32],
  ['warn', 33],
  ['error', 31],
  ['fatal', 31],
])

/**
 * `12:00:03.123 WARN  message key=value`, from a JSON line; for eyes, with the time of day in UTC. Of an error the
 * message; its stack only where heddle itself is at fault.
 */
function prettyLine(line: string, isColoured: boolean): string {
  const { level, time, msg, ...fields }: Record<string, unknown> = JSON.parse(line)
  const paint = (code: number, text: string) => (isColoured ? `\u001b[${code}m${text}\u001b[0m` : text)
  const name = String(level)
  const parts = [
    paint(90, String(time).slice(11, 23)),
    paint(colours.get(name) ?? 0, name.toUpperCase().padEnd(5)),
    escapeUnprintable(String(msg ?? '')),
  ]
  const stacks: string[] = []
  for (const [key, value] of Object.entries(fields)) {
    const isError = typeof value === 'object' && value !== null && 'message' in value
    parts.push(`${paint(90, `${escapeUnprintable(key)}=`)}${printValue(isError ? value.message : value)}`)
    if (isError && name === 'fatal' && 'stack' in value) {
      stacks.push(
        ...String(value.stack)
          .split('\n')
          .map((text) => `\n    ${escapeUnprintable(text.trim())}`),
      )
    }
  }
  return parts.join(' ') + stacks.join('')
}

function printValue(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@%+,*-]+$/.test(value)) return value
  return escapeUnprintable(JSON.stringify(value) ?? 'null')
}

/** How long a full pipe may hold the process up before a line is given up. */
const longestWait = 2_000

/**
 * Writes before it returns, so that nothing is lost when the process ends; a reader that has gone or does not read
 * costs lines, never the service.
 */
/** Set while lines are given up: nobody reads, and the next line is not waited for. */
let isStuck = false
const stderr: LogDestination = {
  write(line) {
    let rest = Buffer.from(line)
    const deadline = performance.now() + longestWait
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(2, rest))
        isStuck = false
      } catch (error) {
        const isFull = codeOf(error) === 'EAGAIN'
        if (!isFull || isStuck || performance.now() > deadline) {
          isStuck = isFull
          return
        }
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
      }
    }
  },
}
