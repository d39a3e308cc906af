import { keysApart } from './patched.ts'

/** True when two arrays hold the same objects in the same order. */
export function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a === b || (a.length === b.length && a.every((item, index) => item === b[index]))
}

/** True when two maps have the same objects under the same keys. */
export function sameEntries<V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  const keys = keysApart(a, b)
  if (keys !== null) return [...keys].every((key) => a.get(key) === b.get(key))
  let isSame = true
  // entries as arrays, as `for of` has them, would be garbage of the size of the map at every change
  a.forEach((value, key) => {
    if (isSame && b.get(key) !== value) isSame = false
  })
  return isSame
}

/** Keys under which two maps have not the same object or text, or only one of them has any. */
export function changedKeys<V extends object | string>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
): ReadonlySet<string> {
  const changed = new Set<string>()
  if (before === after) return changed
  const keys = keysApart(before, after)
  if (keys !== null) {
    for (const key of keys) if (before.get(key) !== after.get(key)) changed.add(key)
    return changed
  }
  let found = 0
  after.forEach((value, key) => {
    const old = before.get(key)
    if (old !== undefined) found += 1
    if (old !== value) changed.add(key)
  })
  if (found < before.size) for (const key of before.keys()) if (!after.has(key)) changed.add(key)
  return changed
}
