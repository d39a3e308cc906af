/** True when two arrays hold the same objects in the same order. */
export function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && a.every((item, index) => item === b[index])
}

/** True when two maps have the same objects under the same keys. */
export function sameEntries<V>(a: ReadonlyMap<string, V>, b: ReadonlyMap<string, V>): boolean {
  if (a === b) return true
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value) return false
  return true
}

/**
 * Keys under which two maps have not the same object or text, or only one of them has any. Maps in the same order, as an old and a new
 * version of one mostly are, are compared without looking keys up.
 */
export function changedKeys<V extends object | string>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
): ReadonlySet<string> {
  const changed = new Set<string>()
  if (before === after) return changed
  const old = before.entries()
  let entry = old.next()
  for (const [key, value] of after) {
    for (; !entry.done && entry.value[0] !== key && !after.has(entry.value[0]); entry = old.next()) {
      changed.add(entry.value[0])
    }
    if (!entry.done && entry.value[0] === key) {
      if (entry.value[1] !== value) changed.add(key)
      entry = old.next()
    } else if (before.get(key) !== value) changed.add(key)
  }
  for (; !entry.done; entry = old.next()) if (!after.has(entry.value[0])) changed.add(entry.value[0])
  return changed
}
