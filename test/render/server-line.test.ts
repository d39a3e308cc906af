import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  addedServer,
  checkedSectionName,
  checkedServerName,
  differOnlyInLimit,
  serverLine,
  wordsOf,
} from '../../src/render/server-line.ts'
import type { Server } from '../../src/types.ts'
import { anyModel, ownSection, server } from '../support/models.ts'

const one = server('10.2.1.5:8080', { weight: 10 })

describe('a server', () => {
  it('is named by its address in the file and at run time', () => {
    expect(serverLine(one, ownSection)).toBe('server 10.2.1.5:8080 10.2.1.5:8080 weight 10')
    expect(addedServer(one, ownSection)).toEqual({ name: '10.2.1.5:8080', words: '10.2.1.5:8080 weight 10' })
  })

  it('carries the options of its section and its own', () => {
    const section = { ...ownSection, maxconn: 7, proto: 'h2c' } as const
    const backup = { ...one, backup: true }
    expect(serverLine(backup, section)).toMatch(/ weight 10 maxconn 7 proto h2 backup$/)
    expect(addedServer(backup, section).words).toMatch(/ weight 10 maxconn 7 proto h2 backup$/)
  })

  it('is disabled in the file while in maintenance', () => {
    expect(serverLine({ ...one, state: 'maint' }, ownSection)).toMatch(/ weight 10 disabled$/)
  })

  it('is weighed 0 in the file while it drains', () => {
    expect(serverLine({ ...one, state: 'drain' }, ownSection)).toMatch(/ weight 0$/)
  })

  it('is added at run time without its state: 3.x refuses the words', () => {
    for (const state of ['drain', 'maint'] as const) {
      expect(addedServer({ ...one, state }, ownSection).words).toMatch(/ weight 10$/)
    }
  })

  it('has the same words in the file and at run time', () => {
    fc.assert(
      fc.property(anyModel, ({ backends }) => {
        for (const { section, servers } of backends.values()) {
          for (const ready of servers.map((each): Server => ({ ...each, state: 'ready' }))) {
            const { name, words } = addedServer(ready, section)
            expect(serverLine(ready, section)).toBe(`server ${name} ${words}`)
          }
        }
      }),
    )
  })
})

describe('the words that HAProxy does not tell again', () => {
  it.each([
    [ownSection, false, ''],
    [{ ...ownSection, balance: 'leastconn', sticky: 'SRV' }, false, ''],
    [{ ...ownSection, maxconn: 7 }, false, 'maxconn 7'],
    [{ ...ownSection, maxconn: 7, proto: 'h2c' }, true, 'maxconn 7 proto h2 backup'],
  ] as const)('of %j, backup %s, are %j', (section, backup, words) => {
    expect(wordsOf({ backup }, section)).toBe(words)
    expect(serverLine({ ...one, backup }, section)).toBe(`server ${one.name} ${one.name} weight 10 ${words}`.trimEnd())
  })

  it.each([
    ['', 'maxconn 7', true],
    ['maxconn 7', 'maxconn 70', true],
    ['maxconn 7 backup', 'backup', true],
    ['maxconn 7 proto h2', 'maxconn 9 proto h2', true],
    ['backup', '', false],
    ['maxconn 7', 'maxconn 7 backup', false],
    ['maxconn 7 proto h2', 'maxconn 9', false],
  ])('%j and %j differ in nothing but their limit: %s', (words, others, isSo) => {
    expect(differOnlyInLimit(words, others)).toBe(isSo)
    expect(differOnlyInLimit(others, words)).toBe(isSo)
  })
})

describe('the last line of defence', () => {
  it.each([
    ['a host name', { name: 'web.test:80', address: 'web.test', port: 80 }],
    ['an octal address', { name: '010.2.1.5:80', address: '010.2.1.5', port: 80 }],
    ['an address beyond 255', { name: '10.2.1.256:80', address: '10.2.1.256', port: 80 }],
    ['IPv6', { name: '::1:80', address: '::1', port: 80 }],
    ['a unix socket', { name: 'unix@/run/docker.sock:80', address: 'unix@/run/docker.sock', port: 80 }],
    ['a second line', { name: '10.2.1.5\n:80', address: '10.2.1.5\n', port: 80 }],
    ['port 0', { name: '10.2.1.5:0', port: 0 }],
    ['port 65536', { name: '10.2.1.5:65536', port: 65_536 }],
    ['half a port', { name: '10.2.1.5:80.5', port: 80.5 }],
    ['a name of its own', { name: 'web1' }],
    ['weight 257', { weight: 257 }],
    ['weight -1', { weight: -1 }],
    ['half a weight', { weight: 0.5 }],
  ])('throws at %s', (_what, change) => {
    expect(() => serverLine({ ...one, ...change }, ownSection)).toThrow(/^expected /)
    expect(() => addedServer({ ...one, ...change }, ownSection)).toThrow(/^expected /)
  })

  it.each([{ sticky: 'a b' }, { sticky: '' }, { sticky: 'a;b' }, { maxconn: 0 }, { maxconn: 1.5 }])(
    'throws at the section options %j',
    (change) => {
      expect(() => serverLine(one, { ...ownSection, ...change })).toThrow(/^expected /)
      expect(() => addedServer(one, { ...ownSection, ...change })).toThrow(/^expected /)
    },
  )

  it.each([
    '',
    ':none',
    ':spare',
    ':spare0',
    ':spare1x',
    'a b',
    'a/b',
    'web;shutdown',
    'web\n',
    'x:0123',
    'a'.repeat(64),
  ])('throws at the section %j', (name) => {
    expect(() => checkedSectionName(name)).toThrow(/^expected /)
  })

  it.each(['web', 'web:a1b2c3', 'x:0123456789abcdef01234567', ':spare1', ':sticky64'])(
    'lets the section %j pass',
    (name) => {
      expect(checkedSectionName(name)).toBe(name)
    },
  )

  it.each(['', 'a b', 'a/b', 'a;b', 'a\n', 'ü', 'a'.repeat(257)])(
    'throws at the server %j, be it read back',
    (name) => {
      expect(() => checkedServerName(name)).toThrow(/^expected /)
    },
  )

  it.each(['canary', 'web_1.example-2:80', '10.2.1.5:8080'])(
    'lets the server %j pass, be it somebody else’s',
    (name) => {
      expect(checkedServerName(name)).toBe(name)
    },
  )
})
