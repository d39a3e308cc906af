import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { findRoute, hostPatterns } from '../../src/model/match.ts'
import { pathPolicy } from '../../src/model/odd-paths.ts'
import { hostEntries, hostKey, mapText, routeEntries, stateEntries } from '../../src/render/maps.ts'
import type { Model, Redirect, RedirectPart, Route } from '../../src/types.ts'
import { anyModel, backend, model, route, server } from '../support/models.ts'

const web = backend('web', ['10.2.1.1:80'])
const api = backend('api', ['10.2.1.2:80'])

/** routes.map of routes to `web`, as an object. */
function keysFor(...texts: readonly string[]): readonly string[] {
  return [
    ...routeEntries(
      model(
        [web],
        texts.map((text) => route(text, web)),
      ),
    ).keys(),
  ]
}

function valueFor(one: Route): string | undefined {
  return [...routeEntries(model([web, api], [one])).values()][0]
}

describe('keys of routes.map', () => {
  it.each([
    ['a.test/p', ['a.test/p/', 'a.test/p?']],
    ['a.test/p/', ['a.test/p/', 'a.test/p?']],
    ['a.test/p$', ['a.test/p?']],
    ['a.test/p/$', ['a.test/p/?']],
    ['a.test/p*', ['a.test/p']],
    ['a.test/p/*', ['a.test/p/']],
    ['a.test', ['a.test/']],
    ['a.test/$', ['a.test/?']],
    ['*.a.test/p', ['a.test*/p/', 'a.test*/p?']],
    ['/p$', ['*/p?']],
    ['/', ['*/']],
  ])('%s is looked up as %j', (text, keys) => {
    expect(keysFor(text)).toEqual(keys)
  })

  it('gives an exact path to the exact match and what is below it to whole segments', () => {
    const routes = [route('a.test/p', web), route('a.test/p$', api)]
    expect(mapText(routeEntries(model([web, api], routes)))).toBe('a.test/p/ web|web\na.test/p? api|api\n')
  })

  it('gives what follows /p/ to the raw match and /p itself to whole segments', () => {
    const routes = [route('a.test/p', web), route('a.test/p/*', api)]
    expect(mapText(routeEntries(model([web, api], routes)))).toBe('a.test/p/ api|api\na.test/p? web|web\n')
  })
})

describe('values of routes.map', () => {
  it('names backend and service alone where nothing is rewritten', () => {
    expect(valueFor(route('a.test', web))).toBe('web|web')
  })

  it('names the section of a route whose options differ', () => {
    const sticky = backend('web', [], { sticky: 'SRV' })
    expect(sticky.id).toMatch(/^web:[0-9a-f]{6}$/)
    expect(valueFor(route('a.test', sticky))).toBe(`${sticky.id}|web`)
  })

  it('never shows a service name that HAProxy could misread', () => {
    const odd = backend('a b\n|x', [])
    expect(odd.id).toMatch(/^x:[0-9a-f]{24}$/)
    expect(valueFor(route('a.test', odd))).toBe(`${odd.id}|${odd.id}`)
    expect(valueFor(route('a.test', 'a b\n|x', { redirect: to(301, '/x') }))).toContain(`|${odd.id}|`)
  })

  it.each([
    [{ rawpath: true }, 'web|web|r'],
    [{ strip: '/api' }, 'web|web||/api'],
    [{ add: '/v1' }, 'web|web|||/v1'],
    [{ host: 'inner.test' }, 'web|web||||inner.test'],
    [{ timeout: 2_000 }, 'web|web|||||2000'],
    [{ rawpath: true, strip: '/a', add: '/b', host: 'c', timeout: 1 }, 'web|web|r|/a|/b|c|1'],
  ])('says %j as %s', (rewrite, value) => {
    expect(valueFor(route('a.test/api', web, rewrite))).toBe(value)
  })

  it('takes a redirect apart into literals and kinds of variables in turn', () => {
    const redirect = to(301, 'https://', 'host', 'path', 'query')
    expect(valueFor(route('a.test', 'old', { redirect }))).toBe(':redirect|old||||||301|https://|h||p||q')
    const mixed = to(308, '/to', 'path', '/and', 'host', '/end')
    expect(valueFor(route('a.test', 'old', { redirect: mixed }))).toBe(':redirect|old||||||308|/to|p|/and|h|/end')
  })

  it('sends a route of a service that has left to its empty backend, and a redirect of one nowhere', () => {
    const gone = { lingersUntil: 1 }
    expect(valueFor(route('a.test', web, {}, gone))).toBe('web|web')
    expect(valueFor(route('a.test', 'old', { redirect: to(301, '/x') }, gone))).toMatch(/^:none\|old\|/)
  })

  it.each([
    ['a path with a blank', { ...route('a.test/p', web), match: { host: 'a.test', path: '/p q', kind: 'prefix' } }],
    ['a path with a separator', { ...route('a.test/p', web), match: { host: 'a.test', path: '/p|q', kind: 'prefix' } }],
    ['a host with a newline', { ...route('a.test/p', web), match: { host: 'a\nb', path: '/', kind: 'prefix' } }],
    ['a backend of its own making', { ...route('a.test/p', web), backend: 'a|b' }],
    ['a backend among our own', { ...route('a.test/p', web), backend: ':status' }],
    ['a URL with a blank', route('a.test', 'old', { redirect: to(301, '/a b') })],
    ['a URL with a separator', route('a.test', 'old', { redirect: to(301, '/a|b') })],
    ['more than three variables', route('a.test', 'old', { redirect: to(301, '/', 'path', 'host', 'path', 'host') })],
  ] satisfies [string, Route][])('is never written with %s', (_what, one) => {
    expect(() => routeEntries({ routes: [one], backends: new Map() })).toThrow(/^expected /)
  })
})

function to(code: Redirect['code'], ...texts: readonly string[]): Redirect {
  const location = texts.map(
    (text): RedirectPart =>
      text === 'host' || text === 'path' || text === 'query' ? { variable: text } : { literal: text },
  )
  return { code, location }
}

/** What `map_beg` does: the value of the longest key that the text begins with. */
function longestPrefix(entries: ReadonlyMap<string, string>, text: string): string | undefined {
  for (let end = text.length; end > 0; end--) {
    const value = entries.get(text.slice(0, end))
    if (value !== undefined) return value
  }
  return undefined
}

const anyQuestion = fc.record({
  host: fc.constantFrom('a.test', 'test', 'b.a.test', 'c.b.a.test', 'x_y.b.a.test', '1.2.3.4.5.6.7.8.a.test', 'else'),
  path: fc
    .array(fc.constantFrom('a', 'b', 'c', 'ab', '~x', 'A.b-c_d', ''), { maxLength: 4 })
    .map((segments) => `/${segments.join('/')}`),
})

describe('routes.map as a whole', () => {
  it('gives every host and path the route that the reference matcher gives', () => {
    fc.assert(
      fc.property(anyModel, fc.array(anyQuestion, { minLength: 20, maxLength: 20 }), (made, questions) => {
        const entries = routeEntries(made)
        for (const { host, path } of questions) {
          const keys = hostPatterns(host).map((pattern) => `${hostKey(pattern)}${path}?`)
          const found = keys.map((key) => longestPrefix(entries, key)).find((value) => value !== undefined)
          const expected = findRoute(made.routes, host, path)
          expect(found).toBe(expected === null ? undefined : valueFor(expected))
        }
      }),
      { numRuns: 300 },
    )
  })

  it('is in byte order of keys, whatever the order of routes', () => {
    fc.assert(
      fc.property(anyModel, fc.gen(), (made, gen) => {
        const shuffled = gen(fc.shuffledSubarray, [...made.routes], { minLength: made.routes.length })
        const text = mapText(routeEntries(made))
        expect(mapText(routeEntries({ ...made, routes: shuffled }))).toBe(text)
        const lines = text.split('\n').slice(0, -1)
        expect(lines.map((line) => line.split(' ')[0])).toEqual([...lines.map((line) => line.split(' ')[0])].sort())
      }),
    )
  })

  it('keeps its identity while every route is the same object', () => {
    const made = model([web, api], [route('a.test', web), route('b.test', api)])
    const entries = routeEntries(made)
    expect(routeEntries({ ...made, routes: [...made.routes] })).toBe(entries)
    expect(routeEntries({ ...made, routes: made.routes.slice(1) })).not.toBe(entries)
  })
})

describe('which hosts refuse odd paths', () => {
  function policy(...routes: readonly Route[]): Record<string, string> {
    return Object.fromEntries(pathPolicy(routes, 'auto'))
  }

  it('lets them through where one service has the whole host', () => {
    expect(policy(route('a.test', web), route('a.test/x', web))).toEqual({ 'a.test': 'plain' })
  })

  it('refuses them where several services share the paths of a host', () => {
    expect(policy(route('a.test', web), route('a.test/api', api))).toEqual({ 'a.test': 'strict' })
  })

  it('counts a less specific host that requests can fall through to', () => {
    expect(policy(route('a.test/x', web), route('*.test/y', api))).toEqual({ 'a.test': 'strict', '*.test': 'plain' })
    expect(policy(route('a.test/x', web), route('/y', api))).toEqual({ 'a.test': 'strict', '*': 'plain' })
  })

  it('counts nobody behind a route for /, on the host itself or on the way', () => {
    expect(policy(route('a.test', web), route('/y', api))).toEqual({ 'a.test': 'plain', '*': 'plain' })
    const onTheWay = policy(route('b.a.test/x', web), route('*.a.test', web), route('*.test', api))
    expect(onTheWay).toEqual({ 'b.a.test': 'plain', '*.a.test': 'plain', '*.test': 'plain' })
  })

  it('still lets requests fall through an exact /', () => {
    expect(policy(route('a.test/$', web), route('/y', api))).toEqual({ 'a.test': 'strict', '*': 'plain' })
  })

  it('counts a wildcard only where it can span the labels', () => {
    const name = '1.2.3.4.5.6.7.8.9'
    expect(policy(route(`${name}/x`, web), route('*.9/y', api))[name]).toBe('strict')
    expect(policy(route(`0.${name}/x`, web), route('*.9/y', api))[`0.${name}`]).toBe('plain')
    expect(policy(route('*.2.3.4.5.6.7.8.9/x', web), route('*.9/y', api))['*.2.3.4.5.6.7.8.9']).toBe('strict')
    expect(policy(route(`*.${name}/x`, web), route('*.9/y', api))[`*.${name}`]).toBe('plain')
  })

  it('is the same everywhere when the setting says so', () => {
    const routes = [route('a.test', web), route('b.test/x', web), route('b.test/y', api)]
    expect(new Set(pathPolicy(routes, 'strict').values())).toEqual(new Set(['strict']))
    expect(new Set(pathPolicy(routes, 'plain').values())).toEqual(new Set(['plain']))
  })

  it('stands in hosts.map under the keys that the frontend looks for', () => {
    const made = model([web, api], [route('a.test/x', web), route('*.test/y', api), route('/z', api)])
    expect(mapText(hostEntries(made, 'auto'))).toBe('* plain\na.test strict\ntest* plain\n')
  })
})

describe('state.map', () => {
  function isAlive(made: Model): boolean {
    return stateEntries(made).get('alive') === '1'
  }

  it('is alive while one route has a server that takes requests', () => {
    expect(isAlive(model([web], [route('a.test', web)]))).toBe(true)
    expect(isAlive(model([web], []))).toBe(false)
    expect(isAlive(model([backend('web', [])], [route('a.test', backend('web', []))]))).toBe(false)
  })

  it.each([{ state: 'drain' }, { state: 'maint' }, { weight: 0 }] as const)('counts no server with %j', (change) => {
    const sick = backend('web', [server('10.2.1.1:80', change)])
    expect(isAlive(model([sick], [route('a.test', sick)]))).toBe(false)
  })

  it('is alive by a redirect while its service is registered', () => {
    const redirect = to(301, '/x')
    expect(isAlive(model([], [route('a.test', 'old', { redirect })]))).toBe(true)
    expect(isAlive(model([], [route('a.test', 'old', { redirect }, { lingersUntil: 1 })]))).toBe(false)
  })
})
