import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { loadMemory, saveMemory } from '../../src/control/memory-file.ts'
import { emptyMemory } from '../../src/model/decide.ts'
import { decodeMemory, encodeMemory } from '../../src/model/memory-text.ts'
import type { Memory } from '../../src/types.ts'
import { arbitraryMemory } from '../support/memories.ts'
import { decideFor, noon, routed } from '../support/worlds.ts'

/** The same memory with the entries of all its maps, and the fields of its objects, the other way round. */
function reversed(value: unknown): unknown {
  if (value instanceof Map) return new Map([...value].reverse().map(([key, inner]) => [key, reversed(inner)]))
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, reversed(inner)]),
  )
}

const remembered = decideFor([
  routed('shop', ['shop.example.com/api strip timeout=30s', '/* redirect=301,/x']),
  routed('a', ['/a']),
]).memory

describe('memory as text', () => {
  it('reads back to the same memory, whatever it holds', () => {
    fc.assert(
      fc.property(arbitraryMemory('heddle'), (memory) => {
        expect(decodeMemory(encodeMemory(memory))).toEqual({ kind: 'ok', memory })
      }),
    )
  })

  it('is the same text for equal memories', () => {
    fc.assert(
      fc.property(arbitraryMemory('heddle'), (memory) => {
        const decoded = decodeMemory(encodeMemory(memory))
        if (decoded.kind !== 'ok') throw new Error(decoded.why)
        expect(encodeMemory(decoded.memory)).toBe(encodeMemory(memory))
        expect(encodeMemory(reversed(memory) as Memory)).toBe(encodeMemory(memory))
      }),
    )
  })

  it('keeps what a decision remembers', () => {
    expect(remembered.services.get('shop')?.routes.size).toBe(2)
    expect(decodeMemory(encodeMemory(remembered))).toEqual({ kind: 'ok', memory: remembered })
    expect(decodeMemory(encodeMemory(emptyMemory))).toEqual({ kind: 'ok', memory: emptyMemory })
  })

  it.each([
    ['nothing', ''],
    ['a torn text', encodeMemory(remembered).slice(0, -30)],
    ['no object', '[]'],
    ['no format', '{}'],
    ['a later format', encodeMemory(remembered).replace('"format":1', '"format":3')],
    ['a field of another type', encodeMemory(remembered).replace('"createIndex":100', '"createIndex":"100"')],
    ['a missing field', encodeMemory(remembered).replace('"owners"', '"others"')],
  ])('is not taken from %s', (_what, text) => {
    expect(decodeMemory(text)).toEqual({ kind: 'invalid', why: expect.any(String) })
  })

  it.each([
    ['a path', '"path":"/api"', '"path":"/api\\nserver evil"'],
    ['a host', '"host":"shop.example.com"', '"host":"shop.example.com }"'],
    ['a strip', '"strip":"/api"', '"strip":"/a b"'],
    ['a redirect', '"literal":"/x"', '"literal":"/x\\r\\nSet-Cookie: a=b"'],
    ['a redirect that leads away', '"literal":"/x"', '"literal":"//evil.example.com"'],
    ['a timeout', '"timeout":30000', '"timeout":-1'],
  ])('loses a route whose %s the grammar would not take', (_what, good, bad) => {
    const text = encodeMemory(remembered)
    expect(text).toContain(good)
    const decoded = decodeMemory(text.replace(good, bad))
    if (decoded.kind !== 'ok') throw new Error(decoded.why)
    expect(decoded.memory.services.get('shop')?.routes.size).toBe(1)
    expect(decoded.memory.services.get('a')?.routes.size).toBe(1)
  })
})

describe('the memory file', () => {
  let directory: string
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'heddle-memory-'))
  })
  afterEach(() => rm(directory, { recursive: true, force: true }))

  const path = () => join(directory, 'memory.json')

  it('is not there at first, and then gives back what was saved last', async () => {
    expect(await loadMemory(directory, noon)).toEqual({ kind: 'none' })
    await saveMemory(directory, emptyMemory)
    expect(await saveMemory(directory, remembered)).toEqual({ kind: 'saved', bytes: expect.any(Number) })
    expect(await loadMemory(directory, noon)).toEqual({ kind: 'loaded', memory: remembered })
    expect((await lstat(path())).mode & 0o137).toBe(0)
    expect(await readdir(directory)).toEqual(['memory.json'])
  })

  it.each<[string, string, () => Promise<unknown>]>([
    ['corrupt', 'expected JSON', () => writeFile(path(), '{"format":1,"catalog":[[')],
    ['of another program', 'format number', () => writeFile(path(), '{"hello":"world"}')],
    ['of a later version', 'expected format 1', () => writeFile(path(), '{"format":9}')],
    ['a folder', 'regular file', () => mkdir(path())],
    [
      'writable by everybody',
      'everybody may write',
      () => writeFile(path(), encodeMemory(remembered)).then(() => chmod(path(), 0o666)),
    ],
  ])('that is %s is set aside with the reason, and a new one can be saved', async (_what, why, spoil) => {
    await spoil()
    const loaded = await loadMemory(directory, noon)
    const as = join(directory, 'memory.json.bad-20260101T120000000Z')
    expect(loaded).toEqual({ kind: 'set-aside', why: expect.stringContaining(why), as })
    expect(await readdir(directory)).toEqual(['memory.json.bad-20260101T120000000Z'])
    await saveMemory(directory, remembered)
    expect(await loadMemory(directory, noon)).toEqual({ kind: 'loaded', memory: remembered })
  })

  it('that is a link is set aside, and nothing is read or written where it points', async () => {
    const target = join(directory, 'passwd')
    await writeFile(target, encodeMemory(remembered))
    await symlink(target, path())
    await symlink(target, `${path()}.tmp`)
    expect(await saveMemory(directory, emptyMemory)).toMatchObject({ kind: 'saved' })
    expect(await readFile(target, 'utf8')).toBe(encodeMemory(remembered))
    await rm(path())
    await symlink(target, path())
    expect(await loadMemory(directory, noon)).toMatchObject({ kind: 'set-aside', why: expect.stringContaining('link') })
  })

  it('keeps the newest three of those set aside', async () => {
    for (let day = 0; day < 5; day++) {
      await writeFile(path(), 'bad')
      await loadMemory(directory, noon + day * 86_400_000)
    }
    expect(await readdir(directory)).toEqual(['03', '04', '05'].map((day) => `memory.json.bad-202601${day}T120000000Z`))
  })

  it('stays as it was when the new one cannot be written', async () => {
    await saveMemory(directory, remembered)
    await mkdir(`${path()}.tmp`)
    expect(await saveMemory(directory, emptyMemory)).toEqual({ kind: 'failed', why: expect.any(String) })
    expect(await loadMemory(directory, noon)).toEqual({ kind: 'loaded', memory: remembered })
  })

  it('forgets what a crash left half written', async () => {
    await saveMemory(directory, remembered)
    await writeFile(`${path()}.tmp`, '{"format":1,')
    expect(await loadMemory(directory, noon)).toEqual({ kind: 'loaded', memory: remembered })
    expect(await readdir(directory)).toEqual(['memory.json'])
  })
})
