import http, { type IncomingMessage, type ServerResponse } from 'node:http'

/** A weave router that is as particular as the real one about the Accept header. */
export interface FakeWeave {
  readonly url: string
  /** `METHOD path` of every request, oldest first. */
  readonly requests: readonly string[]
  /** What `/report` says from now on. */
  readonly setReport: (report: unknown) => void
  /** What `/ip` says from now on; undefined: there is no such page, as on old routers and on the status address. */
  readonly setOwned: (owned: unknown) => void
  readonly setFault: (fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | null) => void
  readonly close: () => Promise<void>
}

export async function fakeWeave(first: { readonly report: unknown; readonly owned?: unknown }): Promise<FakeWeave> {
  const requests: string[] = []
  let { report, owned } = first
  let fault: ((request: IncomingMessage, response: ServerResponse) => boolean) | null = null
  const server = http.createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`)
    if (fault?.(request, response)) return
    if (request.method === 'GET' && request.url === '/report') {
      if (request.headers.accept === 'application/json') return json(response, report)
      return text(response, 400, 'error: must supply one format parameter\n')
    }
    if (request.method === 'GET' && request.url === '/ip' && owned !== undefined) return json(response, owned)
    text(response, 404, '404 page not found\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const bound = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('expected a bound port')
  return {
    url: `http://127.0.0.1:${bound.port}`,
    requests,
    setReport: (next) => {
      report = next
    },
    setOwned: (next) => {
      owned = next
    },
    setFault: (next) => {
      fault = next
    },
    close: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader('Content-Type', 'application/json')
  response.end(JSON.stringify(value, null, 4))
}

function text(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' }).end(body)
}
