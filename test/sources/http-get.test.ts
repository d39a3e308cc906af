import http, { type RequestListener } from 'node:http'
import { createServer } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { httpClient } from '../../src/sources/http-get.ts'
import { freePort } from '../support/ports.ts'

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

const never = new AbortController().signal

async function serve(listener: RequestListener): Promise<string> {
  const server = http.createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cleanups.push(() => {
    server.closeAllConnections()
    server.close()
  })
  const bound = server.address()
  return bound === null || typeof bound === 'string' ? '' : `http://127.0.0.1:${bound.port}`
}

function client(...parts: Parameters<typeof httpClient>): ReturnType<typeof httpClient> {
  const made = httpClient(...parts)
  cleanups.push(made.close)
  return made
}

describe('a bounded GET', () => {
  it('sends exactly the headers it is told, and gives status, headers and body', async () => {
    const url = await serve((request, response) => {
      response.setHeader('X-Told', JSON.stringify(request.rawHeaders))
      response.statusCode = 503
      response.end('not ready')
    })
    const answer = await client(url, { headers: { Accept: 'application/json' } }).get('/x?y=z', never)
    expect(answer).toMatchObject({ ok: true, status: 503, body: Buffer.from('not ready') })
    const told: unknown = answer.ok ? JSON.parse(String(answer.headers['x-told'])) : null
    expect(told).toEqual(['Accept', 'application/json', 'Host', url.replace('http://', ''), 'Connection', 'keep-alive'])
  })

  it('reads a body of the largest size, and not one byte more', async () => {
    const url = await serve((request, response) => response.end('x'.repeat(Number(request.url?.slice(1)))))
    const bounded = client(url, { maxBytes: 100_000 })
    expect(await bounded.get('/100000', never)).toMatchObject({ ok: true, status: 200 })
    expect(await bounded.get('/100001', never)).toEqual({ ok: false, error: 'GET /100001: more than 100000 bytes' })
    expect(await bounded.get('/5', never, { maxBytes: 4 })).toMatchObject({ ok: false })
  })

  it('ends at its deadline, whether nothing comes or a little at a time', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/silent') return
      const drip = setInterval(() => response.write(' '), 10)
      response.on('close', () => clearInterval(drip))
    })
    const hurried = client(url, { timeout: 100 })
    const why = expect.stringContaining('no whole answer within 100 ms')
    expect(await hurried.get('/silent', never)).toEqual({ ok: false, error: why })
    expect(await hurried.get('/drip', never)).toEqual({ ok: false, error: why })
  })

  it('ends when it is aborted, before or after it began', async () => {
    const controller = new AbortController()
    const url = await serve(() => controller.abort())
    const answer = { ok: false, error: 'GET /: aborted' }
    expect(await client(url).get('/', controller.signal)).toEqual(answer)
    expect(await client(url).get('/', controller.signal)).toEqual(answer)
  })

  it('tells an answer that was cut from a whole one', async () => {
    const url = await serve((_request, response) => {
      response.writeHead(200, { 'Content-Length': '100' })
      response.write('half')
      setTimeout(() => response.destroy(), 20)
    })
    expect((await client(url).get('/', never)).ok).toBe(false)
  })

  it('gives no answer where nobody listens, and where no HTTP is spoken', async () => {
    const port = await freePort()
    expect(await client(`http://127.0.0.1:${port}`).get('/', never)).toEqual({
      ok: false,
      error: `GET /: connect ECONNREFUSED 127.0.0.1:${port}`,
    })
    const server = createServer((socket) => socket.end('220 mail.example.com\r\n'))
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    cleanups.push(() => server.close())
    expect((await client(`tcp://127.0.0.1:${port}`).get('/', never)).ok).toBe(false)
  })

  it('does not follow a redirect', async () => {
    const paths: (string | undefined)[] = []
    const url = await serve((request, response) => {
      paths.push(request.url)
      response.writeHead(302, { Location: '/other' }).end()
    })
    expect(await client(url).getJson('/', never)).toMatchObject({ ok: false, status: 302 })
    expect(paths).toEqual(['/'])
  })

  it.each(['http://', 'ftp://host', 'http://user:password@host', 'unix://docker.sock', 'http://host/path', 'host:80'])(
    '%s is no place to ask, and is not repeated in the error',
    async (url) => {
      const answer = await client(url).get('/', never)
      expect(answer).toEqual({ ok: false, error: expect.stringMatching(/^GET \/: expected http:/) })
    },
  )

  it('refuses a path that could end the request line', async () => {
    const url = await serve((_request, response) => response.end())
    expect((await client(url).get('/a b\r\nX: y', never)).ok).toBe(false)
  })
})

describe('a GET of JSON', () => {
  it('gives the value of a good answer, and an excerpt of any other', async () => {
    const url = await serve((request, response) => {
      response.statusCode = request.url === '/error' ? 500 : 200
      response.end(request.url === '/good' ? '{"a":[1]}' : `<html>\u001b${'x'.repeat(500)}`)
    })
    expect(await client(url).getJson('/good', never)).toEqual({ ok: true, value: { a: [1] } })
    const bad = await client(url).getJson('/bad', never)
    expect(bad).toMatchObject({
      ok: false,
      status: 200,
      error: expect.stringContaining('expected JSON, got <html>\\u001bx'),
    })
    expect(bad.ok ? '' : bad.error).toHaveLength('GET /bad: expected JSON, got '.length + 120 + '\\u001b'.length - 1)
    expect(await client(url).getJson('/error', never)).toMatchObject({ ok: false, status: 500 })
  })
})

describe('an answer of lines', () => {
  it('gives each line once it is whole, also when it comes in pieces', async () => {
    let finish = () => {}
    const url = await serve((_request, response) => {
      response.write(Buffer.from('one\ntw'))
      const euro = Buffer.from('€')
      finish = () => {
        response.write(Buffer.concat([Buffer.from('o '), euro.subarray(0, 1)]))
        setTimeout(() => response.end(Buffer.concat([euro.subarray(1), Buffer.from('\n\nthree\nfo')])), 20)
      }
    })
    const lines: string[] = []
    const answer = await client(url).getLines('/', (line) => lines.push(line), never)
    if (!answer.ok) throw new Error(answer.error)
    finish()
    expect(await answer.stream.ended).toBe('GET /: the stream ended')
    expect(lines).toEqual(['one', 'two €', 'three'])
  })

  it('has no deadline after its head', async () => {
    let write = () => {}
    const url = await serve((_request, response) => {
      response.flushHeaders()
      write = () => response.write('late\n')
    })
    const late = new Promise<string>((resolve) => {
      void client(url, { timeout: 50 })
        .getLines('/', resolve, never)
        .then(() => setTimeout(() => write(), 150))
    })
    expect(await late).toBe('late')
  })

  it('ends when it is closed, and when it is aborted', async () => {
    const url = await serve((_request, response) => response.flushHeaders())
    const controller = new AbortController()
    const aborted = await client(url).getLines('/', () => {}, controller.signal)
    const closed = await client(url).getLines('/', () => {}, never)
    if (!aborted.ok || !closed.ok) throw new Error('expected two streams')
    controller.abort()
    closed.stream.close()
    expect(await aborted.stream.ended).toMatch(/^GET \/: /)
    expect(await closed.stream.ended).toMatch(/^GET \/: /)
  })

  it('is an error with another status, or without a head in time', async () => {
    const url = await serve((request, response) => {
      if (request.url !== '/silent') response.writeHead(500).end()
    })
    const hurried = client(url, { timeout: 50 })
    expect(await hurried.getLines('/', () => {}, never)).toEqual({ ok: false, error: 'GET /: status 500' })
    expect(await hurried.getLines('/silent', () => {}, never)).toMatchObject({ ok: false })
  })
})
