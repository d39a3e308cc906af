/** Maps of which each is another one with few changes: made and compared at the cost of these. */

/** Of a map that was patched: the keys that may differ from each of those before it, the newest first. */
type Ancestry = readonly { readonly map: WeakRef<object>; readonly keys: ReadonlySet<string> }[]

const ancestries = new WeakMap<object, Ancestry>()
/** Whoever compares may be so many changes late; after that, and beyond so many keys, maps are compared whole. */
const longestAncestry = 16
const mostKeys = 256

/**
 * `before` with other values under some keys, none where that is null. Costs what the patches cost, however large the map is, and so
 * does it to compare the result with `before`, and with those it came from in the same way. `before` must not change afterwards.
 */
export function patched<V extends object | string>(
  before: ReadonlyMap<string, V>,
  changes: ReadonlyMap<string, V | null>,
): ReadonlyMap<string, V> {
  const after = new PatchedMap(before, changes)
  const own = new Set(changes.keys())
  const earlier = (ancestries.get(before) ?? []).slice(0, longestAncestry - 1)
  const all = [
    { map: new WeakRef(before), keys: own },
    ...earlier.map(({ map, keys }) => ({ map, keys: new Set([...keys, ...own]) })),
  ]
  ancestries.set(
    after,
    all.filter(({ keys }) => keys.size <= mostKeys),
  )
  return after
}

/** A whole map, and patches to it; these become another whole map when they are many. */
class PatchedMap<V extends object | string> implements ReadonlyMap<string, V> {
  readonly size: number
  readonly #whole: ReadonlyMap<string, V>
  /** Null: there is none any more. */
  readonly #patches: ReadonlyMap<string, V | null>

  constructor(before: ReadonlyMap<string, V>, changes: ReadonlyMap<string, V | null>) {
    const isPatched = before instanceof PatchedMap
    const whole: ReadonlyMap<string, V> = isPatched ? before.#whole : before
    const patches = new Map<string, V | null>(isPatched ? before.#patches : [])
    let { size } = before
    changes.forEach((value, key) => {
      size += (value === null ? 0 : 1) - (before.has(key) ? 1 : 0)
      patches.set(key, value)
    })
    this.size = size
    this.#whole = whole
    this.#patches = patches
    if (patches.size <= mostKeys) return
    const anew = new Map<string, V>()
    this.forEach((value, key) => {
      anew.set(key, value)
    })
    this.#whole = anew
    this.#patches = new Map()
  }

  get(key: string): V | undefined {
    const patch = this.#patches.get(key)
    return patch === undefined ? this.#whole.get(key) : (patch ?? undefined)
  }

  has(key: string): boolean {
    return this.get(key) !== undefined
  }

  forEach(visit: (value: V, key: string, map: ReadonlyMap<string, V>) => void): void {
    this.#whole.forEach((value, key) => {
      const patch = this.#patches.get(key)
      if (patch !== null) visit(patch ?? value, key, this)
    })
    this.#patches.forEach((patch, key) => {
      if (patch !== null && !this.#whole.has(key)) visit(patch, key, this)
    })
  }

  entries(): MapIterator<[string, V]> {
    const all: [string, V][] = []
    this.forEach((value, key) => {
      all.push([key, value])
    })
    return all.values()
  }

  keys(): MapIterator<string> {
    const all: string[] = []
    this.forEach((_, key) => {
      all.push(key)
    })
    return all.values()
  }

  values(): MapIterator<V> {
    const all: V[] = []
    this.forEach((value) => {
      all.push(value)
    })
    return all.values()
  }

  [Symbol.iterator](): MapIterator<[string, V]> {
    return this.entries()
  }
}

/** Where two maps may differ, if one of them was made from the other by patches; else null. */
export function keysApart(a: object, b: object): ReadonlySet<string> | null {
  const ancestor = (of: object, map: object) => ancestries.get(of)?.find((one) => one.map.deref() === map)?.keys
  return ancestor(b, a) ?? ancestor(a, b) ?? null
}
