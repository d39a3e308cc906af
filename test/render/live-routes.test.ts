import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { explain, parseQuestion } from '../../src/model/explain.ts'
import { printMatch } from '../../src/routes/grammar.ts'
import type { Redirect, Rewrite } from '../../src/types.ts'
import { anyMatch, backend, model, route } from '../support/models.ts'
import { ask, type Edge, echo, header, seen, startEdge } from './live.ts'

const gone = backend('gone', [])
let edge: Edge

beforeAll(async () => {
  const service = async (name: string) => backend(name, [await echo(name)])
  const [shop, api, ping, raw, tenants, deep, any, plain] = await Promise.all(
    ['shop', 'api', 'ping', 'raw', 'tenants', 'deep', 'any', 'plain'].map(service),
  )
  if (!shop || !api || !ping || !raw || !tenants || !deep || !any || !plain) throw new Error('expected eight services')
  const to = (code: Redirect['code'], ...location: Redirect['location']): Partial<Rewrite> => ({
    redirect: { code, location },
  })
  edge = await startEdge(
    model(
      [shop, api, ping, raw, tenants, deep, any, plain, gone],
      [
        route('shop.test', shop),
        route('shop.test/api', api),
        route('shop.test/api/ping$', ping),
        route('shop.test/raw/*', raw),
        route('shop.test/raw', shop),
        route('shop.test/v*', raw),
        route('shop.test/free', plain, { rawpath: true }),
        route('part.test/only', api),
        route('*.test', tenants),
        route('*.b.test/deep', deep),
        route('x_y.test', plain),
        route('/any', any),
        route('gone.other', gone),
        // rewrites
        route('strip.other/api', api, { strip: '/api' }),
        route('strip.other/a/b', api, { strip: '/a' }),
        route('strip.other/r*', api, { strip: '/r' }),
        route('add.other/in', api, { add: '/v1' }),
        route('both.other/api', api, { strip: '/api', add: '/v1/x' }),
        route('host.other', api, { host: 'inner.example.com' }),
        route('slow.other', api, { timeout: 150 }),
        // redirects
        route(
          'old.other',
          'old',
          to(301, { literal: 'https://' }, { variable: 'host' }, { variable: 'path' }, { variable: 'query' }),
        ),
        route('old.other/302', 'old', to(302, { literal: '/new' })),
        route(
          'old.other/303',
          'old',
          to(303, { literal: 'http://new.test/?from=' }, { variable: 'path' }, { literal: '#end' }),
        ),
        route('old.other/307', 'old', to(307, { literal: '/x' }, { variable: 'query' })),
        route('old.other/308', 'old', to(308, { literal: 'http://new.test' }, { variable: 'path' })),
        route('left.other', 'left', to(301, { literal: '/new' }), { lingersUntil: 1 }),
      ],
    ),
  )
})

describe('a request finds its route', () => {
  it.each([
    ['shop.test', '/', 'shop'],
    ['shop.test', '/x', 'shop'],
    ['SHOP.Test', '/', 'shop'],
    ['shop.test.', '/', 'shop'],
    ['shop.test:8080', '/', 'shop'],
    ['shop.test.:8080', '/', 'shop'],
    ['shop.test', '/api', 'api'],
    ['shop.test', '/api/', 'api'],
    ['shop.test', '/api/x', 'api'],
    ['shop.test', '/api?q=/x', 'api'],
    ['shop.test', '/apiary', 'shop'],
    ['shop.test', '/API', 'shop'],
    ['shop.test', '/api/ping', 'ping'],
    ['shop.test', '/api/ping?q', 'ping'],
    ['shop.test', '/api/ping/', 'api'],
    ['shop.test', '/raw', 'shop'],
    ['shop.test', '/raw/', 'raw'],
    ['shop.test', '/raw/x', 'raw'],
    ['shop.test', '/v', 'raw'],
    ['shop.test', '/version', 'raw'],
    ['part.test', '/only/x', 'api'],
    ['part.test', '/else', 'tenants'],
    ['a.test', '/', 'tenants'],
    ['a.b.test', '/', 'tenants'],
    ['a.b.test', '/deep', 'deep'],
    ['a.b.test', '/deeper', 'tenants'],
    ['1.2.3.4.5.6.7.8.test', '/', 'tenants'],
    ['1.2.3.4.5.6.7.8.9.test', '/any', 'any'],
    ['1.2.3.4.5.6.7.8.9.test', '/', 404],
    ['x_y.test', '/', 'plain'],
    ['test', '/', 404],
    ['unknown', '/any/thing', 'any'],
    ['192.0.2.1:80', '/any', 'any'],
    ['unknown', '/', 404],
  ])('%s%s -> %s', async (host, target, expected) => {
    const answer = await ask(edge, target, { host })
    expect(answer.status === 200 ? seen(answer).service : answer.status).toBe(expected)
    if (answer.status === 200) expect(seen(answer).target).toBe(target)
  })

  it('answers 404 in plain text that nobody keeps', async () => {
    const answer = await ask(edge, '/', { host: 'unknown' })
    expect([answer.status, answer.body]).toEqual([404, 'no route\n'])
    expect(answer.headers.get('content-type')).toBe('text/plain')
    expect(answer.headers.get('cache-control')).toBe('no-cache')
  })

  it('answers 503 and when to come back where there is no instance', async () => {
    const answer = await ask(edge, '/', { host: 'gone.other' })
    expect([answer.status, answer.body]).toEqual([503, 'no instance available\n'])
    expect(answer.headers.get('retry-after')).toBe('5')
  })

  it('answers a route whose redirecting service has left with 503', async () => {
    expect((await ask(edge, '/', { host: 'left.other' })).status).toBe(503)
  })
})

describe('what is left after strip', () => {
  it.each([...['/r..', '/r../x', '/r.', '/r./x', '/r..;x', '/r..%2fx', '/r..%5Cx', '/r%2e%2e/x', '/r.%2E', '/r%2e']])(
    'is never a dot segment: %s',
    async (target) => {
      expect((await ask(edge, target, { host: 'strip.other' })).status).toBe(400)
      const raw = route('strip.other/r*', backend('api', []), { strip: '/r' })
      const made = model([backend('api', [])], [raw])
      expect(explain(made, parseQuestion(`http://strip.other${target}`, 'GET'), 'auto').answer).toBe(400)
    },
  )
})

describe('a path is rewritten', () => {
  it.each([
    ['strip.other', '/api', '/', '/api'],
    ['strip.other', '/api/', '/', '/api'],
    ['strip.other', '/api?q=1', '/?q=1', '/api'],
    ['strip.other', '/api/x?q=/api', '/x?q=/api', '/api'],
    ['strip.other', '/api/api/api', '/api/api', '/api'],
    ['strip.other', '/api/a|b|c', '/a|b|c', '/api'],
    ['strip.other', '/a/b/c', '/b/c', '/a'],
    ['strip.other', '/r', '/', '/r'],
    ['strip.other', '/raw', '/aw', '/r'],
    ['strip.other', '/r.a', '/.a', '/r'],
    ['strip.other', '/r..a', '/..a', '/r'],
    ['add.other', '/in', '/v1/in', undefined],
    ['add.other', '/in/x?q', '/v1/in/x?q', undefined],
    ['both.other', '/api', '/v1/x', '/api'],
    ['both.other', '/api/', '/v1/x/', '/api'],
    ['both.other', '/api/y?q', '/v1/x/y?q', '/api'],
  ])('%s%s -> %s', async (host, target, expected, prefix) => {
    const answer = await ask(edge, target, { host })
    expect(seen(answer).target).toBe(expected)
    expect(header(answer, 'x-forwarded-prefix')).toEqual(prefix === undefined ? [] : [prefix])
  })

  it('with another Host, which the client named is passed on', async () => {
    const answer = await ask(edge, '/', { host: 'host.other:81' })
    expect(header(answer, 'host')).toEqual(['inner.example.com'])
    expect(header(answer, 'x-forwarded-host')).toEqual(['host.other:81'])
  })

  it('and a route can wait less than others', async () => {
    const slow = { headers: ['X-Delay: 3000'] }
    const answer = await ask(edge, '/', { host: 'slow.other', ...slow })
    expect([answer.status, answer.body]).toEqual([504, 'the instance did not answer in time\n'])
    expect(seen(await ask(edge, '/', { host: 'slow.other' })).service).toBe('api')
  })
})

describe('a redirect', () => {
  it.each([
    ['/', 301, 'https://old.other/'],
    ['/a/b?c=d', 301, 'https://old.other/a/b?c=d'],
    ['/%5b|?x=%[src]|$path', 301, 'https://old.other/%5b|?x=%[src]|$path'],
    ['/%25[env(HOME)]', 301, 'https://old.other/%25[env(HOME)]'],
    ['/302/x?q', 302, '/new'],
    ['/303/x?q', 303, 'http://new.test/?from=/303/x#end'],
    ['/307?q', 307, '/x?q'],
    ['/307', 307, '/x'],
    ['/307?', 307, '/x'],
    ['/308/x?q', 308, 'http://new.test/308/x'],
  ])('of %s answers %i with %s', async (target, status, location) => {
    const answer = await ask(edge, target, { host: 'OLD.other.:8080' })
    expect([answer.status, answer.headers.get('location')]).toEqual([status, location])
  })
})

const anyRequest = fc.record({
  host: fc.constantFrom(
    ...['a.test', 'A.test:80', 'test', 'b.a.test.', 'c.b.a.test', 'x_y.b.a.test', '1.2.3.4.5.6.7.8.a.test', 'else'],
    ...['1.x.y.z.b.a.test', 'a..test', '-a.test', 'a.test:', 'a.test:123456', 'a.test,b.test', 'u@a.test', 'a/b'],
  ),
  path: fc
    .array(
      fc.constantFrom(
        'a',
        'a',
        'b',
        'c',
        'ab',
        '~x',
        '',
        '.',
        '..',
        '%2e',
        '%61',
        'a;b',
        ';',
        '%2F',
        '%5c',
        '\\',
        '%00',
        'ä%20',
      ),
      {
        maxLength: 4,
      },
    )
    .map((segments) => `/${segments.join('/').replace('ä', '')}`),
})

describe('HAProxy and the reference matcher', () => {
  it('agree in every answer', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uniqueArray(anyMatch, { minLength: 4, maxLength: 16, selector: printMatch }),
        fc.array(fc.tuple(fc.constantFrom('one', 'two'), fc.boolean()), { minLength: 16, maxLength: 16 }),
        fc.array(anyRequest, { minLength: 40, maxLength: 40 }),
        async (matches, owners, requests) => {
          // every route is a redirect that tells which one it is, so no service has to run
          const routes = matches.map((match, index) => {
            const [service = 'one', rawpath = false] = owners[index] ?? []
            const redirect = { code: 302, location: [{ literal: `/route-${index}` }, { variable: 'path' }] } as const
            return route(printMatch(match), service, { rawpath, redirect })
          })
          const made = model([], routes)
          const running = await startEdge(made)
          try {
            for (const { host, path } of requests) {
              const expected = explain(made, { ...parseQuestion(path, 'GET'), host, path, hasUser: false }, 'auto')
              const answer = await ask(running, path, { host })
              const told = answer.status === 302 ? 'redirect' : answer.status
              expect([host, path, told, answer.headers.get('location') ?? null]).toEqual([
                host,
                path,
                expected.answer,
                expected.location,
              ])
            }
          } finally {
            await running.stop()
          }
        },
      ),
      { numRuns: 12 },
    )
  })
})
