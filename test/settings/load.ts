import { expect } from 'vitest'
import { loadSettings, type SettingsInput } from '../../src/settings/load.ts'
import type { SettingProblem } from '../../src/settings/problems.ts'
import type { Settings } from '../../src/settings/schema.ts'

export interface Written {
  readonly yaml?: string
  readonly env?: Readonly<Record<string, string>>
  readonly flags?: Readonly<Record<string, string>>
  readonly isRoot?: boolean
}

export function inputOf({ yaml, env = {}, flags = {}, isRoot = true }: Written): SettingsInput {
  const file = yaml === undefined ? null : { path: '/etc/heddle.yaml', text: yaml }
  return { file, env, flags: new Map(Object.entries(flags)), isRoot }
}

/** Settings that must be right. */
export function settingsOf(written: Written = {}): Settings {
  const loaded = loadSettings(inputOf(written))
  if (loaded.kind === 'invalid') expect(loaded.problems).toEqual([])
  if (loaded.kind === 'invalid') throw new Error('unreachable')
  return loaded.settings
}

export function problemsOf(written: Written): readonly SettingProblem[] {
  const loaded = loadSettings(inputOf(written))
  return loaded.kind === 'ok' ? [] : loaded.problems
}
