import { createServer as createHttp2Server } from 'node:http2'
import { createServer } from 'node:net'
import { describe, expect, it } from 'vitest'
import { commandsOf } from '../../src/render/commands.ts'
import type { Backend, Server } from '../../src/types.ts'
import { ownAddress, until } from '../support/haproxy.ts'
import { backend, model, ownSection, route, server } from '../support/models.ts'
import { ask, type Edge, echo, listening, seen, startEdge } from './live.ts'

/** Which services answered so many requests. */
async function answering(edge: Edge, requests: number, headers: readonly string[] = []): Promise<readonly string[]> {
  const names = new Set<string>()
  for (let count = 0; count < requests; count++) names.add(seen(await ask(edge, '/', { headers })).service)
  return [...names].sort()
}

/** Adds a server to a backend as it is done while HAProxy runs. */
async function addServer(edge: Edge, { id, section }: Backend, added: Server): Promise<void> {
  for (const { command, accepts } of commandsOf([{ do: 'add', backend: id, section, server: added }], own, false))
    expect((await edge.command(command)).trim()).toMatch(accepts)
}
const own = (backend: string) => backend

describe('servers', () => {
  it('take requests by state and weight, and backup servers when no other can', async () => {
    const [one, two, three, four, spare] = await Promise.all(['1', '2', '3', '4', 'spare'].map(echo))
    if (!one || !two || !three || !four || !spare) throw new Error('expected five servers')
    const web = backend('web', [
      server(one),
      server(two, { weight: 0 }),
      server(three, { state: 'drain', weight: 9 }),
      server(four, { state: 'maint' }),
      server(spare, { backup: true }),
    ])
    const edge = await startEdge(model([web], [route('/', web)]))
    expect(await answering(edge, 8)).toEqual(['1'])
    expect(await edge.command(`set server web/${one} state maint`)).toBe('\n')
    expect(await answering(edge, 4)).toEqual(['spare'])
  })

  it.each(['roundrobin', 'leastconn', 'first', 'source'] as const)(
    'can be added while HAProxy runs with balance %s',
    async (balance) => {
      const [one, two] = [await echo('1'), await echo('2')]
      const section = { ...ownSection, balance, maxconn: 10 }
      const web = backend('web', [server(one)], section)
      const edge = await startEdge(model([web], [route('/', web)]))
      const added = server(two, { weight: 7, backup: true })
      await addServer(edge, web, added)
      expect(await edge.command(`set server ${web.id}/${one} state maint`)).toBe('\n')
      expect(await answering(edge, 3)).toEqual(['2'])
    },
  )

  it('can be added whatever their service is called', async () => {
    const names = ['from', 'global', 'DEFAULT', '.', '-', '0', 'a.b', 'ünï', 'a b\n  server x', 'x:0123456789ab']
    const added = server(await echo('added'))
    const backends = names.map((name) => backend(name, []))
    const edge = await startEdge(
      model(
        backends,
        backends.map((one, index) => route(`a.test/${index}`, one)),
      ),
    )
    for (const [index, one] of backends.entries()) {
      expect((await ask(edge, `/${index}`)).status).toBe(503)
      await addServer(edge, one, added)
      expect(seen(await ask(edge, `/${index}`)).service).toBe('added')
    }
  })

  it('keep their users by a cookie that scripts cannot read, and lose them in maintenance only', async () => {
    const [one, two] = [await echo('1'), await echo('2')]
    const web = backend('web', [one, two], { sticky: 'SRV' })
    const edge = await startEdge(model([web], [route('/', web)]))
    const first = await ask(edge, '/')
    const cookie = first.headers.get('set-cookie') ?? ''
    expect(cookie).toMatch(/^SRV=[0-9a-f]{16}; path=\/; HttpOnly$/)
    const headers = [`Cookie: ${cookie.split(';')[0]}`]
    expect(await answering(edge, 6, headers)).toEqual([seen(first).service])
    expect(await answering(edge, 6)).toEqual(['1', '2'])
    // the cookie is HAProxy's and the client's, the service never sees it
    expect(seen(await ask(edge, '/', { headers })).headers.map(([name]) => name)).not.toContain('cookie')

    const name = seen(first).service === '1' ? one : two
    await edge.command(`set server ${web.id}/${name} weight 0`)
    expect(await answering(edge, 3, headers)).toEqual([seen(first).service])
    await edge.command(`set server ${web.id}/${name} state maint`)
    expect(await answering(edge, 3, headers)).not.toEqual([seen(first).service])
  })

  it('have the same cookie on every edge, whether they were there at its start or came later', async () => {
    const [web, empty] = [backend('web', [await echo('1')], { sticky: 'SRV' }), backend('web', [], { sticky: 'SRV' })]
    const [one, other, later] = await Promise.all(
      [web, web, empty].map((backend) => startEdge(model([backend], [route('/', backend)]))),
    )
    if (!one || !other || !later || !web.servers[0]) throw new Error('expected three edges')
    await addServer(later, empty, web.servers[0])
    const cookies = await Promise.all(
      [one, other, later].map(async (edge) => (await ask(edge, '/')).headers.get('set-cookie')),
    )
    expect(cookies[0]).toMatch(/^SRV=[0-9a-f]{16};/)
    expect(cookies).toEqual([cookies[0], cookies[0], cookies[0]])
  })

  it('are spoken to in HTTP/2 where the service asks for it', async () => {
    const service = createHttp2Server((request, response) => response.end(`HTTP/${request.httpVersion}`))
    const grpc = backend('grpc', [await listening(service)], { proto: 'h2c' })
    const edge = await startEdge(model([grpc], [route('/', grpc)]))
    expect((await ask(edge, '/')).body).toContain('HTTP/2.0')
  })
})

describe('a server that breaks off', () => {
  /** Takes the request, then closes. */
  async function breaking(): Promise<{ name: string; taken: () => number }> {
    let taken = 0
    const broken = createServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => {
        taken += 1
        socket.end()
      })
    })
    return { name: await listening(broken), taken: () => taken }
  }

  it('costs a GET nothing, for another server answers', async () => {
    const broken = await breaking()
    const web = backend('web', [broken.name, await echo('fine')])
    const edge = await startEdge(model([web], [route('/', web)]))
    expect(await answering(edge, 4)).toEqual(['fine'])
    expect(broken.taken()).toBeGreaterThan(0)
  })

  it('gets a POST once only', async () => {
    const broken = await breaking()
    const web = backend('web', [broken.name])
    const edge = await startEdge(model([web], [route('/', web)]))
    const answer = await ask(edge, '/', { method: 'POST', headers: ['Content-Length: 0'] })
    expect([answer.status, answer.body]).toEqual([502, 'the instance broke off its answer\n'])
    expect(broken.taken()).toBe(1)
  })

  it('is not asked at all when it refuses connections, not even for a POST', async () => {
    const web = backend('web', [`${ownAddress()}:9`, await echo('fine')])
    const edge = await startEdge(model([web], [route('/', web)]))
    for (let count = 0; count < 4; count++) {
      const answer = await ask(edge, '/', { method: 'POST', headers: ['Content-Length: 0'] })
      expect(seen(answer).service).toBe('fine')
    }
  })
})

describe('the monitor', () => {
  it('answers 200 while the edge serves a route, 503 otherwise', async () => {
    const web = backend('web', ['127.0.0.1:9'])
    const edge = await startEdge(model([web], [route('/', web)]))
    const status = async () => (await ask(edge, '/haproxy_status', { port: edge.monitorPort })).status
    expect(await status()).toBe(200)
    await edge.command('del map state.map alive')
    expect(await status()).toBe(503)
    await edge.command('add map state.map alive 1')
    expect(await status()).toBe(200)

    const idle = await startEdge(model([], []))
    expect((await ask(idle, '/haproxy_status', { port: idle.monitorPort })).status).toBe(503)
  })
})

describe('statistics', () => {
  it('can be read but change nothing', async () => {
    const web = backend('web', ['127.0.0.1:9'])
    const edge = await startEdge(model([web], [route('/', web)]))
    const page = await ask(edge, '/stats', { port: edge.statsPort })
    expect(page.status).toBe(200)
    expect(page.body).toContain('127.0.0.1:9')
    expect(page.body).not.toContain('name="action"')

    const body = 's=127.0.0.1:9&action=maint&b=web'
    const headers = [`Content-Length: ${body.length}`, 'Content-Type: application/x-www-form-urlencoded', '', body]
    const posted = await ask(edge, '/stats', { method: 'POST', port: edge.statsPort, headers })
    expect(posted.status).not.toBe(200)
    expect(await edge.command('show servers state web')).toMatch(/ 127\.0\.0\.1 2 0 1 /)

    expect((await ask(edge, '/metrics', { port: edge.statsPort })).body).toContain('haproxy_process_')
    expect((await ask(edge, '/', { port: edge.statsPort })).headers.get('location')).toBe('/stats')
    expect((await ask(edge, '/else', { port: edge.statsPort })).status).toBe(404)
  })
})

describe('the access log', () => {
  it('names host, service and revision of a request', async () => {
    const web = backend('web', [await echo('web')])
    const edge = await startEdge(model([web], [route('a.test', web)]))
    const revision = /^\S+ revision (\S+)$/m.exec(await edge.command('show map revision.map'))?.[1]
    await ask(edge, '/x?"y', { host: 'A.test' })
    const line = await until(() =>
      edge
        .log()
        .split('\n')
        .find((one) => one.includes('/x?')),
    )
    expect(line).toMatch(
      new RegExp(` web/127\\S+ .* 200 .* "GET /x\\?\\S+ HTTP/1.1" host=a.test service=web revision=${revision}$`),
    )
  })

  it('is silent when it is switched off', async () => {
    const web = backend('web', [await echo('web')])
    const edge = await startEdge(model([web], [route('/', web)]), { accessLog: false })
    const before = edge.log()
    await ask(edge, '/quiet')
    await edge.stop()
    expect(edge.log().slice(before.length)).not.toContain('/quiet')
  })
})

describe('changes at run time', () => {
  it('can add a route, change what it rewrites and take it away', async () => {
    const web = backend('web', [await echo('web')])
    const edge = await startEdge(model([web], []))
    expect((await ask(edge, '/api/x')).status).toBe(404)
    await edge.command('add map routes.map a.test/api/ web|web||/api')
    expect(seen(await ask(edge, '/api/x')).target).toBe('/x')
    await edge.command('set map routes.map a.test/api/ web|web|||/v1')
    expect(seen(await ask(edge, '/api/x')).target).toBe('/v1/api/x')
    await edge.command('del map routes.map a.test/api/')
    expect((await ask(edge, '/api/x')).status).toBe(404)
  })

  it('may name a backend that is not there yet: 503, and nobody else answers', async () => {
    const web = backend('web', [await echo('web')])
    const edge = await startEdge(model([web], [route('/', web)]))
    await edge.command('add map routes.map a.test/new/ later|later')
    expect((await ask(edge, '/new/x')).status).toBe(503)
  })
})
