import { z } from 'zod'
import { byText } from '../order.ts'
import { changedKeys } from '../same.ts'
import type { Container, Engine, Memory } from '../types.ts'
import { containerSchema, instancesSchema, serviceSchema, weaveSchema } from './memory-schema.ts'
import { faultOf, parse, print } from './memory-text.ts'

/**
 * What differs between two memories, as a line of JSON: for each map the entries that are other objects than before, null for
 * those that have left. So saving costs what has changed. Nothing of it is taken on trust when it is read back.
 */
export type MemoryChanges = z.infer<typeof changesSchema>

export type DecodedChanges =
  | { readonly kind: 'ok'; readonly changes: MemoryChanges }
  | { readonly kind: 'invalid'; readonly why: string }

function changesOf<T>(value: z.ZodType<T>): z.ZodType<readonly (readonly [string, T | null])[]> {
  return z.array(z.tuple([z.string(), value.nullable()]))
}

/** What is absent did not change. */
const changesSchema = z.object({
  catalog: changesOf(instancesSchema).default([]),
  /** Of an engine its containers. */
  engines: changesOf(changesOf(containerSchema)).default([]),
  weave: weaveSchema.nullable().optional(),
  owners: changesOf(z.string()).default([]),
  services: changesOf(serviceSchema).default([]),
})

// ---------------------------------------------------------------------------------------------- write

/** One line with its line feed, in small pieces. What kept its identity is not looked into. */
export function* encodeChanges(before: Memory, after: Memory): Generator<string> {
  yield '{"catalog":'
  yield* printChanges(before.catalog.services, after.catalog.services)
  yield ',"engines":'
  yield* printEngines(before.engines, after.engines)
  if (after.weave !== before.weave) yield `,"weave":${print(after.weave)}`
  yield ',"owners":'
  yield* printChanges(before.owners, after.owners)
  yield ',"services":'
  yield* printChanges(before.services, after.services)
  yield '}\n'
}

type Values<V> = ReadonlyMap<string, V>

function* printChanges<V extends object | string>(before: Values<V>, after: Values<V>): Generator<string> {
  yield* list(changedKeys(before, after), (key) => [`${JSON.stringify(key)},${print(after.get(key) ?? null)}`])
}

function* printEngines(before: Memory['engines'], after: Memory['engines']): Generator<string> {
  yield* list(changedKeys(before, after), function* (node) {
    yield `${JSON.stringify(node)},`
    const engine = after.get(node)
    if (engine === undefined) yield 'null'
    else yield* printChanges(before.get(node) ?? noEngine, engine)
  })
}

const noEngine: Engine = new Map()

function* list(keys: Iterable<string>, printEntry: (key: string) => Iterable<string>): Generator<string> {
  let separator = ''
  yield '['
  for (const key of keys) {
    yield `${separator}[`
    yield* printEntry(key)
    yield ']'
    separator = ','
  }
  yield ']'
}

// ---------------------------------------------------------------------------------------------- read

/** Reads a line that `encodeChanges` wrote. Never throws; `why` quotes nothing of the text. */
export function decodeChanges(line: string): DecodedChanges {
  const raw = parse(line)
  if (raw === undefined) return { kind: 'invalid', why: 'expected JSON, got something else' }
  const parsed = changesSchema.safeParse(raw)
  return parsed.success ? { kind: 'ok', changes: parsed.data } : { kind: 'invalid', why: faultOf(parsed.error) }
}

/** The memory after all of the changes, its maps in the order in which a whole memory is read back. */
export function applyChanges(before: Memory, all: readonly MemoryChanges[]): Memory {
  if (all.length === 0) return before
  const catalog = new Map(before.catalog.services)
  const engines = new Map([...before.engines].map(([node, engine]) => [node, new Map(engine)]))
  const owners = new Map(before.owners)
  const services = new Map(before.services)
  let { weave } = before
  for (const changes of all) {
    change(catalog, changes.catalog)
    for (const [node, containers] of changes.engines) {
      const engine = engines.get(node) ?? new Map<string, Container>()
      change(engines, [[node, containers === null ? null : change(engine, containers)]])
    }
    if (changes.weave !== undefined) weave = changes.weave
    change(owners, changes.owners)
    change(services, changes.services)
  }
  return {
    catalog: { services: inOrder(catalog) },
    engines: inOrder(new Map([...engines].map(([node, engine]) => [node, inOrder(engine)]))),
    weave,
    owners: inOrder(owners),
    services: inOrder(services),
  }
}

function change<V>(map: Map<string, V>, entries: readonly (readonly [string, V | null])[]): Map<string, V> {
  for (const [key, value] of entries) {
    if (value === null) map.delete(key)
    else map.set(key, value)
  }
  return map
}

function inOrder<V>(map: ReadonlyMap<string, V>): ReadonlyMap<string, V> {
  return new Map([...map].sort(([a], [b]) => byText(a, b)))
}
