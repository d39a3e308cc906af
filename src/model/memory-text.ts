import { z } from 'zod'
import { rereadRoute } from '../routes/request.ts'
import type {
  Binding,
  Catalog,
  Container,
  Engine,
  Instance,
  Memory,
  RouteSpec,
  ServiceMemory,
  WeaveReport,
} from '../types.ts'

/**
 * Memory as text: JSON that says which format it is in. A map is an array of `[key, value]` in order of keys, so any name is
 * an ordinary one, and equal memories have equal texts. Reading takes nothing on trust: it was on a disk.
 */

/** Written; it and the one before it are read. */
const format = 1

export type DecodedMemory =
  | { readonly kind: 'ok'; readonly memory: Memory }
  | { readonly kind: 'invalid'; readonly why: string }

// ---------------------------------------------------------------------------------------------- write

/** Costs about as much as has changed since the last call: what kept its identity keeps its text. */
export function encodeMemory(memory: Memory): string {
  const { catalog, engines, weave, owners, services } = memory
  const parts = [
    `"format":${format}`,
    `"catalog":${printMap(catalog.services, printOnce)}`,
    `"engines":${printMap(engines, printEngine)}`,
    `"weave":${weave === null ? 'null' : printOnce(weave)}`,
    `"owners":${printOnce(owners)}`,
    `"services":${printMap(services, printOnce)}`,
  ]
  return `{${parts.join(',\n')}}\n`
}

const texts = new WeakMap<object, string>()

function printOnce(value: object): string {
  let text = texts.get(value)
  if (text === undefined) {
    text = print(value)
    texts.set(value, text)
  }
  return text
}

function printEngine(engine: Engine): string {
  let text = texts.get(engine)
  if (text === undefined) {
    text = printMap(engine, printOnce)
    texts.set(engine, text)
  }
  return text
}

/** An entry a line, so that a person can read the file and compare two. */
function printMap<T>(map: ReadonlyMap<string, T>, printValue: (value: T) => string): string {
  const entries: string[] = []
  for (const key of [...map.keys()].sort()) {
    const value = map.get(key)
    if (value !== undefined) entries.push(`[${JSON.stringify(key)},${printValue(value)}]`)
  }
  return `[${entries.join(',\n')}]`
}

/** JSON with keys in order and maps as arrays of entries. */
function print(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  if (Array.isArray(value)) return `[${value.map(print).join(',')}]`
  if (value instanceof Map) return printMap(value, print)
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${print(field)}`).join(',')}}`
}

// ---------------------------------------------------------------------------------------------- read

/** Reads what `encodeMemory` wrote. Never throws; `why` quotes nothing of the text. */
export function decodeMemory(text: string): DecodedMemory {
  try {
    return decodeMemoryValue(JSON.parse(text))
  } catch {
    return { kind: 'invalid', why: 'expected JSON, got something else' }
  }
}

/** The same for a value that is parsed already: the `memory` of a snapshot document. */
function decodeMemoryValue(raw: unknown): DecodedMemory {
  const found = formatSchema.safeParse(raw)
  if (!found.success) return { kind: 'invalid', why: 'expected an object with a format number, got something else' }
  if (found.data.format !== format)
    return { kind: 'invalid', why: `expected format ${format}, got ${found.data.format}` }
  const parsed = memorySchema.safeParse(raw)
  if (parsed.success) return { kind: 'ok', memory: parsed.data }
  const [issue] = parsed.error.issues
  return { kind: 'invalid', why: `wrong at ${issue?.path.join('.') || 'the top'}: ${issue?.code ?? 'unknown'}` }
}

const formatSchema = z.object({ format: z.int() })

/** An array of entries, as a map; the last of two with one key counts. */
function mapOf<T>(value: z.ZodType<T>): z.ZodType<ReadonlyMap<string, T>> {
  return z.array(z.tuple([z.string(), value])).transform((entries) => new Map(entries))
}

const milliseconds = z.number()

const instanceSchema: z.ZodType<Instance> = z.object({
  key: z.string(),
  node: z.string(),
  nodeAddress: z.string(),
  id: z.string(),
  service: z.string(),
  address: z.string(),
  port: z.number(),
  tags: z.array(z.string()),
  meta: mapOf(z.string()),
  weaveAddress: z.string().nullable(),
  health: z.enum(['passing', 'warning', 'critical', 'maintenance']),
  weights: z.object({ passing: z.number(), warning: z.number() }),
  createIndex: z.number(),
})

const catalogSchema: z.ZodType<Catalog> = mapOf(z.array(instanceSchema)).transform((services) => ({ services }))

const containerSchema: z.ZodType<Container> = z.object({
  id: z.string(),
  name: z.string(),
  running: z.boolean(),
  startedAt: z.string(),
  network: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('own') }),
    z.object({ kind: z.literal('host') }),
    z.object({ kind: z.literal('container'), id: z.string() }),
  ]),
  addresses: z.array(z.string()),
  ports: z.array(z.number()),
  published: z.array(z.object({ hostAddress: z.string(), hostPort: z.number(), containerPort: z.number() })),
})

const weaveSchema: z.ZodType<WeaveReport> = z.object({
  domain: z.string(),
  peers: z.array(z.object({ name: z.string(), nickName: z.string(), addresses: z.array(z.string()) })),
  names: z.array(z.object({ hostname: z.string(), peer: z.string(), containerId: z.string(), address: z.string() })),
  owned: mapOf(z.array(z.string())),
})

const routeSchema: z.ZodType<RouteSpec> = z.object({
  id: z.string(),
  match: z.object({ host: z.string(), path: z.string(), kind: z.enum(['prefix', 'exact', 'raw']) }),
  rewrite: z.object({
    strip: z.string().nullable(),
    add: z.string().nullable(),
    host: z.string().nullable(),
    timeout: milliseconds.nullable(),
    rawpath: z.boolean(),
    redirect: z
      .object({
        code: z.literal([301, 302, 303, 307, 308]),
        location: z.array(
          z.union([z.object({ literal: z.string() }), z.object({ variable: z.enum(['host', 'path', 'query']) })]),
        ),
      })
      .nullable(),
  }),
  section: z.object({
    balance: z.enum(['roundrobin', 'leastconn', 'first', 'source']).exactOptional(),
    sticky: z.string().nullable().exactOptional(),
    maxconn: z.number().nullable().exactOptional(),
    proto: z.enum(['http', 'h2c']).exactOptional(),
  }),
  priority: z.number(),
  drain: milliseconds.nullable(),
  linger: milliseconds.nullable(),
  text: z.string(),
  createIndex: z.number(),
})

const bindingSchema: z.ZodType<Binding> = z.object({
  name: z.string(),
  port: z.number(),
  container: z.string(),
  startedAt: z.string(),
  address: z.string(),
  createIndex: z.number(),
})

const serviceSchema: z.ZodType<ServiceMemory> = z.object({
  routes: mapOf(routeSchema).transform(
    (routes) => new Map([...routes].filter(([, route]) => rereadRoute(route) !== null)),
  ),
  options: mapOf(z.string()),
  lingeringSince: milliseconds.nullable(),
  disagreeingSince: milliseconds.nullable(),
  draining: mapOf(milliseconds),
  bindings: mapOf(bindingSchema),
})

const memorySchema: z.ZodType<Memory> = z.object({
  catalog: catalogSchema,
  engines: mapOf(mapOf(containerSchema)),
  weave: weaveSchema.nullable(),
  owners: mapOf(z.string()),
  services: mapOf(serviceSchema),
})
