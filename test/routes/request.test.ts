import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readInstance, type WrittenRoute } from '../../src/routes/request.ts'
import { instance, settings } from '../support/worlds.ts'

const { expose } = settings

function read(tags: readonly string[], meta: Record<string, string> = {}) {
  return readInstance(instance('web', 'w1', { tags, meta }), expose)
}

function specs(tags: readonly string[], meta: Record<string, string> = {}): readonly WrittenRoute[] {
  return read(tags, meta).routes.flatMap((request) => (request.kind === 'understood' ? [request.spec] : []))
}

describe('the tags and meta of an instance', () => {
  it('ask for nothing when none is ours', () => {
    const request = read(['http', 'heddlex.route=a.b', 'urlprefix-/x'], { version: '2' })
    expect(request).toMatchObject({ isExposed: false, routes: [], problems: [] })
  })

  it('spell the same route in a tag and in meta', () => {
    const [fromTag] = specs(['heddle.route=shop.example.com/api strip timeout=30s'])
    const [fromMeta] = specs([], { 'heddle-route': 'shop.example.com/api strip timeout=30s' })
    expect(fromTag).toEqual(fromMeta)
    expect(fromTag).toMatchObject({
      match: { host: 'shop.example.com', path: '/api', kind: 'prefix' },
      rewrite: { strip: '/api', timeout: 30_000 },
    })
  })

  it('name a route by its meta key', () => {
    const [route] = specs([], { 'heddle-route-API': 'shop.example.com/api' })
    expect(route?.id).toBe('#API')
  })

  it.each([
    ['strip', { strip: '/api/v1' }],
    ['strip=/api', { strip: '/api' }],
    ['strip=/api/', { strip: '/api' }],
    ['strip=/', { strip: null }],
    ['add=/q', { add: '/q' }],
    ['add=/q/', { add: '/q' }],
    ['host=WP.internal', { host: 'wp.internal' }],
    ['timeout=500ms', { timeout: 500 }],
    ['rawpath', { rawpath: true }],
    [
      'redirect=301,https://$host$path$query',
      {
        redirect: {
          code: 301,
          location: [{ literal: 'https://' }, { variable: 'host' }, { variable: 'path' }, { variable: 'query' }],
        },
      },
    ],
    ['redirect=302,/new', { redirect: { code: 302, location: [{ literal: '/new' }] } }],
  ])('understand the route option %s', (text, rewrite) => {
    expect(specs([`heddle.route=h.example/api/v1 ${text}`])[0]?.rewrite).toMatchObject(rewrite)
  })

  it.each([
    ['nonsense', 'unknown-option'],
    ['weight=3', 'unknown-option'],
    ['timeout=30', 'bad-option'],
    ['timeout=0s', 'bad-option'],
    ['timeout=30x', 'bad-option'],
    ['timeout=99999999d', 'bad-option'],
    ['timeout', 'bad-option'],
    ['strip=/other', 'bad-option'],
    ['strip=/ap', 'bad-option'],
    ['strip=api', 'bad-option'],
    ['add=../x', 'bad-option'],
    ['add=/a//b', 'bad-option'],
    ['host=a|b', 'bad-option'],
    ['host=*.x', 'bad-option'],
    ['rawpath=yes', 'bad-option'],
    ['priority=-1', 'bad-option'],
    ['priority=1e3', 'bad-option'],
    ['balance=random', 'bad-option'],
    ['sticky=a;b', 'bad-option'],
    ['maxconn=0', 'bad-option'],
    ['maxconn=５', 'bad-option'],
    ['proto=https', 'bad-option'],
    ['redirect=300,https://x', 'bad-option'],
    ['redirect=301,//evil', 'bad-option'],
    ['redirect=301,ftp://x', 'bad-option'],
    ['redirect=301,https:///x', 'bad-option'],
    ['redirect=301,/$path', 'bad-option'],
    ['redirect=301,/$query$path', 'bad-option'],
    ['redirect=301,https://$path', 'bad-option'],
    ['redirect=301,https://$query$path', 'bad-option'],
    ['redirect=301,https://.$path', 'bad-option'],
    ['redirect=301,https://x/$cookie', 'bad-option'],
    ['redirect=301,https://x/a|b', 'bad-option'],
    ['redirect=301,https://x/a;b', 'bad-option'],
    ['redirect=301,https://x/"a', 'bad-option'],
    ['redirect=301,https://$host$path$query$path', 'bad-option'],
    ['timeout=1s timeout=2s', 'duplicate-option'],
  ])('refuse the route option %s as %s, and keep knowing which route it was', (text, code) => {
    const request = read([`heddle.route=h.example/api/v1 ${text}`])
    expect(request.problems).toMatchObject([{ code, service: 'web', instance: 'host1/w1' }])
    expect(request.routes).toEqual([{ kind: 'bad-option', id: 'h.example/api/v1', key: 'h.example/api/v1' }])
  })

  it('read service options from tags and from meta', () => {
    const fromTags = read(['heddle.timeout=30s', 'heddle.sticky', 'heddle.balance=leastconn'])
    const fromMeta = read([], { 'heddle-timeout': '30s', 'heddle-sticky': 'true', 'heddle-balance': 'leastconn' })
    for (const request of [fromTags, fromMeta]) {
      expect(new Map([...request.service].map(([key, { options }]) => [key, options]))).toEqual(
        new Map<string, object>([
          ['balance', { balance: 'leastconn' }],
          ['sticky', { sticky: 'SRV' }],
          ['timeout', { timeout: 30_000 }],
        ]),
      )
    }
  })

  it.each([
    ['heddle.weight=300', 'bad-option'],
    ['heddle.weight=1e9', 'bad-option'],
    ['heddle.weight= 5', 'bad-option'],
    ['heddle.backup=1', 'bad-option'],
    ['heddle.strip', 'unknown-option'],
    ['heddle.constructor', 'unknown-option'],
    ['heddle.__proto__=x', 'unknown-option'],
    ['heddle.timeout=soon', 'bad-option'],
  ])('report %s as %s and go on with the rest', (tag, code) => {
    const request = read([tag, 'heddle.route=h.example/'])
    expect(request.problems.map((one) => one.code)).toEqual([code])
    expect(request.routes).toHaveLength(1)
  })

  it.each([
    ['heddle.route=h.example/api stripp', 'strip'],
    ['heddle.rout=h.example/', 'route'],
    ['heddle.route = h.example/', 'route'],
    ['heddle.stick', 'sticky'],
  ])('name what was meant by %s: %s', (tag, meant) => {
    expect(read([tag]).problems).toMatchObject([
      { code: 'unknown-option', hint: `did you mean ${meant}? docs/routes.md has all options` },
    ])
  })

  it.each(['heddle.nonsense', 'heddle.strip'])(
    'do not guess where nothing is near, or the name is right: %s',
    (tag) => {
      expect(read([tag]).problems[0]?.hint).not.toContain('did you mean')
    },
  )

  it('serve the first of two routes with the same match', () => {
    const request = read(['heddle.route=h.example/ timeout=2s', 'heddle.route=h.example/ timeout=1s'])
    expect(request.problems).toMatchObject([{ code: 'duplicate-route' }])
    expect(specs(['heddle.route=h.example/ timeout=2s', 'heddle.route=h.example/ timeout=1s'])).toMatchObject([
      { rewrite: { timeout: 1000 } },
    ])
  })

  it('give a bare tag the default host, which needs a domain', () => {
    expect(read(['heddle']).problems).toMatchObject([{ code: 'no-domain' }])
    const withDomain = readInstance(instance('Web', 'w1', { tags: ['heddle'] }), { ...expose, domain: 'example.com' })
    expect(withDomain.routes).toMatchObject([{ kind: 'understood', spec: { id: 'web.example.com/' } }])
    const odd = readInstance(instance('we b', 'w1', { tags: ['heddle'] }), { ...expose, domain: 'example.com' })
    expect(odd.problems).toMatchObject([{ code: 'bad-host' }])
  })

  it.each(['heddle.', 'heddle.=x'])('are not a bare tag when they name nothing: %s', (tag) => {
    expect(read([tag])).toMatchObject({ routes: [], problems: [{ code: 'unknown-option', subject: tag }] })
  })

  it('expose every service where the settings say so', () => {
    const all = { by: 'all', prefix: 'heddle', domain: 'example.com' } as const
    expect(readInstance(instance('web', 'w1'), all).routes).toMatchObject([{ spec: { id: 'web.example.com/' } }])
  })

  it('mean the same in any order', () => {
    const tags = [
      'heddle.route=a.example/x strip',
      'heddle.route=a.example/y',
      'heddle.timeout=1s',
      'heddle.weight=3',
      'x',
    ]
    const { routes, service, weight } = read(tags)
    fc.assert(
      fc.property(fc.shuffledSubarray(tags, { minLength: tags.length }), (shuffled) => {
        expect(read(shuffled)).toMatchObject({ routes, service, weight })
      }),
    )
  })

  it('cost no more than a bounded number of texts', () => {
    const tags = Array.from({ length: 2000 }, (_, index) => `heddle.route=h${index}.example`)
    const request = read(tags)
    expect(request.routes.length).toBeLessThanOrEqual(128)
    expect(request.problems).toMatchObject([{ code: 'too-many-routes' }])
    expect(read([`heddle.route=h.example ${'x'.repeat(100_000)}`]).problems[0]?.subject.length).toBeLessThan(300)
  })

  it('keep control and direction characters out of problems', () => {
    const [one] = read(['heddle.route=\u001b[2J\u202eevil\n']).problems
    expect(one?.subject).toMatch(/^[ -~]*$/)
  })
})

describe('instances of a service that say the same', () => {
  const [one, other] = ['w1', 'w2'].map((id) => (tags: readonly string[]) => instance('web', id, { tags }))

  it('are read once', () => {
    const tags = ['heddle.route=a.example', 'heddle.weight=5']
    const [first, second] = [one, other].map((make) => make && readInstance(make(tags), expose))
    expect(second).toBe(first)
  })

  it('have their problems each for itself', () => {
    const tags = ['heddle.route=-bad-.example']
    const keys = [one, other].flatMap((make) => make && readInstance(make(tags), expose).problems)
    expect(keys.map((problem) => problem?.instance)).toEqual([one?.(tags).key, other?.(tags).key])
  })
})
