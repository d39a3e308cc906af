import { z } from 'zod'
import { faultsOf } from './consistency.ts'
import { type Environment, readConsulLayer, readEnvironmentLayer, readFlagLayer } from './environment.ts'
import { readFileLayer, type SettingsFile } from './file.ts'
import { nest, type SettingKey, settingByKey, settingKeys } from './keys.ts'
import { harmlessName, type SettingProblem, show } from './problems.ts'
import { type Settings, settingsSchema } from './schema.ts'
import { emptyLayer, type Layer, type Written } from './written.ts'
import type { Plain } from './yaml.ts'

export type Origin = 'flag' | 'environment' | 'file' | 'default'

export interface SettingsInput {
  readonly file: SettingsFile | null
  readonly env: Environment
  /** By dotted key. */
  readonly flags: ReadonlyMap<string, string>
  /** Whether heddle runs as root: without it, HAProxy can't be told to become another user. */
  readonly isRoot: boolean
}

export type LoadedSettings =
  | {
      readonly kind: 'ok'
      readonly settings: Settings
      /** Where the value of each setting comes from, by dotted key. */
      readonly origins: ReadonlyMap<string, Origin>
    }
  | { readonly kind: 'invalid'; readonly problems: readonly SettingProblem[] }

interface Ranked {
  readonly origin: Exclude<Origin, 'default'>
  readonly layer: Layer
}

/**
 * Reads all places where settings are written; a flag counts more than HEDDLE_ variables, these more than Consul's
 * own, these more than the file. Reports everything that is wrong at once, overridden values included; of Consul's
 * variables only those that would count, since they are meant for other programs too. Never throws.
 */
export function loadSettings({ file, env, flags, isRoot }: SettingsInput): LoadedSettings {
  const flag = readFlagLayer(flags)
  const own = readEnvironmentLayer(env)
  const fromFile = file === null ? emptyLayer() : readFileLayer(file)
  const consul = readConsulLayer(env, textOf(fromFile.written.get('consul.address')) ?? defaultAddress)
  for (const key of [...flag.written.keys(), ...own.written.keys()]) drop(consul, key)
  const ranked: readonly Ranked[] = [
    { origin: 'flag', layer: flag },
    { origin: 'environment', layer: own },
    { origin: 'environment', layer: consul },
    { origin: 'file', layer: fromFile },
  ]
  const problems = ranked.flatMap(({ layer }) => layer.problems)
  for (const pair of tokenPairs) problems.push(...settlePair(ranked, pair))
  const chosen = new Map<string, Written>()
  const origins = new Map<string, Origin>()
  const wrong = new Set(problems.map(({ key }) => key))
  for (const setting of settingKeys) {
    for (const { origin, layer } of ranked) {
      const written = layer.written.get(setting.key)
      if (written === undefined) continue
      const faults = check(setting, written)
      problems.push(...faults)
      if (faults.length > 0) wrong.add(setting.key)
      else if (!chosen.has(setting.key)) {
        chosen.set(setting.key, written)
        origins.set(setting.key, origin)
      }
    }
    if (!origins.has(setting.key)) origins.set(setting.key, 'default')
  }
  // What is wrong stands at its default here, so that the rules between settings can still be checked.
  const settings = settingsSchema.parse(nest(({ key }) => chosen.get(key)?.value))
  for (const { keys, at, expected, got } of faultsOf(settings, isRoot)) {
    if (keys.some((key) => wrong.has(key))) continue
    const written = [at, ...keys].map((key) => chosen.get(key)).find((candidate) => candidate !== undefined)
    const where = written?.where([]) ?? 'default'
    problems.push({ key: at, expected, got, where })
  }
  return problems.length > 0 ? { kind: 'invalid', problems } : { kind: 'ok', settings, origins }
}

const defaultAddress = String(settingByKey.get('consul.address')?.default)

function textOf(written: Written | undefined): string | null {
  return typeof written?.value === 'string' ? written.value : null
}

function drop(layer: Layer, key: string): void {
  layer.written.delete(key)
  const kept = layer.problems.filter((problem) => problem.key !== key)
  layer.problems.splice(0, layer.problems.length, ...kept)
}

const tokenPairs = [
  ['consul.token', 'consul.tokenFile'],
  ['status.token', 'status.tokenFile'],
] as const

/** A token and a file that holds one are two spellings of one setting: the highest place that has either counts. */
function settlePair(ranked: readonly Ranked[], [token, file]: readonly [string, string]): SettingProblem[] {
  const problems: SettingProblem[] = []
  let isSettled = false
  for (const { layer } of ranked) {
    const first = layer.written.get(token)
    const second = layer.written.get(file)
    if (isSettled) {
      layer.written.delete(token)
      layer.written.delete(file)
    } else if (first !== undefined && second !== undefined) {
      problems.push({ key: file, expected: `this or ${token}`, got: 'both', where: second.where([]) })
    }
    isSettled ||= first !== undefined || second !== undefined
  }
  return problems
}

function check(setting: SettingKey, written: Written): SettingProblem[] {
  const result = z.safeParse(setting.schema, written.value)
  return (result.error?.issues ?? []).map(({ message, path }) => ({
    key:
      setting.key +
      path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${harmlessName(String(step))}`)).join(''),
    expected: message,
    got: setting.isSecret ? 'something else (not shown)' : show(partAt(written.value, path)),
    where: written.where(path),
  }))
}

function partAt(value: Plain, path: readonly PropertyKey[]): unknown {
  let part: unknown = value
  for (const step of path) {
    if (typeof part !== 'object' || part === null) return undefined
    part = new Map(Object.entries(part)).get(String(step))
  }
  return part
}
