import { type FileHandle, open } from 'node:fs/promises'
import { isScalar, type Node } from 'yaml'
import { sections, settingByKey } from './keys.ts'
import { harmlessName, type SettingProblem, show } from './problems.ts'
import { add, addShortForm, emptyLayer, guessKey, type Layer, shortForms, unknownProblem } from './written.ts'
import { entriesOf, nodeAt, parseYaml, plainOf } from './yaml.ts'

export interface SettingsFile {
  readonly path: string
  readonly text: string
}

/** In bytes. Many times the longest file that makes sense, and still read in well under a second. */
export const largestFile = 128 * 1024

export type FileRead =
  | { readonly kind: 'ok'; readonly file: SettingsFile }
  | { readonly kind: 'invalid'; readonly problems: readonly SettingProblem[] }

/** Reads at most `largestFile` bytes, whatever the path turns out to be. Never rejects. */
export async function readSettingsFile(path: string): Promise<FileRead> {
  const invalid = (expected: string, got: string): FileRead => ({
    kind: 'invalid',
    problems: [{ key: '', expected, got, where: path }],
  })
  let bytes: Buffer
  try {
    const handle = await open(path, 'r')
    bytes = await readBounded(handle).finally(() => handle.close())
  } catch (error) {
    return invalid(
      'a file that can be read',
      error instanceof Error && 'code' in error ? String(error.code) : 'an error',
    )
  }
  if (bytes.length > largestFile) return invalid(`at most ${largestFile} bytes`, 'more')
  try {
    return { kind: 'ok', file: { path, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) } }
  } catch {
    return invalid('text in UTF-8', 'other bytes')
  }
}

/** One byte more than allowed tells that the file is too long. */
async function readBounded(handle: FileHandle): Promise<Buffer> {
  const bytes = Buffer.alloc(largestFile + 1)
  let length = 0
  while (length < bytes.length) {
    const { bytesRead } = await handle.read(bytes, length, bytes.length - length)
    if (bytesRead === 0) break
    length += bytesRead
  }
  return bytes.subarray(0, length)
}

/** What a settings file says, every wrong line included. */
export function readFileLayer(file: SettingsFile): Layer {
  const layer = emptyLayer()
  if (Buffer.byteLength(file.text) > largestFile) {
    layer.problems.push({ key: '', expected: `at most ${largestFile} bytes`, got: 'more', where: file.path })
    return layer
  }
  const parsed = parseYaml(file.text)
  if (!parsed.ok) {
    for (const { expected, line } of parsed.faults) {
      layer.problems.push({ key: '', expected, got: 'something else', where: `${file.path}:${line}` })
    }
    return layer
  }
  visit('', parsed.root, { layer, where: (node) => `${file.path}:${parsed.lineOf(node)}` })
  return layer
}

interface Visit {
  readonly layer: Layer
  readonly where: (node: Node) => string
}

function visit(group: string, node: Node | null, { layer, where }: Visit): void {
  if (node === null || (isScalar(node) && node.value === null)) return
  const entries = entriesOf(node)
  if (entries === null) {
    const form = shortForms.get(group)
    const text = isScalar(node) ? (node.source ?? '') : null
    if (form !== undefined && text !== null) addShortForm(layer, group, form, text, where(node))
    else layer.problems.push({ key: group, expected: 'a map of settings', got: kindOf(node), where: where(node) })
    return
  }
  for (const { name, key: at, value } of entries) {
    const key = group === '' ? name : `${group}.${name}`
    // A dotted name is no key: `consul.address:` at the top would be a second spelling of everything.
    const isDotted = name.includes('.')
    if (sections.has(key) && !isDotted && name !== '') visit(key, value, { layer, where })
    else if (settingByKey.has(key) && !isDotted) addSetting(key, value, { layer, where })
    else {
      const perhaps = guessKey(group, name, sections.get(group) ?? [])
      const shown = group === '' ? harmlessName(name) : `${group}.${harmlessName(name)}`
      layer.problems.push(unknownProblem(shown, describeGuess(perhaps, isDotted), where(at)))
    }
  }
}

function describeGuess(perhaps: string | null, isDotted: boolean): string | null {
  return perhaps !== null && isDotted ? `${perhaps}, as maps inside each other` : perhaps
}

const notPlain = 'plain values: no alias, and quotes around text with brackets such as "[::]:80"'

/** An empty value leaves the setting at its default. */
function addSetting(key: string, node: Node | null, { layer, where }: Visit): void {
  const value = plainOf(node)
  if (node === null || value === null) return
  if (value === undefined) {
    layer.problems.push({ key, expected: notPlain, got: 'something else', where: where(node) })
  } else add(layer, key, { value, where: (path) => where(nodeAt(node, path)) })
}

function kindOf(node: Node): string {
  const value = plainOf(node)
  // Text is not shown: it may be the secret of a setting inside, written one level too high.
  return typeof value === 'string' ? 'a text' : value === undefined ? 'something else' : show(value)
}
