import { z } from 'zod'
import { settingTree } from './schema.ts'
import { type SettingFacts, settingFacts } from './setting.ts'

/** One setting, by all its names. */
export interface SettingKey extends SettingFacts {
  /** Dotted, as in the file: `haproxy.statsBind`. */
  readonly key: string
  readonly path: readonly string[]
  readonly schema: z.core.$ZodType
  /** Environment names, the documented one first: HEDDLE_HAPROXY_STATS_BIND, HEDDLE_HAPROXY_STATSBIND. */
  readonly variables: readonly string[]
}

function namesOf(path: readonly string[]): readonly string[] {
  const snake = path.map((word) => word.replace(/[A-Z]/g, (letter) => `_${letter}`)).join('_')
  return [...new Set([snake, path.join('_')].map((name) => `HEDDLE_${name.toUpperCase()}`))]
}

function walk(schema: z.core.$ZodType, path: readonly string[]): SettingKey[] {
  const facts = settingFacts.get(schema)
  if (facts !== undefined) return [{ ...facts, key: path.join('.'), path, schema, variables: namesOf(path) }]
  const object = schema instanceof z.ZodReadonly ? schema.unwrap() : schema
  if (!(object instanceof z.ZodObject)) throw new TypeError(`expected facts about the setting ${path.join('.')}`)
  return Object.entries(object.shape).flatMap(([name, inner]) => walk(inner, [...path, name]))
}

/** All settings, in the order of the schema. */
export const settingKeys: readonly SettingKey[] = walk(settingTree, [])

export const settingByKey: ReadonlyMap<string, SettingKey> = new Map(
  settingKeys.map((setting) => [setting.key, setting]),
)

/** Keys of groups, `haproxy.timeouts` for one; '' is the whole. To the names in them. */
export const sections: ReadonlyMap<string, readonly string[]> = (() => {
  const names = new Map<string, Set<string>>()
  for (const { path } of settingKeys) {
    for (const [depth, name] of path.entries()) {
      const group = path.slice(0, depth).join('.')
      names.set(group, (names.get(group) ?? new Set()).add(name))
    }
  }
  return new Map([...names].map(([group, inside]) => [group, [...inside]]))
})()

/** The value of a setting in what `settingsSchema` gives. */
export function valueAt(settings: object, path: readonly string[]): unknown {
  let value: unknown = settings
  for (const name of path) {
    if (typeof value !== 'object' || value === null) return undefined
    value = new Map(Object.entries(value)).get(name)
  }
  return value
}

/** Values of settings in the shape of the file. */
export type Nested<T> = { [name: string]: Nested<T> | T }

/** Puts a value for each setting into the shape of the file; undefined leaves the setting out, its group stays. */
export function nest<T>(read: (setting: SettingKey) => T | undefined, group = ''): Nested<T> {
  const branch: Nested<T> = {}
  for (const name of sections.get(group) ?? []) {
    const key = group === '' ? name : `${group}.${name}`
    const setting = settingByKey.get(key)
    const value = setting === undefined ? nest(read, key) : read(setting)
    if (value !== undefined) branch[name] = value
  }
  return branch
}
