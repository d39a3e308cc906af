import { expect } from 'vitest'

/** Maps of several classes: to tests they are what is in them. */

/** One that is no `Map` itself, as those that were patched. */
function isOtherMap(value: unknown): value is ReadonlyMap<unknown, unknown> {
  const isObject = typeof value === 'object' && value !== null && !(value instanceof Map) && !(value instanceof Set)
  return isObject && 'get' in value && 'entries' in value && 'size' in value
}

/** `structuredClone`, also of what holds such maps. */
export function copyOf<T>(value: T): T {
  return structuredClone(withPlainMaps(value))
}

function withPlainMaps<T>(value: T): T
function withPlainMaps(value: unknown): unknown {
  if (value instanceof Map || isOtherMap(value))
    return new Map([...value].map(([key, inner]) => [key, withPlainMaps(inner)]))
  if (Array.isArray(value)) return value.map((item) => withPlainMaps(item))
  if (typeof value !== 'object' || value === null || value instanceof Set) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, withPlainMaps(inner)]))
}

expect.addEqualityTesters([
  function equalEntries(a, b, testers) {
    if (!isOtherMap(a) && !isOtherMap(b)) return undefined
    const areMaps = (a instanceof Map || isOtherMap(a)) && (b instanceof Map || isOtherMap(b))
    return areMaps && this.equals(new Map(a), new Map(b), testers)
  },
])
