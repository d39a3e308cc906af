import fc from 'fast-check'
import { expect, it } from 'vitest'
import { changedKeys } from '../src/same.ts'

const objects = Array.from({ length: 3 }, (_, number) => ({ number }))
const map = fc
  .uniqueArray(fc.tuple(fc.constantFrom(...'abcdefgh'), fc.constantFrom(...objects)), { selector: ([key]) => key })
  .map((entries) => new Map(entries))

it('the changed keys of two maps are those whose objects differ, in whatever order the maps are', () => {
  fc.assert(
    fc.property(map, map, (before, after) => {
      const differing = [...'abcdefgh'].filter((key) => before.get(key) !== after.get(key))
      expect([...changedKeys(before, after)].sort()).toEqual(differing)
    }),
    { numRuns: 2000 },
  )
})
