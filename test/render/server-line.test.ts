import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addServerCommand, serverLine } from '../../src/render/server-line.ts'
import type { Server } from '../../src/types.ts'
import { anyModel, ownSection, server } from '../support/models.ts'

const one = server('10.2.1.5:8080', { weight: 10 })

describe('a server', () => {
  it('is named by its address in the file and at run time', () => {
    expect(serverLine(one, ownSection)).toBe('server 10.2.1.5:8080 10.2.1.5:8080 weight 10')
    expect(addServerCommand('web', one, ownSection)).toBe('add server web/10.2.1.5:8080 10.2.1.5:8080 weight 10')
  })

  it('carries the options of its section and its own', () => {
    const section = { ...ownSection, maxconn: 7, proto: 'h2c' } as const
    const backup = { ...one, backup: true }
    expect(serverLine(backup, section)).toMatch(/ weight 10 maxconn 7 proto h2 backup$/)
    expect(addServerCommand('web:a1b2c3', backup, section)).toMatch(/ weight 10 maxconn 7 proto h2 backup$/)
  })

  it('is disabled in the file while in maintenance', () => {
    expect(serverLine({ ...one, state: 'maint' }, ownSection)).toMatch(/ weight 10 disabled$/)
  })

  it('is weighed 0 in the file while it drains', () => {
    expect(serverLine({ ...one, state: 'drain' }, ownSection)).toMatch(/ weight 0$/)
  })

  it('is added at run time without its state: 3.x refuses the words', () => {
    for (const state of ['drain', 'maint'] as const) {
      expect(addServerCommand('web', { ...one, state }, ownSection)).toMatch(/ weight 10$/)
    }
  })

  it('has the same words in the file and at run time', () => {
    fc.assert(
      fc.property(anyModel, ({ backends }) => {
        for (const { id, section, servers } of backends.values()) {
          for (const ready of servers.map((each): Server => ({ ...each, state: 'ready' }))) {
            const [, , ...line] = serverLine(ready, section).split(' ')
            const [, , name, ...command] = addServerCommand(id, ready, section).split(' ')
            expect(name).toBe(`${id}/${ready.name}`)
            expect(command).toEqual(line)
          }
        }
      }),
    )
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
    expect(() => addServerCommand('web', { ...one, ...change }, ownSection)).toThrow(/^expected /)
  })

  it.each(['', ':none', 'a b', 'a/b', 'web;shutdown', 'web\n', 'x:0123', 'a:a1b2c3:a1b2c3', 'a'.repeat(64)])(
    'throws at the backend id %j',
    (id) => {
      expect(() => addServerCommand(id, one, ownSection)).toThrow(/^expected /)
    },
  )

  it.each([{ sticky: 'a b' }, { sticky: '' }, { sticky: 'a;b' }, { maxconn: 0 }, { maxconn: 1.5 }])(
    'throws at the section options %j',
    (change) => {
      expect(() => serverLine(one, { ...ownSection, ...change })).toThrow(/^expected /)
    },
  )
})
