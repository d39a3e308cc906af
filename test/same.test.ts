import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { patched } from '../src/patched.ts'
import { changedKeys, sameEntries } from '../src/same.ts'

const objects = Array.from({ length: 3 }, (_, number) => ({ number }))
const keys = [...'abcdefgh']
const map = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...keys), fc.constantFrom(...objects)), { selector: ([key]) => key })
  .map((entries) => new Map(entries))
const patch = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...keys), fc.option(fc.constantFrom(...objects))), {
    selector: ([key]) => key,
    maxLength: 3,
  })
  .map((entries) => new Map(entries))

function expectCompared(before: ReadonlyMap<string, object>, after: ReadonlyMap<string, object>): void {
  const differing = keys.filter((key) => before.get(key) !== after.get(key))
  expect([...changedKeys(before, after)].sort()).toEqual(differing)
  expect(sameEntries(before, after)).toBe(differing.length === 0)
}

it('the changed keys of two maps are those whose objects differ, in whatever order the maps are', () => {
  fc.assert(fc.property(map, map, expectCompared), { numRuns: 2000 })
})

describe('a map that is patched', () => {
  it('is the same with other values under some keys, and what it was made from is as it was', () => {
    fc.assert(
      fc.property(map, patch, (before, changes) => {
        const copy = new Map(before)
        const after = patched(before, changes)
        for (const key of keys)
          expect(after.get(key)).toBe((changes.has(key) ? changes.get(key) : copy.get(key)) ?? undefined)
        expect(before).toEqual(copy)
      }),
    )
  })

  it('is compared rightly with all that it was made from, and with its kin', () => {
    const patches = fc.array(fc.tuple(fc.nat(20), patch), { maxLength: 20 })
    fc.assert(
      fc.property(map, patches, (first, changes) => {
        const all: ReadonlyMap<string, object>[] = [first]
        for (const [from, change] of changes)
          all.push(patched(all[Math.max(0, all.length - 1 - from)] ?? first, change))
        for (const before of all) for (const after of all) expectCompared(before, after)
      }),
    )
  })

  it('is compared with what it was made from without a look at all of it', () => {
    const looks: string[] = []
    class Counted extends Map<string, object> {
      override get(key: string) {
        looks.push(key)
        return super.get(key)
      }
    }
    const before = new Counted(keys.map((key) => [key, {}]))
    let after: ReadonlyMap<string, object> = before
    for (const key of ['b', 'c', 'b']) after = patched(after, new Map([[key, {}]]))
    looks.length = 0
    expect(changedKeys(before, after)).toEqual(new Set(['b', 'c']))
    expect(sameEntries(after, before)).toBe(false)
    expect(new Set(looks)).toEqual(new Set(['b', 'c']))
  })
})
