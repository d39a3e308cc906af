import type { Instance } from '../../src/types.ts'
import type { Edge } from './edge.ts'
import { httpServer, request, type TestServer } from './haproxy.ts'
import { type InstanceParts, instance } from './worlds.ts'

/** What tests of an edge have in common: containers, their registrations, and a client. */

let created = 0

/** A container as an instance of a service, which asks for this route. */
export function at(service: string, server: TestServer, route: string, parts: InstanceParts = {}): Instance {
  created += 1
  return instance(service, `${service}-${server.name}`, {
    address: server.address,
    port: server.port,
    tags: [`heddle.route=${route}`],
    createIndex: created,
    ...parts,
  })
}

/** Containers that answer with their names. */
export async function containers<const Names extends readonly string[]>(
  ...names: Names
): Promise<{ readonly [K in keyof Names]: TestServer }> {
  const started = await Promise.all(names.map((name) => httpServer({ name })))
  return started as { readonly [K in keyof Names]: TestServer }
}

/** Who answers, or the status where it isn't 200. */
export async function body(
  edge: Edge,
  host: string,
  path = '/',
  headers: Record<string, string> = {},
): Promise<string> {
  const reply = await request(edge.folder, { host, path, headers })
  return reply.status === 200 ? (reply.body.split('\n')[0] ?? '') : String(reply.status)
}
