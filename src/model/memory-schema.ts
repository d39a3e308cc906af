import { z } from 'zod'
import { rereadRoute } from '../routes/request.ts'
import type { Binding, Catalog, Container, Instance, Memory, RouteSpec, ServiceMemory, WeaveReport } from '../types.ts'

/** The shapes of what is remembered, as it is read back: from a disk or a snapshot document, so nothing is taken on trust. */

/** An array of entries, as a map; the last of two with one key counts. */
export function mapOf<T>(value: z.ZodType<T>): z.ZodType<ReadonlyMap<string, T>> {
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

export const instancesSchema: z.ZodType<readonly Instance[]> = z.array(instanceSchema)

const catalogSchema: z.ZodType<Catalog> = mapOf(instancesSchema).transform((services) => ({ services }))

export const containerSchema: z.ZodType<Container> = z.object({
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

export const weaveSchema: z.ZodType<WeaveReport> = z.object({
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

export const serviceSchema: z.ZodType<ServiceMemory> = z.object({
  routes: mapOf(routeSchema).transform(
    (routes) => new Map([...routes].filter(([, route]) => rereadRoute(route) !== null)),
  ),
  options: mapOf(z.string()),
  lingeringSince: milliseconds.nullable(),
  disagreeingSince: milliseconds.nullable(),
  draining: mapOf(milliseconds),
  bindings: mapOf(bindingSchema),
})

export const memorySchema: z.ZodType<Memory> = z.object({
  catalog: catalogSchema,
  engines: mapOf(mapOf(containerSchema)),
  weave: weaveSchema.nullable(),
  owners: mapOf(z.string()),
  services: mapOf(serviceSchema),
})
