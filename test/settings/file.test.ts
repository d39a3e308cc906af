import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { largestFile, readSettingsFile } from '../../src/settings/file.ts'
import { problemsOf, settingsOf } from './load.ts'

let folder = ''
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heddle-'))
})
afterAll(() => rm(folder, { recursive: true }))

describe('a settings file', () => {
  it('keeps the spelling of plain values', () => {
    const yaml = 'files: {mode: 0640}\nconsul: {token: 0123456789, datacenter: 1e3}\nhaproxy: {accessLog: on}'
    const settings = settingsOf({ yaml })
    expect(settings.files.mode).toBe(0o640)
    expect(settings.consul).toMatchObject({ token: '0123456789', datacenter: '1e3' })
    expect(settings.haproxy.accessLog).toBe(true)
  })

  it('may be empty, or nothing but remarks', () => {
    for (const yaml of ['', '\n', '# nothing yet\n', '---\n', '{}', '\ufeffconsul: {}'])
      expect(settingsOf({ yaml })).toEqual(settingsOf())
  })

  it.each([
    ['a group that is a text', 'consul: abc', 'consul', 1],
    ['a group that is a list', 'log:\n  - level', 'log', 2],
    ['a whole that is a list', '- consul', '', 1],
    ['a setting that is a map', 'log:\n  level: {a: b}', 'log.level', 2],
    ['a list that is a text', 'haproxy:\n  bind: ":80"', 'haproxy.bind', 2],
    ['an address in brackets without quotes', 'haproxy:\n  bind: [[::]:80]', 'haproxy.bind', 2],
    ['an unknown group', 'consul: {}\nhaprxy: {}', 'haprxy', 2],
    ['a dotted key', 'consul.address: x', 'consul.address', 1],
    ['a merge key', '<<: {a: b}', '…', 1],
    ['a prototype', '__proto__: {a: b}', '__proto__', 1],
    ['an inherited name', 'constructor: {a: b}', 'constructor', 1],
    ['a key that is no text', '? [a]\n: b', '', 1],
    ['an alias', 'log: {level: &a info, format: *a}', 'log.format', 1],
    ['the same key twice', 'log: {}\nlog: {}', '', 2],
    ['tabs', 'log:\n\tlevel: info', '', 2],
    ['two documents', 'log: {}\n---\nlog: {}', '', 2],
    ['an unknown tag', 'log:\n  level: !x info', '', 2],
    ['an open quote', 'log:\n  level: "info', '', 2],
  ])('refuses %s and says where', (_, yaml, key, line) => {
    const [problem, ...others] = problemsOf({ yaml })
    expect(others).toEqual([])
    expect(problem).toMatchObject({ key, where: `/etc/heddle.yaml:${line}` })
  })

  it.each([
    ['bind: [":80"]', 'haproxy.bind'],
    ['haproxy: {timeout: {}}', 'haproxy.timeouts'],
    ['haproxy: {max_old_workers: 2}', 'haproxy.maxOldWorkers'],
    ['consul: {TOKEN: x}', 'consul.token'],
    ['consul.address: x', 'consul.address, as maps inside each other'],
    ['haproxy: {timeouts.connect: 2s}', 'haproxy.timeouts.connect, as maps inside each other'],
  ])('guesses what %s was meant for', (yaml, guess) => {
    expect(problemsOf({ yaml })).toMatchObject([{ expected: `a setting that exists (did you mean ${guess}?)` }])
  })

  it('guesses nothing where nothing is near', () => {
    expect(problemsOf({ yaml: 'elephant: 1' })).toMatchObject([{ expected: 'a setting that exists' }])
  })

  it('names the line of a value deep inside a list or a map', () => {
    const yaml = 'weave:\n  docker:\n    host1:\n      url: tcp://a:1\n      ca: ca.pem\n'
    expect(problemsOf({ yaml })).toMatchObject([
      { key: 'weave.docker.host1.ca', where: '/etc/heddle.yaml:5', got: '"ca.pem"' },
    ])
  })
})

describe('a file that means harm', () => {
  const levels = largestFile / 2
  it.each([
    ['brackets', '['.repeat(levels)],
    ['closed brackets', '['.repeat(levels / 2) + ']'.repeat(levels / 2)],
    ['maps', '{a: '.repeat(levels / 4)],
    ['lists', '- '.repeat(levels / 2)],
    ['indentation', Array.from({ length: 300 }, (_, index) => `${' '.repeat(index)}a:`).join('\n')],
  ])('is refused for its depth: %s', (_, yaml) => {
    expect(problemsOf({ yaml })).toMatchObject([{ expected: 'at most 16 levels of nesting' }])
    expect(problemsOf({ env: { HEDDLE_WEAVE_DOCKER: yaml.slice(0, 60_000) } })).toHaveLength(1)
  })

  it('is refused when it grows by aliases', () => {
    const lines = ['a: &a [x, x, x, x, x, x, x, x]']
    for (let index = 1; index < 30; index += 1) {
      const [name, earlier] = [index, index - 1].map((number) => (number === 0 ? 'a' : `a${number}`))
      lines.push(`${name}: &${name} [${Array(8).fill(`*${earlier}`).join(', ')}]`)
    }
    expect(problemsOf({ yaml: `weave:\n  docker: {${lines.join(', ')}}` })).toMatchObject([{ key: 'weave.docker' }])
    expect(problemsOf({ yaml: lines.join('\n') })).toHaveLength(30)
  })

  it('is refused for its size', () => {
    expect(problemsOf({ yaml: `#${'x'.repeat(largestFile)}` })).toMatchObject([
      { expected: `at most ${largestFile} bytes` },
    ])
  })
})

describe('reading a file', () => {
  it('gives path and text', async () => {
    const path = join(folder, 'heddle.yaml')
    await writeFile(path, 'log: {level: debug}\n')
    expect(await readSettingsFile(path)).toEqual({ kind: 'ok', file: { path, text: 'log: {level: debug}\n' } })
  })

  it('stops at the largest size, even where no size is known', async () => {
    expect(await readSettingsFile('/dev/zero')).toMatchObject({
      problems: [{ expected: `at most ${largestFile} bytes` }],
    })
  })

  it('takes a pipe', async () => {
    const path = join(folder, 'pipe')
    execFileSync('mkfifo', [path])
    const [read] = await Promise.all([readSettingsFile(path), writeFile(path, 'log: {}')])
    expect(read).toMatchObject({ kind: 'ok', file: { text: 'log: {}' } })
  })

  it('reports a missing file, a folder and bytes that are no text', async () => {
    const binary = join(folder, 'binary')
    await writeFile(binary, Buffer.from([0xff, 0xfe, 0x00]))
    const missing = join(folder, 'missing')
    expect(await readSettingsFile(missing)).toMatchObject({ problems: [{ got: 'ENOENT', where: missing }] })
    expect(await readSettingsFile(folder)).toMatchObject({ problems: [{ got: 'EISDIR' }] })
    expect(await readSettingsFile(binary)).toMatchObject({ problems: [{ expected: 'text in UTF-8' }] })
  })
})
