import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import { connect } from 'node:http2'
import { beforeAll, describe, expect, it } from 'vitest'
import { backend, model, route } from '../support/models.ts'
import { type Ask, ask, type Edge, echo, exchange, header, listening, seen, startEdge } from './live.ts'

/** Trusted as a proxy, and as one that speaks the PROXY protocol. */
const proxy = '127.9.0.1'
const speaker = '127.8.0.1'
const client = '127.7.0.1'

let edge: Edge

beforeAll(async () => {
  const web = backend('web', [await echo('web')])
  const api = backend('api', [await echo('api')])
  const routes = [
    route('a.test', web),
    route('shared.test', web),
    route('shared.test/api', api),
    route('shared.test/raw', api, { rawpath: true }),
    route('open.test/api', api),
    route('c.test/', web, { host: 'in.test' }),
    route('*.wild.test/x', web),
    route('/', web),
  ]
  edge = await startEdge(model([web, api], routes), { acceptProxy: ['127.8.0.0/16'], trustedProxies: ['127.9.0.0/16'] })
})

async function statusOf(target: string, options: Ask = {}): Promise<number> {
  return (await ask(edge, target, options)).status
}

describe('always refused with 400', () => {
  it.each([
    ['no Host', { host: null }],
    ['no Host in HTTP/1.0', { host: null, version: '1.0' }],
    ['an empty Host', { host: '' }],
    ['two Hosts that differ', { headers: ['Host: b.test'] }],
    ['a list of hosts', { host: 'a.test,b.test' }],
    ['a user in the Host', { host: 'u@a.test' }],
    ['a blank in the Host', { host: 'a b' }],
    ['a path in the Host', { host: 'a.test/api' }],
    ['a query in the Host', { host: 'a.test?' }],
    ['a wildcard for a Host', { host: '*.test' }],
    ['a leading dot', { host: '.a.test' }],
    ['two dots between labels', { host: 'a..test' }],
    ['two dots at the end', { host: 'a.test..' }],
    ['a dot alone', { host: '.' }],
    ['a label that begins with -', { host: '-a.test' }],
    ['a label that ends with -', { host: 'a-.test' }],
    ['a label of 64', { host: `${'a'.repeat(64)}.test` }],
    ['a port of six digits', { host: 'a.test:123456' }],
    ['a port that is none', { host: 'a.test:http' }],
    ['IPv6', { host: '[::1]' }],
    ['CONNECT', { method: 'CONNECT' }],
  ] as [string, Ask][])('%s', async (_what, options) => {
    expect(await statusOf(options.method === 'CONNECT' ? 'a.test:80' : '/', options)).toBe(400)
  })

  it.each([
    ...['/..', '/../', '/a/..', '/a/../b', '/.', '/./a', '/a/.', '/%2e%2e/a', '/.%2E/a', '/%2e/a', '/a/%2e'],
    ...['/..%2fa', '/a%2f..', '/..%5ca', '/a%5C..', '/..;/a', '/a;..', '/a;/../b', '/a;.;b', '/;%2e%2e;'],
    ...['/a%00', '/%00', '/a\\b', '/\\..\\a', '/..?q', '//..'],
  ])('the path %s', async (target) => {
    const answer = await ask(edge, target)
    expect([answer.status, answer.body]).toEqual([400, 'bad request\n'])
  })

  it.each([
    ...['http://u@a.test/', 'http://u:p@a.test/', 'http://@a.test/', 'http://u@a.test'],
    ...['http:///x', 'x:///', 'http://', 'http://?x', 'http://a.test?x', 'http://a.test?x@y/z'],
  ])('the URL %s', async (target) => {
    expect(await statusOf(target)).toBe(400)
  })
})

describe('let through', () => {
  it.each([
    ['a port of five digits', { host: 'a.test:65535' }],
    ['a port of none', { host: 'a.test:' }],
    ['a label of 63', { host: `${'a'.repeat(63)}.test` }],
    ['an IPv4 address', { host: '192.0.2.1' }],
    ['a label of one _', { host: '_.test' }],
    ['two Hosts that are equal', { headers: ['Host: a.test'] }],
  ] satisfies [string, Ask][])('%s', async (_what, options) => {
    expect(await statusOf('/', options)).toBe(200)
  })

  it.each(['/...', '/.a', '/a.', '/..a', '/a..b', '/%2e%2e%2e', '/?/../', '/a?u@b', '/a@b', '/a:b'])(
    'the path %s',
    async (target) => {
      expect(seen(await ask(edge, target)).target).toBe(target)
    },
  )

  it.each(['http://a.test/x?q', 'https://a.test/x?q', 'ftp://a.test/x?q', 'HTTP://A.TEST/x?q'])(
    'the URL %s, of which the service sees the path alone',
    async (target) => {
      expect(seen(await ask(edge, target)).target).toBe('/x?q')
    },
  )

  it('a URL that is a host alone, of which the service sees /', async () => {
    expect(seen(await ask(edge, 'http://a.test')).target).toBe('/')
    const { target, headers } = seen(await ask(edge, 'http://c.test', { host: 'c.test' }))
    expect([target, headers.find(([name]) => name === 'host')?.[1]]).toEqual(['/', 'in.test'])
  })

  it('HTTP/2 without TLS, by the same rules', async () => {
    const session = connect(`http://${edge.address}:${edge.port}`)
    const status = (path: string, authority: string) =>
      new Promise<unknown>((resolve, reject) => {
        const stream = session.request({ ':path': path, ':authority': authority })
        stream.on('response', (headers) => resolve(headers[':status']))
        stream.on('error', reject)
        stream.resume()
      })
    try {
      expect(await status('/api', 'shared.test:80')).toBe(200)
      expect(await status('/api/../x', 'a.test')).toBe(400)
      expect(await status('//', 'shared.test')).toBe(400)
      expect(await status('/', 'a..test')).toBe(400)
      expect(await status('/a\u00e9', 'a.test')).toBe(400)
    } finally {
      session.close()
    }
  })

  it.each(['*', 'a.test', 'a.test/x'])('no target that is neither a path nor a URL: %s', async (target) => {
    expect(await statusOf(target)).toBe(400)
  })

  it('OPTIONS of a path, but not of *', async () => {
    expect(await statusOf('/', { method: 'OPTIONS' })).toBe(200)
    expect(await statusOf('*', { method: 'OPTIONS' })).toBe(404)
  })
})

describe('a path that can be read in two ways', () => {
  const odd = ['//', '/a//b', '/a;b', '/a%2fb', '/a%5Cb', '/%61pi', '/%41', '/%7e', '/%2D', '/%5f', '/%30', '/x%7Ax']
  const fine = ['/a%20b', '/a%3Bb', '/%C3%A4', '/%7b', '/%40', '/%5b', '/%2b', '/a?x=//;%2f']

  it.each(odd)('%s is refused where services share a host', async (target) => {
    expect(await statusOf(target, { host: 'shared.test' })).toBe(400)
  })

  it.each(odd)('%s is let through where one service has the host', async (target) => {
    expect(seen(await ask(edge, target)).target).toBe(target)
  })

  it.each(fine)('%s is let through everywhere', async (target) => {
    expect(await statusOf(target, { host: 'shared.test' })).toBe(200)
  })

  it('is let through where the route says so', async () => {
    expect(seen(await ask(edge, '/raw/a//b', { host: 'shared.test' })).service).toBe('api')
    expect(await statusOf('/raw;x', { host: 'shared.test' })).toBe(400)
  })

  it('counts services of less specific hosts until one has everything', async () => {
    expect(await statusOf('//', { host: 'open.test' })).toBe(400)
    expect(await statusOf('/x//', { host: 'y.wild.test' })).toBe(200)
    expect(await statusOf('//', { host: 'unknown' })).toBe(200)
  })
})

describe('who the client is', () => {
  const claims = [
    'X-Forwarded-For: 192.0.2.66',
    'X-Forwarded-Proto: https',
    'X-Forwarded-Host: other.test',
    'X-Forwarded-Anything: else',
    'Forwarded: for=192.0.2.66',
    'X-Real-IP: 192.0.2.66',
  ]
  const lookAlikes = [
    'X_Forwarded_For: a',
    'X-Forwarded_For: b',
    'x_real_ip: c',
    'X-Real_IP: d',
    'X_Forwarded-Proto: e',
    'X-Forwarded-Client_Cert: f',
  ]

  async function forwarded(options: Ask): Promise<readonly (readonly [string, string])[]> {
    const { headers } = seen(await ask(edge, '/', options))
    return headers.filter(([name]) => /forwarded|real/.test(name))
  }

  it('is said by HAProxy alone', async () => {
    expect(await forwarded({ from: client, host: 'A.test:80', headers: [...claims, ...lookAlikes] })).toEqual([
      ['x-forwarded-for', client],
      ['x-forwarded-proto', 'http'],
      ['x-forwarded-host', 'A.test:80'],
    ])
  })

  it('may be said by a trusted proxy, to which HAProxy adds the proxy itself', async () => {
    expect(await forwarded({ from: proxy, headers: claims })).toEqual([
      ['x-forwarded-for', '192.0.2.66'],
      ['x-forwarded-proto', 'https'],
      ['x-forwarded-host', 'other.test'],
      ['x-forwarded-anything', 'else'],
      ['forwarded', 'for=192.0.2.66'],
      ['x-real-ip', '192.0.2.66'],
      ['x-forwarded-for', proxy],
    ])
  })

  it('is never said by a look-alike with _', async () => {
    expect(await forwarded({ from: proxy, headers: lookAlikes })).toEqual([
      ['x-forwarded-for', proxy],
      ['x-forwarded-proto', 'http'],
      ['x-forwarded-host', 'a.test'],
    ])
  })

  it('is said by the PROXY protocol where it is spoken', async () => {
    const before = 'PROXY TCP4 203.0.113.7 127.0.0.1 1234 80\r\n'
    expect(header(await ask(edge, '/', { from: speaker, before }), 'x-forwarded-for')).toEqual(['203.0.113.7'])
  })

  it('cannot be said by the PROXY protocol from elsewhere, nor left unsaid where it is spoken', async () => {
    const before = 'PROXY TCP4 203.0.113.7 127.0.0.1 1234 80\r\n'
    expect(await statusOf('/', { from: client, before })).toBe(400)
    const request = 'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'
    const place = { host: edge.address, port: edge.port, localAddress: speaker }
    expect(await exchange(place, request).catch(() => '')).toBe('')
  })
})

describe('an upgrade', () => {
  const magic = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
  const handshake = ['Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']

  it.each(['h2c', 'H2C', 'websocket, h2c', 'h2c;q=1'])('to %s is not passed on', async (protocol) => {
    const settings = ['Connection: Upgrade, HTTP2-Settings, close', 'HTTP2-Settings: AAMAAABkAAQAAP__']
    const answer = await ask(edge, '/', { headers: [...settings, ...handshake, `Upgrade: ${protocol}`] })
    // 3.x itself takes h2c out of a list and leaves the rest
    expect(header(answer, 'upgrade').join()).toMatch(/^(?:websocket)?$/)
    expect(header(answer, 'http2-settings')).toEqual([])
  })

  it('to a WebSocket is passed on, with all that follows', async () => {
    const chat = createServer()
    chat.on('upgrade', (request, socket) => {
      const accept = createHash('sha1').update(`${request.headers['sec-websocket-key']}${magic}`).digest('base64')
      const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: websocket']
      socket.write([...lines, `Sec-WebSocket-Accept: ${accept}`, '', 'hello '].join('\r\n'))
      socket.on('data', (chunk) => socket.end(`${request.headers.connection}: ${chunk}`))
    })
    const backendOfChat = backend('chat', [await listening(chat)])
    const other = await startEdge(model([backendOfChat], [route('/', backendOfChat)]))
    const lines = ['Connection: keep-alive, X-Forwarded-For, Upgrade', 'Upgrade: websocket', ...handshake, '', 'frames']
    const text = await exchange(
      { host: other.address, port: other.port },
      ['GET / HTTP/1.1', 'Host: a.test', ...lines].join('\r\n'),
    )
    expect(text).toMatch(/^HTTP\/1\.1 101 /)
    expect(text.split('\r\n\r\n')[1]).toBe('hello Upgrade: frames')
  })
})

describe('the Connection header', () => {
  it('cannot name headers for a proxy further on to drop', async () => {
    const headers = ['Connection: X-Forwarded-For, X-Forwarded-Proto, close']
    const answer = await ask(edge, '/', { headers })
    expect(header(answer, 'connection')).toEqual([])
    expect(header(answer, 'x-forwarded-for').length).toBe(1)
    expect(answer.headers.get('connection')).toBe('close')
  })

  it('leaves an HTTP/1.0 client its keep-alive', async () => {
    const one = 'GET /1 HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n'
    const two = 'GET /2 HTTP/1.0\r\nHost: a.test\r\n\r\n'
    const text = await exchange({ host: edge.address, port: edge.port }, one + two)
    expect(text).toContain('"target":"/1"')
    expect(text).toContain('"target":"/2"')
  })
})

describe('header names outside letters, digits and -', () => {
  it.each([
    ['keep', 200, ['1']],
    ['delete', 200, []],
    ['reject', 403, null],
  ] as const)('with %s', async (headerNames, status, values) => {
    const web = backend('web', [await echo('web')])
    const other = await startEdge(model([web], [route('/', web)]), { headerNames })
    const answer = await ask(other, '/', { headers: ['user_id: 1'] })
    expect(answer.status).toBe(status)
    if (values !== null) expect(header(answer, 'user_id')).toEqual(values)
    await other.stop()
  })
})
