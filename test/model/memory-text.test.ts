import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, emptyMemory } from '../../src/model/decide.ts'
import { applyChanges, decodeChanges, encodeChanges } from '../../src/model/memory-changes.ts'
import { decodeCheckpoint, decodeMemory, encodeCheckpoint, encodeMemory } from '../../src/model/memory-text.ts'
import type { Memory } from '../../src/types.ts'
import { arbitraryMemories, arbitraryMemory } from '../support/memories.ts'
import { decideFor, routed, settings, worldOf } from '../support/worlds.ts'

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

describe('a checkpoint', () => {
  const id = '0123456789abcdef'
  const text = [...encodeCheckpoint(remembered, id)].join('')

  it('is a memory with an id, and a memory that has none is read as one', () => {
    expect(decodeCheckpoint(text)).toEqual({ kind: 'ok', memory: remembered, id })
    expect(decodeCheckpoint(encodeMemory(remembered))).toEqual({ kind: 'ok', memory: remembered, id: null })
  })

  it.each([
    ['no id', text.replace(`"id":"${id}"`, '"other":1')],
    ['an id that leads elsewhere', text.replace(id, '../../etc/passwd')],
    ['a later format', text.replace('"format":2', '"format":3')],
    ['a missing field', text.replace('"owners"', '"others"')],
  ])('is not taken from a text with %s', (_what, spoilt) => {
    expect(decodeCheckpoint(spoilt)).toEqual({ kind: 'invalid', why: expect.any(String) })
  })
})

describe('changes of memory', () => {
  const line = (before: Memory, after: Memory) => [...encodeChanges(before, after)].join('')
  const changesOf = (text: string) => {
    const decoded = decodeChanges(text)
    if (decoded.kind !== 'ok') throw new Error(decoded.why)
    return decoded.changes
  }

  it('lead from any memory to any other, in one line', () => {
    fc.assert(
      fc.property(arbitraryMemories, (memories) => {
        const [first = emptyMemory, ...later] = memories
        const lines = later.map((after, index) => line(memories[index] ?? first, after))
        expect(lines.filter((one) => one.indexOf('\n') !== one.length - 1)).toEqual([])
        const led = applyChanges(first, lines.map(changesOf))
        expect(led).toEqual(memories.at(-1))
        const decoded = decodeMemory(encodeMemory(led))
        // and in the order in which a whole one is read back
        if (later.length > 0) expect(decoded.kind === 'ok' && orderOf(decoded.memory)).toEqual(orderOf(led))
      }),
    )
  })

  it('are as large as what has changed', () => {
    const instances = Array.from({ length: 500 }, (_, at) => routed(`web-${at}`, [`/${at}`]))
    const before = decideFor(instances).memory
    const after = decide(worldOf(instances.slice(1)), before, settings).memory
    expect(encodeMemory(before).length).toBeGreaterThan(300_000)
    expect(line(before, after).length).toBeLessThan(2_000)
    expect(line(before, before)).toBe('{"catalog":[],"engines":[],"owners":[],"services":[]}\n')
  })

  it.each([
    ['nothing', ''],
    ['half a line', line(emptyMemory, remembered).slice(0, -20)],
    ['no object', '[]'],
    ['a field of another type', line(emptyMemory, remembered).replace('"createIndex":100', '"createIndex":"100"')],
    ['an entry that is none', '{"owners":[["a"]]}'],
  ])('are not taken from %s', (_what, text) => {
    expect(decodeChanges(text)).toEqual({ kind: 'invalid', why: expect.any(String) })
  })

  it('bring no route that the grammar would not take', () => {
    const spoilt = line(emptyMemory, remembered).replace('"path":"/api"', '"path":"/api\\nserver evil"')
    const { services } = applyChanges(emptyMemory, [changesOf(spoilt)])
    expect([services.get('shop')?.routes.size, services.get('a')?.routes.size]).toEqual([1, 1])
  })
})

function orderOf({ catalog, engines, owners, services }: Memory) {
  const maps = [catalog.services, engines, ...engines.values(), owners, services]
  return maps.map((map) => [...map.keys()])
}
