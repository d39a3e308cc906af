import { appendFile, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Journal, type JournalLimits, openJournal } from '../../src/control/journal.ts'
import type { RevisionRecord } from '../../src/types.ts'

let directory: string
const opened: Journal[] = []

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'heddle-journal-'))
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map((journal) => journal.close()))
  await rm(directory, { recursive: true, force: true })
})

async function openHere(limits: Partial<JournalLimits> = {}) {
  const result = await openJournal(directory, limits)
  if (result.kind === 'failed') throw new Error(result.why)
  opened.push(result.journal)
  return result
}

function record(number: number, change: Partial<RevisionRecord> = {}): RevisionRecord {
  const changes = { added: [], removed: [], changed: [] }
  return {
    number,
    hash: 'aaaaaaaaaaaa',
    routesHash: 'bbbbbbbbbbbb',
    at: 1_700_000_000_000 + number,
    action: 'runtime',
    reasons: [],
    cause: ['catalog'],
    diff: { routes: changes, servers: { ...changes, added: [`web/10.2.1.${number}:8080`] }, backends: changes },
    ...change,
  }
}

const fileNamed = (name: string) => join(directory, 'journal', name)

describe('the journal', () => {
  it('is empty in a new directory', async () => {
    expect(await openHere()).toMatchObject({ tail: [], lastNumber: 0, skipped: 0 })
  })

  it('gives back after a restart what was appended, in order', async () => {
    const first = await openHere()
    const records = [1, 2, 3, 4, 5].map((number) => record(number, { reasons: ['new\nbackend  "api"'] }))
    const outcomes = await Promise.all(records.map((one) => first.journal.append(one)))
    expect(outcomes).toEqual(records.map(() => ({ kind: 'written' })))
    await first.journal.close()
    expect(await openHere()).toMatchObject({ tail: records, lastNumber: 5, skipped: 0 })
  })

  it('is a file that others of no group of ours cannot read', async () => {
    await (await openHere()).journal.append(record(1))
    expect((await lstat(fileNamed('000001.jsonl'))).mode & 0o137).toBe(0)
  })

  it('passes over a line torn by a crash, and does not glue the next one to it', async () => {
    const { journal } = await openHere()
    await journal.append(record(1))
    await journal.close()
    await appendFile(fileNamed('000001.jsonl'), JSON.stringify(record(2)).slice(0, 40))
    const again = await openHere()
    expect(again).toMatchObject({ tail: [record(1)], lastNumber: 1, skipped: 1 })
    await again.journal.append(record(3))
    expect(await again.journal.read()).toEqual({ records: [record(1), record(3)], skipped: 1 })
  })

  it.each([
    ['no JSON', 'hello'],
    ['another shape', '{"number":7}'],
    ['a number that is none', JSON.stringify({ ...record(1), number: '7' })],
    ['an action that is none', JSON.stringify({ ...record(1), action: 'rm' })],
    ['null', 'null'],
    ['a later format', JSON.stringify({ format: 2, ...record(1) })],
    ['a format that is none', JSON.stringify({ format: '1', ...record(1) })],
    ['bytes that are no text', '\u0000\ufffd'],
  ])('passes over and counts a foreign line: %s', async (_what, line) => {
    await mkdir(join(directory, 'journal'))
    await writeFile(fileNamed('000001.jsonl'), `${line}\n${JSON.stringify(record(2))}\n`)
    expect(await openHere()).toMatchObject({ tail: [record(2)], lastNumber: 2, skipped: 1 })
  })

  it('reads lines that say no format, as the first ones did not', async () => {
    await mkdir(join(directory, 'journal'))
    await writeFile(fileNamed('000001.jsonl'), `${JSON.stringify(record(1))}\n`)
    const { journal, tail } = await openHere()
    expect(tail).toEqual([record(1)])
    await journal.append(record(2))
    expect(await journal.read()).toEqual({ records: [record(1), record(2)], skipped: 0 })
    expect(await readFile(fileNamed('000001.jsonl'), 'utf8')).toContain('\n{"format":1,"number":2,')
  })

  it('follows no link: what it points to keeps its bytes, and a new file is begun', async () => {
    const target = join(directory, 'passwd')
    await writeFile(target, 'root:x:0:0\n')
    await mkdir(join(directory, 'journal'))
    await symlink(target, fileNamed('000001.jsonl'))
    const { journal, skipped } = await openHere()
    expect(skipped).toBe(1)
    expect(await journal.append(record(1))).toEqual({ kind: 'written' })
    expect(await readFile(target, 'utf8')).toBe('root:x:0:0\n')
    expect(await readFile(fileNamed('000002.jsonl'), 'utf8')).toBe(`${JSON.stringify({ format: 1, ...record(1) })}\n`)
  })

  it('begins a new file beside a folder of that name', async () => {
    await mkdir(fileNamed('000003.jsonl'), { recursive: true })
    const { journal } = await openHere({ file: 10 })
    await journal.append(record(1))
    await mkdir(fileNamed('000005.jsonl'))
    await journal.append(record(2))
    expect(await readdir(join(directory, 'journal'))).toEqual([3, 4, 5, 6].map((ordinal) => `00000${ordinal}.jsonl`))
  })

  it('rotates by size and keeps its total bounded, the newest surviving', async () => {
    const size = JSON.stringify({ format: 1, ...record(100) }).length + 1
    const limits = { file: size * 3, total: size * 12 }
    const { journal } = await openHere(limits)
    for (let number = 100; number < 160; number++) await journal.append(record(number))
    const names = await readdir(join(directory, 'journal'))
    const sizes = await Promise.all(names.map(async (name) => (await lstat(fileNamed(name))).size))
    expect(Math.max(...sizes)).toBeLessThanOrEqual(limits.file)
    expect(sizes.reduce((a, b) => a + b)).toBeLessThanOrEqual(limits.total)
    const { records } = await journal.read()
    expect(records.map(({ number }) => number)).toEqual([148, 149, 150, 151, 152, 153, 154, 155, 156, 157, 158, 159])
    await journal.close()
    expect(await openHere({ ...limits, tail: 2 })).toMatchObject({ tail: [record(158), record(159)], lastNumber: 159 })
  })

  it('takes a line that is larger than a file should be', async () => {
    const { journal } = await openHere({ file: 100, total: 10_000 })
    for (const number of [1, 2, 3]) expect(await journal.append(record(number))).toEqual({ kind: 'written' })
    expect((await journal.read()).records).toHaveLength(3)
  })

  it('reads a range of numbers across files, the newest of too many', async () => {
    const { journal } = await openHere({ file: 1000 })
    for (let number = 1; number <= 20; number++) await journal.append(record(number))
    const numbers = async (range: Parameters<Journal['read']>[0]) =>
      (await journal.read(range)).records.map((one) => one.number)
    expect(await numbers({ from: 7, to: 9 })).toEqual([7, 8, 9])
    expect(await numbers({ from: 19 })).toEqual([19, 20])
    expect(await numbers({ to: 10, limit: 2 })).toEqual([9, 10])
    expect(await numbers({ from: 21 })).toEqual([])
  })

  it('reads no more than it should of a long one, and always its newest', async () => {
    const { journal } = await openHere({ file: 1000, read: 3000 })
    const numbers = async () => (await journal.read()).records.map((one) => one.number)
    for (let number = 1; number <= 40; number++) await journal.append(record(number))
    const read = await numbers()
    expect(read.length).toBeGreaterThan(5)
    expect(read.length).toBeLessThan(20)
    expect(read).toEqual(Array.from({ length: read.length }, (_, at) => 41 - read.length + at))
    await journal.append(record(41, { reasons: ['x'.repeat(10_000)] }))
    expect(await numbers()).toEqual([41])
  })

  it('says so when its directory cannot be used', async () => {
    await writeFile(join(directory, 'journal'), 'in the way')
    expect(await openJournal(directory)).toMatchObject({ kind: 'failed', why: expect.stringContaining('EEXIST') })
  })

  it('says so when a line cannot be written, and goes on when it can', async () => {
    const { journal } = await openHere({ file: 10 })
    await journal.append(record(1))
    await rm(join(directory, 'journal'), { recursive: true })
    expect(await journal.append(record(2))).toMatchObject({ kind: 'failed', why: expect.stringContaining('ENOENT') })
    await mkdir(join(directory, 'journal'))
    expect(await journal.append(record(3))).toEqual({ kind: 'written' })
    expect((await journal.read()).records).toEqual([record(3)])
    await journal.close()
    expect(await journal.append(record(4))).toEqual({ kind: 'failed', why: 'the journal is closed' })
  })
})
