import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { longListReader } from '../../src/sources/consul/long-list.ts'

const bytes = (document: unknown, space?: string) => Buffer.from(JSON.stringify(document, null, space))
const asIs = (value: unknown) => value
const nodeWith = (services: object) => ({ Node: { Node: 'host1', Meta: { Services: '{' } }, Services: services })

/** Text with all that has a meaning in JSON, which a name in the catalog may have too. */
const text = fc.string({ unit: fc.constantFrom(...'ab"\\{}[],: \n', 'é', '\u{1f600}'), maxLength: 6 })
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { maxDepth: 2 },
    text,
    fc.integer(),
    fc.constantFrom(null, true),
    fc.array(tie('any'), { maxLength: 3 }),
    fc.dictionary(text, tie('any'), { maxKeys: 3 }),
  ),
})).any

describe('a long list that is read again and again', () => {
  it('is read as if each document were the first', () => {
    const lists = fc.array(fc.array(value, { maxLength: 5 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(lists, fc.constantFrom(undefined, ' ', '\t'), (documents, space) => {
        const read = longListReader(null, asIs)
        for (const document of documents) {
          expect(read(bytes(document, space))).toEqual({ rest: [], entries: document })
        }
      }),
    )
  })

  it('and so are the members of an object', () => {
    const lists = fc.array(fc.dictionary(text, value, { maxKeys: 5 }), { minLength: 1, maxLength: 5 })
    fc.assert(
      fc.property(lists, fc.constantFrom(undefined, ' '), (documents, space) => {
        const read = longListReader('Services', asIs)
        for (const services of documents) {
          const document = bytes(nodeWith(services), space)
          expect(read(document)).toEqual({ rest: nodeWith({}), entries: Object.values(services) })
        }
      }),
    )
  })

  it('is read right when a few of many entries have changed, come and gone', () => {
    const entries = fc.array(fc.record({ id: text, tags: fc.array(text, { maxLength: 2 }) }), {
      minLength: 5,
      maxLength: 12,
    })
    const change = fc.record({ at: fc.nat(12), without: fc.nat(2), put: fc.array(value, { maxLength: 2 }) })
    fc.assert(
      fc.property(entries, fc.array(change, { maxLength: 6 }), (first, changes) => {
        const read = longListReader(null, asIs)
        let document: readonly unknown[] = first
        read(bytes(document))
        for (const { at, without, put } of changes) {
          document = document.toSpliced(at, without, ...put)
          expect(read(bytes(document)).entries).toEqual(document)
        }
      }),
    )
  })

  it('decodes what has changed, and nothing else', () => {
    const decoded: unknown[] = []
    const read = longListReader('Services', (entry) => {
      decoded.push(entry)
      return entry
    })
    const documents = [
      { a: 1, b: 2, c: 3, d: 4 },
      { a: 1, b: 2, c: 30, d: 4 },
      { a: 1, b: 2, d: 4 },
      { a: 1, b: 2, bb: 22, d: 4 },
      { a: 1, b: 2, bb: 22, d: 4, e: 5 },
      { a: 1, b: 2, bb: 22, d: 4, e: 50 },
      { a: 10, b: 2, bb: 22, d: 4, e: 50 },
    ]
    const fresh = documents.map((services) => {
      decoded.length = 0
      read(bytes(nodeWith(services)))
      return [...decoded]
    })
    // a neighbour is read too where its first characters or its comma may be another's
    expect(fresh).toEqual([[1, 2, 3, 4], [30], [4], [22, 4], [4, 5], [50], [10]])
  })

  it('is the same list when the document is', () => {
    const read = longListReader(null, (entry) => ({ entry }))
    const list = read(bytes([1, 2]))
    expect(read(bytes([1, 2]))).toBe(list)
    expect(read(bytes([1, 3])).entries[0]).toBe(list.entries[0])
  })

  it('decodes all of it when what is around it has changed', () => {
    const read = longListReader('Services', (entry, rest) => JSON.stringify([entry, rest]))
    read(bytes({ Node: 'a', Services: { x: 1, y: 2 } }))
    const { entries } = read(bytes({ Node: 'b', Services: { x: 1, y: 2 } }))
    expect(entries).toEqual([1, 2].map((entry) => JSON.stringify([entry, { Node: 'b', Services: {} }])))
  })

  it.each<[string, unknown]>([
    ['null', null],
    ['another kind of document', { Node: 'a', Other: { Services: { x: 1 } } }],
    ['a list of another kind', { Node: 'a', Services: null }],
    ['an array', [{ Services: { x: 1 } }]],
    ['text', 'Services'],
  ])('that is not there (%s) has no entries, and the rest is all there is', (_case, document) => {
    const read = longListReader('Services', asIs)
    read(bytes(nodeWith({ x: 1 })))
    expect(read(bytes(document))).toEqual({ rest: document, entries: [] })
    expect(read(bytes(nodeWith({ x: 1 }))).entries).toEqual([1])
  })

  it('that is not JSON is refused, and what comes next is read', () => {
    const read = longListReader(null, asIs)
    const good = '[{"a":1},{"b":2},{"c":3}]'
    read(Buffer.from(good))
    for (const broken of [
      '',
      '<html>',
      '[{"a":1},{"b":2},{"c":3}',
      '[{"a":1},{"b":2},]',
      '[{"a":1},,{"b":2},{"c":3}]',
      '[{"a":1},{"b":2]},{"c":3}]',
      '[{"a":1},{"b":"2},{"c":3}]',
      '[{"a":1},{"b":2}],{"c":3}]',
      '[{"a":1} {"b":2},{"c":3}]',
      '[{"a":1},{"b":2},{"c":3}] x',
    ]) {
      expect(() => read(Buffer.from(broken)), broken).toThrow(SyntaxError)
      expect(read(Buffer.from(good)).entries).toHaveLength(3)
    }
  })
})
