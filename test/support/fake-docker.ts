import { mkdtemp, rm } from 'node:fs/promises'
import http, { type IncomingMessage, type ServerResponse } from 'node:http'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { idOf } from './containers.ts'

/** What a container looks like in the fake engine; printed as Docker's own answers. */
export interface FakeContainer {
  readonly name: string
  readonly running?: boolean
  readonly startedAt?: string
  readonly address?: string
}

/** Takes a request away from the fake; false: it is answered as usual. */
export type Fault = (request: IncomingMessage, response: ServerResponse) => boolean

/** A Docker engine that answers what the sources ask, on a unix socket, TCP or TLS. */
export interface FakeDocker {
  readonly url: string
  /** `METHOD path` of every request, oldest first, ids and filters shortened. */
  readonly requests: readonly string[]
  /** Open event streams. */
  readonly streams: () => number
  readonly set: (id: string, container: FakeContainer) => void
  readonly remove: (id: string) => void
  /** Sends an event of a container to every stream. */
  readonly emit: (action: string, id: string, parts?: { readonly type?: string; readonly timeNano?: number }) => void
  /** Sends these bytes to every stream. */
  readonly write: (text: string) => void
  /** Ends every event stream, as a daemon that restarts does. */
  readonly cut: () => void
  readonly setFault: (fault: Fault | null) => void
  readonly close: () => Promise<void>
}

export async function fakeDocker(
  listen: {
    readonly path?: string
    readonly tls?: { readonly cert: string; readonly key: string }
    tcp?: boolean
  } = {},
): Promise<FakeDocker> {
  const folder = await mkdtemp(join(tmpdir(), 'hd-'))
  const path = listen.path ?? join(folder, 'docker.sock')
  const containers = new Map<string, FakeContainer>()
  const streams = new Set<ServerResponse>()
  const requests: string[] = []
  let fault: Fault | null = null

  const serve = (request: IncomingMessage, response: ServerResponse) => {
    const url = request.url ?? ''
    requests.push(`${request.method} ${url.replace(/[0-9a-f]{64}/, 'ID').replace(/filters=.*/, 'filters=...')}`)
    if (fault?.(request, response)) return
    answer(url, containers, streams, response)
  }
  const { tls } = listen
  const server =
    tls === undefined
      ? http.createServer(serve)
      : https.createServer({ ...tls, ca: tls.cert, requestCert: true, rejectUnauthorized: true }, serve)
  const isTcp = tls !== undefined || listen.tcp === true
  await new Promise<void>((resolve) => {
    if (isTcp) server.listen(0, '127.0.0.1', resolve)
    else server.listen(path, resolve)
  })
  const bound = server.address()
  const write = (text: string) => {
    for (const stream of streams) stream.write(text)
  }
  return {
    url: bound === null || typeof bound === 'string' ? `unix://${path}` : `tcp://127.0.0.1:${bound.port}`,
    requests,
    streams: () => streams.size,
    set: (id, container) => containers.set(idOf(id), container),
    remove: (id) => containers.delete(idOf(id)),
    emit: (action, id, { type = 'container', timeNano } = {}) => {
      const actor =
        type === 'container'
          ? { ID: idOf(id), Attributes: { name: containers.get(idOf(id))?.name } }
          : { ID: idOf('ffff'), Attributes: { container: idOf(id), name: 'weave' } }
      write(`${JSON.stringify({ Type: type, Action: action, Actor: actor, timeNano })}\n`)
    },
    write,
    cut: () => {
      for (const stream of streams) stream.destroy()
    },
    setFault: (next) => {
      fault = next
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function answer(
  url: string,
  containers: ReadonlyMap<string, FakeContainer>,
  streams: Set<ServerResponse>,
  response: ServerResponse,
): void {
  response.setHeader('Content-Type', 'application/json')
  if (url.startsWith('/events?')) {
    streams.add(response)
    response.on('close', () => streams.delete(response))
    response.flushHeaders()
    return
  }
  if (url === '/containers/json?all=1') {
    response.end(JSON.stringify([...containers].map(([id, container]) => listed(id, container))))
    return
  }
  const id = /^\/containers\/([0-9a-f]{64})\/json$/.exec(url)?.[1]
  const container = id === undefined ? undefined : containers.get(id)
  if (id === undefined || container === undefined) {
    response.statusCode = 404
    response.end(JSON.stringify({ message: 'No such container' }))
    return
  }
  response.end(JSON.stringify(inspected(id, container)))
}

function listed(id: string, { name, running = true, address = '' }: FakeContainer): object {
  return {
    Id: id,
    Names: [`/${name}`],
    State: running ? 'running' : 'exited',
    Ports: [],
    HostConfig: { NetworkMode: 'default' },
    NetworkSettings: { Networks: { bridge: { IPAddress: address } } },
  }
}

function inspected(id: string, { name, running = true, startedAt, address = '' }: FakeContainer): object {
  return {
    Id: id,
    Name: `/${name}`,
    State: { Running: running, Restarting: false, StartedAt: startedAt ?? '2026-01-01T10:00:00.5Z' },
    HostConfig: { NetworkMode: 'default' },
    Config: { ExposedPorts: { '8080/tcp': {} }, Env: ['SECRET=do-not-keep'], Labels: { secret: 'do-not-keep' } },
    NetworkSettings: { IPAddress: address, Networks: { bridge: { IPAddress: address } }, Ports: {} },
  }
}
