import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createLogger, type LogOptions } from '../src/log.ts'
import { escapeUnprintable } from '../src/printable.ts'

function createRecorded(options: Partial<LogOptions> = {}) {
  const lines: string[] = []
  const { log, change } = createLogger({
    level: 'info',
    format: 'json',
    isTerminal: false,
    ...options,
    destination: { write: (line) => lines.push(line) },
  })
  return { log, change, lines, last: (): unknown => JSON.parse(lines.at(-1) ?? '') }
}

const time = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

describe('a JSON line', () => {
  it('holds level, time, fields and message, and nothing else', () => {
    const { log, lines, last } = createRecorded()
    log.info({ service: 'shop', routes: 3 }, 'routes changed')
    expect(last()).toEqual({
      level: 'info',
      time: expect.stringMatching(time),
      service: 'shop',
      routes: 3,
      msg: 'routes changed',
    })
    expect(lines[0]?.endsWith('\n')).toBe(true)
  })

  it('tells of an error its message and causes, none of its other properties', () => {
    const { log, last } = createRecorded()
    const cause = new Error('connect ECONNREFUSED 127.0.0.1:8500')
    const error = Object.assign(new Error('no answer', { cause }), { code: 'EX', headers: { cookie: 'CANARY' } })
    log.warn({ err: error }, 'consul failed')
    expect(last()).toMatchObject({
      err: { type: 'Error', code: 'EX', message: 'no answer: connect ECONNREFUSED 127.0.0.1:8500' },
    })
    expect(JSON.stringify(last())).not.toContain('CANARY')
  })

  it('survives errors that are none', () => {
    const { log, last } = createRecorded()
    log.warn({ err: 'text', error: null }, 'odd')
    expect(last()).toMatchObject({ err: 'text', error: 'null' })
  })
})

describe('a pretty line', () => {
  const withoutTime = (line = '') => line.replace(/^\d\d:\d\d:\d\d\.\d{3} /, '')

  it('is time, level, message and fields', () => {
    const { log, lines } = createRecorded({ format: 'pretty' })
    log.warn({ service: 'shop', reasons: ['new-backend'], why: 'two words' }, 'reload held')
    expect(lines[0]).toMatch(/^\d\d:\d\d:\d\d\.\d{3} WARN {2}reload held /)
    expect(withoutTime(lines[0])).toBe('WARN  reload held service=shop reasons=["new-backend"] why="two words"\n')
  })

  it('shows the message of an error, and its stack only when heddle is at fault', () => {
    const { log, lines } = createRecorded({ format: 'pretty' })
    log.error({ err: new Error('no answer') }, 'consul failed')
    expect(withoutTime(lines[0])).toBe('ERROR consul failed err="no answer"\n')
    log.fatal({ err: new TypeError('x is undefined') }, 'bug')
    expect(lines[1]).toMatch(/err="x is undefined"\n {4}TypeError: x is undefined\n {4}at /)
  })

  it('has colours on a terminal, and not where they are unwanted', () => {
    const sequence = '\u001b['
    const onTerminal = createRecorded({ format: 'auto', isTerminal: true })
    onTerminal.log.info('here')
    expect(onTerminal.lines[0]).toContain(`${sequence}32mINFO `)
    for (const options of [{ isTerminal: true, isColoured: false }, { isTerminal: false }]) {
      const { log, lines } = createRecorded({ format: 'pretty', ...options })
      log.info('here')
      expect(lines[0]).not.toContain(sequence)
    }
  })
})

describe('format and level', () => {
  it.each([
    ['auto', true, false],
    ['auto', false, true],
    ['pretty', false, false],
    ['json', true, true],
  ] as const)('%s with a terminal: %s gives JSON: %s', (format, isTerminal, isJson) => {
    const { log, lines } = createRecorded({ format, isTerminal, isColoured: false })
    log.info('here')
    expect(lines[0]?.startsWith('{')).toBe(isJson)
  })

  it('change while heddle runs', () => {
    const { log, change, lines } = createRecorded()
    log.debug('unseen')
    change({ level: 'debug', format: 'pretty' })
    log.debug('seen')
    change({ level: 'error', format: 'json' })
    log.warn('unseen')
    expect(lines).toHaveLength(1)
    expect(lines[0]).toContain('DEBUG seen')
  })
})

describe('what must not reach the log', () => {
  it.each(['token', 'password', 'authorization', 'X-Consul-Token', 'x-consul-token'])(
    '%s is hidden at any depth',
    (name) => {
      for (const format of ['json', 'pretty'] as const) {
        const { log, lines } = createRecorded({ format })
        log.info({ [name]: 'CANARY' }, 'a')
        log.info({ consul: { [name]: 'CANARY' } }, 'b')
        log.info({ request: { headers: { [name]: 'CANARY' } } }, 'c')
        log.info({ a: { b: { c: { [name]: 'CANARY' } } } }, 'd')
        expect(lines.join('')).not.toContain('CANARY')
        expect(lines).toHaveLength(4)
      }
    },
  )

  it('the password in a URL is hidden, wherever the URL stands', () => {
    const { log, lines, last } = createRecorded()
    log.info(
      { url: 'http://u:CANARY@h:1/x', err: new Error('GET https://CANARY@h failed') },
      'asked http://u:CA/NARY@h',
    )
    expect(lines.join('')).not.toMatch(/CANARY|NARY/)
    expect(last()).toMatchObject({ url: 'http://(hidden)@h:1/x', msg: 'asked http://(hidden)@h' })
  })

  it('no text can add a line, or control a terminal', () => {
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc
        .array(fc.constantFrom('\n', '\r', '\u001b[31m', '\u009b', '\u202e', '\u2028', '\ud800', '"', '\\', 'a'))
        .map((parts) => parts.join('')),
    )
    fc.assert(
      fc.property(text, text, text, fc.constantFrom('json', 'pretty'), (message, name, value, format) => {
        const { log, lines } = createRecorded({ format })
        log.info({ [name]: value, list: [value], err: new Error(value) }, message)
        expect(lines).toHaveLength(1)
        const line = lines[0]?.slice(0, -1) ?? ''
        expect(escapeUnprintable(line)).toBe(line)
      }),
      { numRuns: 2_000 },
    )
  })

  it('a JSON line stays JSON with the same values', () => {
    const unit = fc.constantFrom('\n', '\u001b', '\u009b', '\u202e', '"', '\\', '/', 'ä', '😀')
    fc.assert(
      fc.property(fc.string({ unit }), (value) => {
        const { log, last } = createRecorded()
        log.info({ value }, 'here')
        expect(last()).toMatchObject({ value })
      }),
    )
  })
})

describe('stderr', () => {
  const project = resolve(import.meta.dirname, '..')
  let folder = ''

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'heddle-'))
    symlinkSync(join(project, 'node_modules'), join(folder, 'node_modules'))
    writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
    const compilerOptions = { rootDir: join(project, 'src'), outDir: folder, noEmit: false }
    const config = {
      extends: join(project, 'tsconfig.json'),
      compilerOptions,
      files: [join(project, 'src/log.ts')],
      include: [],
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    execFileSync(join(project, 'node_modules/.bin/tsc'), ['-p', folder])
  })
  afterAll(() => rmSync(folder, { recursive: true }))

  const logging = (then: string) => [
    '--input-type=module',
    '-e',
    `import { createLogger } from './log.js'
     const { log } = createLogger({ level: 'info', format: 'json', isTerminal: false })
     for (let n = 0; n < 3000; n += 1) log.info({ n, filling: 'x'.repeat(200) }, 'line')
     ${then}`,
  ]

  it('has every line, also those written just before the end', () => {
    const { stderr, stdout, status } = spawnSync(process.execPath, logging('process.exit(7)'), {
      cwd: folder,
      encoding: 'utf8',
    })
    expect(status).toBe(7)
    expect(stdout).toBe('')
    const numbers = stderr
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line))
    expect(numbers).toHaveLength(3000)
    expect(numbers.at(-1)).toMatchObject({ n: 2999 })
  })

  it('may lose its reader without harm', async () => {
    const child = spawn(process.execPath, logging("console.log('still here')"), {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const said: string[] = []
    child.stdout.on('data', (text: Buffer) => said.push(String(text)))
    child.stderr.destroy()
    expect(await once(child, 'close')).toEqual([0, null])
    expect(said.join('')).toBe('still here\n')
  })
})
