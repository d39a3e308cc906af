/** What lies at `path` of a parsed JSON value; undefined where something on the way is no object or has no such key. */
export function field(raw: unknown, ...path: readonly string[]): unknown {
  let value = raw
  for (const key of path) {
    if (!isRecord(value) || !Object.hasOwn(value, key)) return undefined
    value = value[key]
  }
  return value
}

/** The text at `path`; '' when there is none, or one too long to be a name or an address. */
export function textField(raw: unknown, ...path: readonly string[]): string {
  const value = field(raw, ...path)
  return typeof value === 'string' && value.length <= 1024 ? value : ''
}

/** The elements of the array at `path`; none when it is absent, null or something else. */
export function listField(raw: unknown, ...path: readonly string[]): readonly unknown[] {
  const value = field(raw, ...path)
  return Array.isArray(value) ? value : []
}

/** Keys and values of the object at `path`; none when it is absent, null or something else. */
export function entriesField(raw: unknown, ...path: readonly string[]): readonly (readonly [string, unknown])[] {
  const value = field(raw, ...path)
  return isRecord(value) ? Object.entries(value) : []
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
