import { settingKeys, valueAt } from './keys.ts'
import type { Settings } from './schema.ts'

export interface SettingChanges {
  /** Dotted keys, in the order of the schema. */
  readonly hot: readonly string[]
  readonly restart: readonly string[]
}

/** Settings whose values differ, by whether they count at once or after a restart. */
export function changedKeys(old: Settings, next: Settings): SettingChanges {
  const changed = settingKeys.filter(({ path }) => textOf(valueAt(old, path)) !== textOf(valueAt(next, path)))
  const keysOf = (wanted: 'hot' | 'restart') => changed.filter(({ change }) => change === wanted).map(({ key }) => key)
  return { hot: keysOf('hot'), restart: keysOf('restart') }
}

function textOf(value: unknown): string | undefined {
  return JSON.stringify(value instanceof Map ? [...value].sort(([one], [other]) => (one < other ? -1 : 1)) : value)
}

/** The settings to go on with: what is hot from `next`, what needs a restart from `old`. */
export function withRestartKeysKept(old: Settings, next: Settings): Settings {
  const { acceptProxy, trustedProxies, maxconn, timeouts, hardStopAfter, maxOldWorkers } = next.haproxy
  const { spares, paths, headerNames, accessLog, log, maxStartAge } = next.haproxy
  return {
    ...next,
    consul: old.consul,
    haproxy: {
      ...old.haproxy,
      ...{ acceptProxy, trustedProxies, maxconn, timeouts, hardStopAfter, maxOldWorkers },
      ...{ spares, paths, headerNames, accessLog, log, maxStartAge },
    },
    files: old.files,
    templates: old.templates,
    status: old.status,
    control: old.control,
  }
}
