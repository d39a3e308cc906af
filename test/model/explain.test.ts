import { describe, expect, it } from 'vitest'
import { explain, parseQuestion } from '../../src/model/explain.ts'
import type { Instance, RenderSettings } from '../../src/types.ts'
import { decideFor, instance, routed } from '../support/worlds.ts'

function ask(instances: readonly Instance[], url: string, method = 'GET', paths: RenderSettings['paths'] = 'auto') {
  return explain(decideFor(instances).model, parseQuestion(url, method), paths)
}

let last = 0
function service(name: string, ...routes: readonly string[]): Instance {
  last = (last + 1) % 250
  return routed(name, routes, { address: `10.2.7.${last}` })
}

const catalog = [
  service('shop', 'shop.example.com'),
  service('api', 'shop.example.com/api strip add=/v1'),
  service('ping', 'shop.example.com/api/ping$'),
  service('legacy', 'shop.example.com/old* rawpath'),
  service('tenants', '*.shop.example.com'),
  service('tree', '*.example.com/tree'),
  service('any', '/healthz'),
  service('raw', 'shop.example.com/api/v9/*'),
  service('v9', 'shop.example.com/api/v9'),
  service('moved', 'moved.example.com redirect=301,https://$host/new$path$query'),
]

describe('which route takes a request', () => {
  it.each([
    ['http://shop.example.com/', 'shop'],
    ['http://SHOP.example.com:8080/x', 'shop'],
    ['http://shop.example.com./x', 'shop'],
    ['http://shop.example.com', 'shop'],
    ['http://shop.example.com/api', 'api'],
    ['http://shop.example.com/api/', 'api'],
    ['http://shop.example.com/api/x', 'api'],
    ['http://shop.example.com/api?q', 'api'],
    ['http://shop.example.com/apiary', 'shop'],
    ['http://shop.example.com/API', 'shop'],
    ['http://shop.example.com/api/ping', 'ping'],
    ['http://shop.example.com/api/ping/', 'api'],
    ['http://shop.example.com/older', 'legacy'],
    ['http://shop.example.com/api/v9', 'v9'],
    ['http://shop.example.com/api/v9/', 'raw'],
    ['http://shop.example.com/api/v9/x', 'raw'],
    ['http://a.shop.example.com/x', 'tenants'],
    ['http://a.b.shop.example.com/x', 'tenants'],
    ['http://x.example.com/tree/1', 'tree'],
    ['http://1.2.3.4.5.6.7.8.example.com/tree', 'tree'],
    ['http://other.test/healthz', 'any'],
    ['http://x.example.com/healthz', 'any'],
  ])('%s goes to %s', (url, name) => {
    expect(ask(catalog, url)).toMatchObject({ answer: 'service', service: name })
  })

  it.each([
    ['http://other.test/', 404],
    ['http://x.example.com/other', 404],
    ['http://example.com/tree', 404],
    ['http://1.2.3.4.5.6.7.8.9.example.com/tree', 404],
    ['/x', 400],
    ['http://user@shop.example.com/', 400],
    ['http://a..b/', 400],
    ['http://-a.b/', 400],
    ['http://a_b-.c/', 400],
    ['http://h:123456/', 400],
    ['http://shop.example.com/x/../y', 400],
    ['http://shop.example.com/x/%2e%2E/y', 400],
    ['http://shop.example.com/x/..;/y', 400],
    ['http://shop.example.com/x;../y', 400],
    ['http://shop.example.com/..%2fx', 400],
    ['http://shop.example.com/..', 400],
    ['http://shop.example.com/a\\b', 400],
    ['http://shop.example.com/a%00b', 400],
    ['http://shop.example.com/a//b', 400],
    ['http://shop.example.com/%61', 400],
    ['http://shop.example.com/a;b', 400],
  ])('%s gets %i', (url, answer) => {
    expect(ask(catalog, url)).toMatchObject({ answer, service: null })
  })

  it('refuses CONNECT and has no route for OPTIONS *', () => {
    expect(ask(catalog, 'http://shop.example.com/', 'CONNECT').answer).toBe(400)
    expect(ask(catalog, 'http://shop.example.com*', 'OPTIONS').answer).toBe(404)
    expect(ask(catalog, 'http://shop.example.com/x', 'OPTIONS').answer).toBe('service')
  })

  it('lets odd paths through where one service has the host, where the route says so, and where the settings say so', () => {
    expect(ask(catalog, 'http://a.shop.example.com/a//b').answer).toBe('service')
    expect(ask(catalog, 'http://shop.example.com/old//b')).toMatchObject({ answer: 'service', service: 'legacy' })
    expect(ask(catalog, 'http://shop.example.com/a//b', 'GET', 'plain').answer).toBe('service')
    expect(ask(catalog, 'http://a.shop.example.com/a//b', 'GET', 'strict').answer).toBe(400)
  })
})

describe('what becomes of the request', () => {
  it.each([
    ['strip', '/api', '/'],
    ['strip', '/api/', '/'],
    ['strip', '/api/x/api', '/x/api'],
    ['strip add=/q', '/api', '/q'],
    ['strip add=/q', '/api/', '/q/'],
    ['strip add=/q', '/api/x', '/q/x'],
    ['add=/q', '/api', '/q/api'],
    ['', '/api/x', '/api/x'],
  ])('with `%s` %s reaches the service as %s', (options, sent, got) => {
    const answer = ask([service('web', `h.example/api ${options}`)], `http://h.example${sent}?a=1`)
    expect(answer.path).toBe(`${got}?a=1`)
  })

  it('a raw match strips its text and leaves a path', () => {
    expect(ask([service('web', 'h.example/api* strip')], 'http://h.example/apiary').path).toBe('/ary')
  })

  it('a redirect leads to its URL, client text filled in once', () => {
    const answer = ask(catalog, 'http://Moved.example.com:80/$host?x=$path')
    expect(answer).toMatchObject({ answer: 'redirect', location: 'https://moved.example.com/new/$host?x=$path' })
  })

  it('a service without a usable instance gets 503', () => {
    const sick = [instance('web', 'w', { health: 'critical', tags: ['heddle.route=h.example'] })]
    expect(ask(sick, 'http://h.example/')).toMatchObject({ answer: 503, service: 'web' })
    const weightless = [instance('web', 'w', { tags: ['heddle.route=h.example', 'heddle.weight=0'] })]
    expect(ask(weightless, 'http://h.example/')).toMatchObject({ answer: 503 })
  })

  it('comes with the candidates in order and why each lost', () => {
    const reasons = ask(catalog, 'http://shop.example.com/api/x').candidates.map(
      ({ route, reason }) => `${route.service}: ${reason}`,
    )
    expect(reasons).toEqual([
      'ping: its path does not match',
      'raw: its path does not match',
      'v9: its path does not match',
      'api: taken: the most specific host and path',
      'legacy: its path does not match',
      'shop: its path is less specific than that of shop.example.com/api',
      'tree: its path does not match',
      'any: its path does not match',
    ])
  })
})
