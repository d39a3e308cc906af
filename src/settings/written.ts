import { nearest } from '../nearest.ts'
import { type SettingKey, settingKeys } from './keys.ts'
import { type SettingProblem, show } from './problems.ts'
import type { Plain } from './yaml.ts'

/** A setting as somebody wrote it. */
export interface Written {
  readonly value: Plain
  /** Where the value stands, or the part of it at a path inside. */
  readonly where: (path: readonly PropertyKey[]) => string
}

/** What one place says: the file, the environment, or flags. */
export interface Layer {
  readonly written: Map<string, Written>
  readonly problems: SettingProblem[]
}

export function emptyLayer(): Layer {
  return { written: new Map(), problems: [] }
}

/** One text that stands for several settings, by the key of their group. */
export interface ShortForm {
  readonly expected: string
  readonly keys: readonly string[]
  readonly pattern: RegExp
}

export const shortForms: ReadonlyMap<string, ShortForm> = new Map([
  ['apply.settle', quietAndLongest('apply.settle', '20ms/500ms')],
  ['apply.tidy', quietAndLongest('apply.tidy', '60s/10m')],
])

function quietAndLongest(group: string, example: string): ShortForm {
  return {
    expected: `a map of quiet and longest, or both in one text such as ${example}`,
    keys: [`${group}.quiet`, `${group}.longest`],
    pattern: /^\s*([^\s/]+)\s*\/\s*([^\s/]+)\s*$/,
  }
}

/** Adds what a short form stands for. */
export function addShortForm(layer: Layer, group: string, form: ShortForm, text: string, where: string): void {
  const values = form.pattern.exec(text)?.slice(1)
  if (values === undefined) {
    layer.problems.push({ key: group, expected: form.expected, got: show(text), where })
    return
  }
  for (const [index, key] of form.keys.entries()) {
    add(layer, key, { value: values[index] ?? '', where: () => where })
  }
}

export function add(layer: Layer, key: string, written: Written): void {
  const other = layer.written.get(key)
  if (other === undefined) layer.written.set(key, written)
  else layer.problems.push({ key, expected: 'it once', got: `it again (${other.where([])})`, where: written.where([]) })
}

/** `perhaps` names what was meant, if that can be guessed. */
export function unknownProblem(key: string, perhaps: string | null, where: string): SettingProblem {
  const guess = perhaps === null ? '' : ` (did you mean ${perhaps}?)`
  return { key, expected: `a setting that exists${guess}`, got: 'an unknown name', where }
}

/** The key that a wrong name in a group was meant for: one beside it first, then one of this name elsewhere. */
export function guessKey(group: string, name: string, beside: readonly string[]): string | null {
  const sibling = nearest(name, beside)
  if (sibling !== null) return group === '' ? sibling : `${group}.${sibling}`
  const isNamed = ({ key, path }: SettingKey) =>
    key === name || key === `${group}.${name}` || path.at(-1)?.toLowerCase() === name.toLowerCase()
  return settingKeys.find(isNamed)?.key ?? null
}
