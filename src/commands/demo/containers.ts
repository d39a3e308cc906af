import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { freePort } from './processes.ts'
import type { SampleInstance } from './sample.ts'

/** What a sample container answers: who it is and what it was asked. */
export interface ContainerAnswer {
  readonly service: string
  readonly instance: string
  readonly node: string
  readonly host: string
  /** As it came to the container, with the query. */
  readonly path: string
  /** X-Forwarded-Prefix: what was cut off before. */
  readonly prefix: string | null
}

/** The demo's containers: small HTTP servers, each on an address of its own. */
export interface Containers {
  readonly start: (instance: SampleInstance) => Promise<void>
  /** Ends it at once, as a killed container ends; requests that still run are cut. */
  readonly stop: (instance: SampleInstance) => Promise<void>
  readonly stopAll: () => Promise<void>
}

export function createContainers(): Containers {
  const running = new Map<string, Server>()

  async function stop(id: string): Promise<void> {
    const server = running.get(id)
    if (server === undefined) return
    running.delete(id)
    await close(server)
  }

  return {
    async start(instance) {
      const server = createServer((request, response) => answer(instance, request, response))
      // HAProxy keeps connections to it; a container that closes first could meet a request half way.
      server.keepAliveTimeout = 600_000
      await listen(server, instance.address, instance.port)
      running.set(instance.id, server)
    },
    stop: (instance) => stop(instance.id),
    async stopAll() {
      await Promise.all([...running.keys()].map(stop))
    },
  }
}

function answer(instance: SampleInstance, request: IncomingMessage, response: ServerResponse): void {
  const prefix = request.headers['x-forwarded-prefix']
  const body: ContainerAnswer = {
    service: instance.service,
    instance: instance.id,
    node: instance.node,
    host: request.headers.host ?? '',
    path: request.url ?? '',
    prefix: typeof prefix === 'string' ? prefix : null,
  }
  request.resume()
  response.writeHead(200, { 'content-type': 'application/json' })
  response.end(`${JSON.stringify(body)}\n`)
}

function listen(server: Server, address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, address, () => resolve())
  })
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** The port all containers listen on: 8080, or another one where somebody listens on 8080 of every address. */
export function chooseContainerPort(address: string): Promise<number> {
  return freePort(address, 8080).catch(() => freePort(address))
}

/** Hands out addresses of a host, as the host's own address pool would: the next one, never one that was used before. */
export function createAddressPool(used: readonly SampleInstance[]): (node: string) => string {
  const last = new Map<string, number>()
  for (const instance of used) {
    const ending = Number(instance.address.split('.')[3])
    last.set(instance.node, Math.max(ending, last.get(instance.node) ?? 0))
  }
  return (node) => {
    const next = ((last.get(node) ?? 0) % 254) + 1
    last.set(node, next)
    return `127.2.${node.replace('host', '')}.${next}`
  }
}

/** Names containers `shop-4`, `shop-5`, ... after those that are there. */
export function createNames(used: readonly SampleInstance[]): (service: string) => string {
  const last = new Map<string, number>()
  for (const { service } of used) last.set(service, (last.get(service) ?? 0) + 1)
  return (service) => {
    const next = (last.get(service) ?? 0) + 1
    last.set(service, next)
    return `${service}-${next}`
  }
}
