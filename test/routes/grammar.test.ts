import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseMatch, printMatch } from '../../src/routes/grammar.ts'

const label = fc.stringMatching(/^[a-z0-9_](?:[a-z0-9_-]{0,10}[a-z0-9_])?$/)
const name = fc.array(label, { minLength: 1, maxLength: 4 }).map((labels) => labels.join('.'))
const host = fc.oneof(
  name,
  name.map((rest) => `*.${rest}`),
  fc.constant(''),
)
const segment = fc.stringMatching(/^[A-Za-z0-9_~-]{1,8}$/)
const path = fc.array(segment, { maxLength: 4 }).map((segments) => `/${segments.join('/')}`)
const matchText = fc.tuple(host, path, fc.constantFrom('', '$', '*', '/')).map(([h, p, mark]) => {
  return mark === '/' && p === '/' ? `${h}/` : `${h}${p}${mark}`
})

describe('the match of a route', () => {
  it.each([
    ['shop.example.com', { host: 'shop.example.com', path: '/', kind: 'prefix' }],
    ['Shop.Example.COM/API', { host: 'shop.example.com', path: '/API', kind: 'prefix' }],
    ['shop.example.com/api/', { host: 'shop.example.com', path: '/api', kind: 'prefix' }],
    ['shop.example.com/api$', { host: 'shop.example.com', path: '/api', kind: 'exact' }],
    ['shop.example.com/api/$', { host: 'shop.example.com', path: '/api/', kind: 'exact' }],
    ['shop.example.com/api*', { host: 'shop.example.com', path: '/api', kind: 'raw' }],
    ['*.example.com/x', { host: '*.example.com', path: '/x', kind: 'prefix' }],
    ['/healthz$', { host: '*', path: '/healthz', kind: 'exact' }],
    ['/', { host: '*', path: '/', kind: 'prefix' }],
    ['/*', { host: '*', path: '/', kind: 'prefix' }],
    ['/$', { host: '*', path: '/', kind: 'exact' }],
    ['my_service.local/a_b', { host: 'my_service.local', path: '/a_b', kind: 'prefix' }],
    ['localhost', { host: 'localhost', path: '/', kind: 'prefix' }],
    ['xn--bcher-kva.example', { host: 'xn--bcher-kva.example', path: '/', kind: 'prefix' }],
  ])('%s is understood', (text, expected) => {
    expect(parseMatch(text)).toEqual({ kind: 'parsed', value: expected })
  })

  it.each([
    ['', 'empty-match'],
    ['*', 'bad-host'],
    ['*/path', 'bad-host'],
    ['*.', 'bad-host'],
    ['a.*.example.com', 'bad-host'],
    ['*example.com', 'bad-host'],
    ['example.com.', 'bad-host'],
    ['example.com:8080', 'bad-host'],
    ['a..b', 'bad-host'],
    ['-a.b', 'bad-host'],
    ['a-.b', 'bad-host'],
    [`${'a'.repeat(64)}.b`, 'bad-host'],
    [`${'a.'.repeat(127)}b`, 'bad-host'],
    ['аpple.example', 'bad-host'],
    ['ok.local }', 'bad-host'],
    ['a } || { always_true', 'bad-host'],
    ['-f', 'bad-host'],
    ['http://shop.example.com/', 'bad-host'],
    ['shop.e\u212aample', 'bad-host'],
    ['"${HOME}"', 'bad-host'],
    ['%[env(PATH)]', 'bad-host'],
    ['(a+)+$', 'bad-host'],
    ['host\nbackend evil', 'bad-host'],
    ['h/../admin', 'bad-path'],
    ['h/./a', 'bad-path'],
    ['h/a/..', 'bad-path'],
    ['h//a', 'bad-path'],
    ['h/%2e%2e', 'bad-path'],
    ['h/a#b', 'bad-path'],
    ['h/a?b', 'bad-path'],
    ['h/a|b', 'bad-path'],
    ['h/a*b', 'bad-path'],
    ['h/a$b', 'bad-path'],
    ['h/é', 'bad-path'],
    [`h/${'a'.repeat(600)}`, 'bad-path'],
  ])('%j is refused as %s', (text, code) => {
    expect(parseMatch(text)).toMatchObject({ kind: 'wrong', code })
  })

  it('reads back what it prints', () => {
    fc.assert(
      fc.property(
        matchText.filter((text) => text !== ''),
        (text) => {
          const first = parseMatch(text)
          if (first.kind === 'wrong') throw new Error(`${text}: ${first.reason}`)
          expect(parseMatch(printMatch(first.value))).toEqual(first)
        },
      ),
    )
  })

  it('lets nothing through but its alphabet, whatever the text', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), matchText), (text) => {
        const parsed = parseMatch(text)
        if (parsed.kind === 'parsed')
          expect(printMatch(parsed.value)).toMatch(/^(?:\*\.)?[a-z0-9._-]*\/[A-Za-z0-9._~/-]*[$*]?$/)
      }),
      { numRuns: 500 },
    )
  })
})
