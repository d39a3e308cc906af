import {
  Composer,
  type CST,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  Parser,
} from 'yaml'

/** Deeper than any setting; the parser recurses, and Node dies of a full stack in ways that nobody can catch. */
const deepest = 16

/** Settings as text before anything is read into it: scalars keep their spelling (`0640` stays `0640`). */
export type Plain = string | null | readonly Plain[] | { readonly [name: string]: Plain }

/** Why a text is no YAML we take. Ends a sentence of the form "expected ..."; never quotes the text. */
export interface YamlFault {
  readonly expected: string
  readonly line: number
}

export type Parsed =
  | { readonly ok: true; readonly root: Node | null; readonly lineOf: (node: Node) => number }
  | { readonly ok: false; readonly faults: readonly YamlFault[] }

// The library's own messages quote the text, which may be a secret.
const expectations: ReadonlyMap<string, string> = new Map([
  ['DUPLICATE_KEY', 'each key once'],
  ['TAB_AS_INDENT', 'spaces, not tabs'],
  ['BAD_INDENT', 'indentation by equal numbers of spaces'],
  ['BAD_SCALAR_START', 'quotes around a value that begins with @, ` or another mark'],
  ['MISSING_CHAR', 'valid YAML: a colon and a blank, a bracket or a quote is missing'],
  ['MULTIPLE_DOCS', 'one YAML document'],
])

/** Aliases are refused, and with them documents that grow when they are read. */
export function parseYaml(text: string): Parsed {
  const lines = new LineCounter()
  const line = (offset: number) => Math.max(1, lines.linePos(offset).line)
  const tokens = [...new Parser(lines.addNewLine).parse(text)]
  if (tokens.some((token) => isDeeperThan(token, deepest))) {
    return { ok: false, faults: [{ expected: `at most ${deepest} levels of nesting`, line: 1 }] }
  }
  const documents: Document.Parsed[] = []
  for (const document of new Composer({ prettyErrors: false, logLevel: 'silent' }).compose(tokens)) {
    documents.push(document)
    if (documents.length > 1)
      return { ok: false, faults: [{ expected: 'one YAML document', line: line(document.range[0]) }] }
  }
  const [document] = documents
  if (document === undefined) return { ok: true, root: null, lineOf: () => 1 }
  const faults = [...document.errors, ...document.warnings].map(({ code, pos }) => ({
    expected: expectations.get(code) ?? 'valid YAML',
    line: line(pos[0]),
  }))
  if (faults.length > 0) return { ok: false, faults }
  return { ok: true, root: document.contents, lineOf: (node) => line(node.range?.[0] ?? 0) }
}

/** Whether any part of a YAML text is nested deeper than that: to be asked before the library's parser, which recurses. */
export function isNestedDeeper(text: string, limit: number): boolean {
  return [...new Parser().parse(text)].some((token) => isDeeperThan(token, limit))
}

function isDeeperThan(token: CST.Token, limit: number): boolean {
  const left: { token: CST.Token; depth: number }[] = [{ token, depth: 0 }]
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { token, depth } = next
    if (depth > limit) return true
    if ('value' in token && token.value !== undefined) left.push({ token: token.value, depth })
    if (!('items' in token)) continue
    for (const item of token.items) {
      if (item.key) left.push({ token: item.key, depth: depth + 1 })
      if (item.value) left.push({ token: item.value, depth: depth + 1 })
    }
  }
  return false
}

/** Entries of a mapping: name, where the name stands, and its value. Null when it isn't one with plain names. */
export function entriesOf(node: Node): readonly { name: string; key: Node; value: Node | null }[] | null {
  if (!isMap(node)) return null
  const entries: { name: string; key: Node; value: Node | null }[] = []
  for (const { key, value } of node.items) {
    if (!isScalar(key)) return null
    entries.push({ name: key.source ?? '', key, value: isNode(value) ? value : null })
  }
  return entries
}

/** Null for an empty value and for `null`. Undefined: an alias or a name that is no plain text. */
export function plainOf(node: Node | null): Plain | undefined {
  if (node === null) return null
  if (isAlias(node)) return undefined
  if (isScalar(node)) return node.value === null ? null : (node.source ?? String(node.value))
  if (isSeq(node)) {
    const items = node.items.map((item) => plainOf(isNode(item) ? item : null))
    return items.every((item) => item !== undefined) ? items : undefined
  }
  const entries = entriesOf(node)?.map(({ name, value }) => [name, plainOf(value)] as const)
  if (entries === undefined) return undefined
  const map: Record<string, Plain> = {}
  for (const [name, value] of entries) {
    // A property of this name would be the object's prototype.
    if (value === undefined || name === '__proto__') return undefined
    map[name] = value
  }
  return map
}

/** The node at a path of names and indices inside `node`, or the last one on the way there. */
export function nodeAt(node: Node, path: readonly PropertyKey[]): Node {
  let current = node
  for (const step of path) {
    const inside = isSeq(current)
      ? current.items[Number(step)]
      : entriesOf(current)?.find(({ name }) => name === String(step))?.value
    if (!isNode(inside)) return current
    current = inside
  }
  return current
}
