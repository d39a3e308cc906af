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

/** Of a map that was patched: the keys that may differ from each of those before it, the newest first. */
type Ancestry = readonly { readonly map: WeakRef<object>; readonly keys: ReadonlySet<string> }[]

const ancestries = new WeakMap<object, Ancestry>()
/** Whoever compares may be so many changes late; after that, and beyond so many keys, maps are compared whole. */
const longestAncestry = 16
const mostKeys = 256

/**
 * `before` with other values under some keys, none where that is null. The result is compared with `before`, and with those it came
 * from in the same way, at the cost of these keys, however large the maps are. It must not be changed afterwards.
 */
export function patched<V extends object | string>(
  before: ReadonlyMap<string, V>,
  changes: ReadonlyMap<string, V | null>,
): ReadonlyMap<string, V> {
  const after = new Map(before)
  changes.forEach((value, key) => {
    if (value === null) after.delete(key)
    else after.set(key, value)
  })
  const own = new Set(changes.keys())
  const earlier = (ancestries.get(before) ?? []).map(({ map, keys }) => ({ map, keys: new Set([...keys, ...own]) }))
  const all = [{ map: new WeakRef(before), keys: own }, ...earlier]
  const kept = all.slice(0, longestAncestry).filter(({ keys }) => keys.size <= mostKeys)
  ancestries.set(after, kept)
  return after
}

/** Where two maps may differ, if one of them was made from the other by patches; else null. */
function keysApart(a: object, b: object): ReadonlySet<string> | null {
  const ancestor = (of: object, map: object) => ancestries.get(of)?.find((one) => one.map.deref() === map)?.keys
  return ancestor(b, a) ?? ancestor(a, b) ?? null
}
