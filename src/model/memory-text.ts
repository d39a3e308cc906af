import { z } from 'zod'
import { byText } from '../order.ts'
import type { Memory } from '../types.ts'
import { memorySchema } from './memory-schema.ts'

/**
 * Memory as text: JSON that says which format it is in. A map is an array of `[key, value]` in order of keys, so any name is
 * an ordinary one, and equal memories have equal texts. Reading takes nothing on trust: it was on a disk.
 */

/** Of a memory alone, as in a snapshot document. */
const plainFormat = 1
/** Of a checkpoint, which has an id. A checkpoint that is plain was written before there were others. */
const checkpointFormat = 2

export type DecodedMemory =
  | { readonly kind: 'ok'; readonly memory: Memory }
  | { readonly kind: 'invalid'; readonly why: string }

/** `id` is null where none is written: no changes go with it. */
export type DecodedCheckpoint =
  | { readonly kind: 'ok'; readonly memory: Memory; readonly id: string | null }
  | { readonly kind: 'invalid'; readonly why: string }

// ---------------------------------------------------------------------------------------------- write

export function encodeMemory(memory: Memory): string {
  return [...printMemory(memory, `"format":${plainFormat}`)].join('')
}

/** What to join. It comes in small pieces, so that whoever writes a large one can do something else meanwhile. */
export function encodeCheckpoint(memory: Memory, id: string): Iterable<string> {
  return printMemory(memory, `"format":${checkpointFormat},"id":${JSON.stringify(id)}`)
}

function* printMemory({ catalog, engines, weave, owners, services }: Memory, head: string): Generator<string> {
  yield `{${head},\n"catalog":`
  yield* printEntries(catalog.services)
  yield ',\n"engines":'
  yield* printEntries(engines)
  yield `,\n"weave":${print(weave)},\n"owners":`
  yield* printEntries(owners)
  yield ',\n"services":'
  yield* printEntries(services)
  yield '}\n'
}

/** An entry a line, so that a person can read the file and compare two. */
function* printEntries(map: ReadonlyMap<string, unknown>): Generator<string> {
  let before = '['
  for (const [key, value] of entriesOf(map)) {
    yield `${before}[${JSON.stringify(key)},${print(value)}]`
    before = ',\n'
  }
  yield map.size === 0 ? '[]' : ']'
}

/** JSON in one line, with keys in order and maps as arrays of entries. What is undefined is not there. */
export function print(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(print).join(',')}]`
  if (value instanceof Map) return print(entriesOf(value))
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => byText(a, b))
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${print(field)}`).join(',')}}`
}

function entriesOf<V>(map: ReadonlyMap<string, V>): readonly (readonly [string, V])[] {
  return [...map].sort(([a], [b]) => byText(a, b))
}

// ---------------------------------------------------------------------------------------------- read

/** Reads what `encodeMemory` wrote. Never throws; `why` quotes nothing of the text. */
export function decodeMemory(text: string): DecodedMemory {
  const decoded = decode(text, [plainFormat])
  return decoded.kind === 'ok' ? { kind: 'ok', memory: decoded.memory } : decoded
}

/** Reads what `encodeCheckpoint` or `encodeMemory` wrote, in the same way. */
export function decodeCheckpoint(text: string): DecodedCheckpoint {
  return decode(text, [plainFormat, checkpointFormat])
}

function decode(text: string, formats: readonly number[]): DecodedCheckpoint {
  const raw = parse(text)
  if (raw === undefined) return { kind: 'invalid', why: 'expected JSON, got something else' }
  const head = headSchema.safeParse(raw)
  if (!head.success) return { kind: 'invalid', why: 'expected an object with a format number, got something else' }
  const { format, id } = head.data
  if (!formats.includes(format))
    return { kind: 'invalid', why: `expected format ${formats.join(' or ')}, got ${format}` }
  if (format === checkpointFormat && id === null) return { kind: 'invalid', why: 'wrong at id: expected its name' }
  const parsed = memorySchema.safeParse(raw)
  if (parsed.success) return { kind: 'ok', memory: parsed.data, id: format === checkpointFormat ? id : null }
  return { kind: 'invalid', why: faultOf(parsed.error) }
}

/** Undefined: it is no JSON. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function faultOf(error: z.ZodError): string {
  const [issue] = error.issues
  return `wrong at ${issue?.path.join('.') || 'the top'}: ${issue?.code ?? 'unknown'}`
}

/** The id names a file, so it is nothing but what one of ours looks like. */
const headSchema = z.object({
  format: z.int(),
  id: z
    .string()
    .regex(/^[0-9a-f]{16}$/)
    .nullable()
    .catch(null)
    .default(null),
})
