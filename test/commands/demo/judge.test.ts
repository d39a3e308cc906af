import { describe, expect, it } from 'vitest'
import type { ContainerAnswer } from '../../../src/commands/demo/containers.ts'
import { type Answer, judge, latestRequest, type Probe, toService } from '../../../src/commands/demo/judge.ts'

const probe = toService('shop.localhost', '/cart/items', 'cart', { path: '/items', prefix: '/cart' })
const container: ContainerAnswer = {
  service: 'cart',
  instance: 'cart-1',
  node: 'host1',
  host: 'shop.localhost',
  path: '/items',
  prefix: '/cart',
}

function ok(change: Partial<ContainerAnswer> = {}): Answer {
  return { kind: 'response', status: 200, location: null, container: { ...container, ...change } }
}

function status(code: number, location: string | null = null): Answer {
  return { kind: 'response', status: code, location, container: null }
}

function verdict(answer: Answer, of: Probe = probe): string | null {
  return judge(of, answer, 1000, () => null)
}

describe('the judge of the demo', () => {
  it('accepts the right service with the right path', () => {
    expect(verdict(ok())).toBeNull()
  })

  it.each<[string, Answer, string]>([
    ['another service', ok({ service: 'shop' }), 'expected cart, got shop'],
    ['another path', ok({ path: '/cart/items' }), 'expected the path /items, got /cart/items'],
    ['a prefix nobody hears of', ok({ prefix: null }), 'expected the prefix /cart, got null'],
    ['a 503', status(503), 'expected 200, got 503'],
    ['a page that is no container', status(200), 'expected an answer of cart, got none of a container'],
    ['a connection that was cut', { kind: 'error', reason: 'no answer: ECONNRESET' }, 'no answer: ECONNRESET'],
  ])('refuses %s', (_, answer, reason) => {
    expect(verdict(answer)).toBe(reason)
  })

  it('wants a redirect to lead to its place', () => {
    const redirect: Probe = {
      host: 'shop.localhost',
      path: '/basket',
      expected: { kind: 'redirect', status: 301, location: '/cart' },
    }
    expect(verdict(status(301, '/cart'), redirect)).toBeNull()
    expect(verdict(status(302, '/cart'), redirect)).toBe('expected 301, got 302')
    expect(verdict(status(301, '/elsewhere'), redirect)).toBe('expected Location /cart, got /elsewhere')
  })

  it('wants nobody to answer for a service that is not exposed', () => {
    const hidden: Probe = { host: 'ledger.localhost', path: '/', expected: { kind: 'status', status: 404 } }
    expect(verdict(status(404), hidden)).toBeNull()
    expect(verdict(ok({ service: 'ledger' }), hidden)).toBe('expected 404, got 200')
  })

  it('lets a withdrawn instance answer requests that began before traffic could follow, and no later ones', () => {
    const since = 1000
    const at = (startedAt: number): string | null => judge(probe, ok(), startedAt, () => since)
    expect(at(since - 1)).toBeNull()
    expect(at(since + latestRequest)).toBeNull()
    expect(at(since + latestRequest + 1)).toBe(`cart-1 answered ${latestRequest + 1} ms after it was withdrawn`)
  })
})
