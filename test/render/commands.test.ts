import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { commandsOf } from '../../src/render/commands.ts'
import type { EntryChange, SectionOptions, Server, Step } from '../../src/types.ts'
import { ownSection, server } from '../support/models.ts'

const own = (backend: string) => backend
const sticky: SectionOptions = { ...ownSection, sticky: 'SRV' }

function add(backend: string, last: number, section = ownSection, change: Partial<Server> = {}): Step {
  return { do: 'add', backend, section, server: server(`10.2.1.${last}:80`, change) }
}

function mapStep(file: string, changes: Readonly<Record<string, readonly [string | null, string | null]>>): Step {
  const entries = Object.entries(changes).map(([key, [from, to]]): [string, EntryChange] => [key, { from, to }])
  return { do: 'map', file, changes: new Map(entries) }
}

/** What is sent, payloads as lines of their own. */
function sent(steps: readonly Step[], { sectionOf = own, takesPayload = true } = {}): readonly string[] {
  return commandsOf(steps, sectionOf, takesPayload).flatMap(({ command, payload = [] }) => [command, ...payload])
}

/** True when that answer to the first command of a step says that all is well. */
function isContent(step: Step, answer: string): boolean {
  const [first] = commandsOf([step], own, true)
  return first?.accepts.test(answer) === true
}

const canary = { backend: 'web', server: 'canary' }

describe('one step', () => {
  it.each<[string, Step, readonly string[]]>([
    [
      'adds a server, in maintenance until it is told otherwise',
      add('web', 5, ownSection, { weight: 3 }),
      ['add server web/10.2.1.5:80 10.2.1.5:80 weight 3', 'set server web/10.2.1.5:80 state ready'],
    ],
    [
      'leaves one in maintenance that is wanted there',
      add('web', 5, ownSection, { state: 'maint' }),
      ['add server web/10.2.1.5:80 10.2.1.5:80 weight 1'],
    ],
    ['weighs a server', { do: 'weigh', ...canary, weight: 7 }, ['set server web/canary weight 7']],
    [
      'brings a server back, also one that somebody has declared down',
      { do: 'state', ...canary, state: 'ready' },
      ['set server web/canary state ready', 'set server web/canary health up'],
    ],
    ['drains a server', { do: 'state', ...canary, state: 'drain' }, ['set server web/canary state drain']],
    ['limits a server', { do: 'limit', ...canary, maxconn: 9, words: '' }, ['set maxconn server web/canary 9']],
    ['lifts a limit', { do: 'limit', ...canary, maxconn: null, words: '' }, ['set maxconn server web/canary 0']],
    [
      'brings a server back to the address that it is named by',
      { do: 'readdress', backend: 'web', server: '10.2.1.5:80' },
      ['set server web/10.2.1.5:80 addr 10.2.1.5 port 80'],
    ],
    ['ends what runs on a server', { do: 'shutdown', ...canary }, ['shutdown sessions server web/canary']],
    ['deletes a server', { do: 'delete', ...canary }, ['del server web/canary']],
    [
      'gives a backend a spare section',
      { do: 'seat', backend: 'web:a1b2c3', spare: ':spare7' },
      ['add map seats.map :spare7 web:a1b2c3'],
    ],
  ])('%s', (_what, step, commands) => {
    expect(sent([step])).toEqual(commands)
  })

  it.each<[string, Step, string, boolean]>([
    ['is refused by any word', { do: 'weigh', ...canary, weight: 7 }, 'No such server.', false],
    ['is done in silence', { do: 'weigh', ...canary, weight: 7 }, '', true],
    ['of an addition is told', add('web', 5), 'New server registered.', true],
    ['of an addition is not silent', add('web', 5), '', false],
    ['of deleting is no matter: it is read back', { do: 'delete', ...canary }, 'Server still has connections', true],
    ['of ending is no matter for one that is gone', { do: 'shutdown', ...canary }, 'No such server.', true],
    ['of ending is a refusal else', { do: 'shutdown', ...canary }, 'Permission denied', false],
    ['of an entry that is not there is a refusal', mapStep('hosts.map', { a: ['x', null] }), 'entry not found.', false],
  ])('%s', (_what, step, answer, isSo) => {
    expect(isContent(step, answer)).toBe(isSo)
  })
})

describe('servers that are added in one go', () => {
  it('come in three waves: all of them, keys of their cookies, a key a section, and then their states', () => {
    expect(
      sent([add('web', 1, sticky), add('web', 2, sticky, { state: 'drain' }), add('api', 3), add('shop', 4, sticky)]),
    ).toEqual([
      'add server web/10.2.1.1:80 10.2.1.1:80 weight 1',
      'add server web/10.2.1.2:80 10.2.1.2:80 weight 1',
      'add server api/10.2.1.3:80 10.2.1.3:80 weight 1',
      'add server shop/10.2.1.4:80 10.2.1.4:80 weight 1',
      'set dynamic-cookie-key backend web heddle',
      'set dynamic-cookie-key backend shop heddle',
      'set server web/10.2.1.1:80 state ready',
      'set server web/10.2.1.2:80 state drain',
      'set server api/10.2.1.3:80 state ready',
      'set server shop/10.2.1.4:80 state ready',
    ])
  })

  it('are all there before the step that follows, and none comes before the one ahead', () => {
    const commands = sent([
      { do: 'seat', backend: 'api', spare: ':spare1' },
      add('api', 1),
      add('api', 2),
      mapStep('routes.map', { '*/': [null, 'api|api'] }),
      add('web', 3),
    ])
    expect(commands.map((command) => command.split(' ').slice(0, 2).join(' '))).toEqual([
      'add map',
      ...['add server', 'add server', 'set server', 'set server'],
      'add map',
      ...['add server', 'set server'],
    ])
  })
})

describe('a backend in a spare section', () => {
  const sectionOf = (backend: string) => (backend === 'api' ? ':sticky2' : backend)

  it('is told by its section, servers and routes', () => {
    const steps = [
      add('api', 1, sticky),
      { do: 'delete', backend: 'api', server: 'canary' } as const,
      mapStep('routes.map', {
        '*/api/': [null, 'api|api||/api'],
        '*/': ['api|api', 'web|web'],
        '*/x': ['web|web', 'api|api'],
      }),
    ]
    expect(sent(steps, { sectionOf })).toEqual([
      'add server :sticky2/10.2.1.1:80 10.2.1.1:80 weight 1',
      'set dynamic-cookie-key backend :sticky2 heddle',
      'set server :sticky2/10.2.1.1:80 state ready',
      'del server :sticky2/canary',
      'add map routes.map */api/ :sticky2|api||/api',
      'set map routes.map */ web|web',
      'set map routes.map */x :sticky2|api',
    ])
  })

  it('is no matter in other maps', () => {
    expect(sent([mapStep('hosts.map', { api: [null, 'api'] })], { sectionOf })).toEqual(['add map hosts.map api api'])
  })
})

describe('a map', () => {
  it('gets new entries before others are changed or taken away', () => {
    const changes = { a: ['x', null], b: [null, '1'], c: ['x', '2'], d: ['x', null], e: [null, '3'] } as const
    expect(sent([mapStep('hosts.map', changes)])).toEqual([
      'add map hosts.map b 1',
      'add map hosts.map e 3',
      'del map hosts.map a',
      'set map hosts.map c 2',
      'del map hosts.map d',
    ])
  })

  const many = (count: number) =>
    mapStep(
      'routes.map',
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`h${at}.test/`, [null, 'web|web']])),
    )

  it('gets many new entries in one payload, and one by one where there are no payloads', () => {
    expect(commandsOf([many(20)], own, true)).toHaveLength(20)
    const [only, ...others] = commandsOf([many(21)], own, true)
    expect(others).toEqual([])
    expect(only?.command).toBe('add map routes.map <<')
    expect(only?.payload?.slice(0, 2)).toEqual(['h0.test/ web|web', 'h1.test/ web|web'])
    const singly = commandsOf([many(500)], own, false)
    expect(singly).toHaveLength(500)
    expect(singly.filter(({ payload }) => payload !== undefined)).toEqual([])
  })

  it('never gets a payload of more than 12,000 bytes, nor an empty one, and every entry once in order', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 21, maxLength: 200 }), (sizes) => {
        const entries = sizes.map((size, at) => [`k${at}`, 'ü'.repeat(size)] as const)
        const step = mapStep('hosts.map', Object.fromEntries(entries.map(([key, value]) => [key, [null, value]])))
        const commands = commandsOf([step], own, true)
        for (const { payload = [] } of commands) {
          expect(payload.length).toBeGreaterThan(0)
          expect(Buffer.byteLength(`${payload.join('\n')}\n`)).toBeLessThanOrEqual(12_000)
        }
        expect(commands.flatMap(({ payload = [] }) => payload)).toEqual(entries.map((entry) => entry.join(' ')))
      }),
      { numRuns: 30 },
    )
  })
})

describe('a name that heddle could not have made, and HAProxy not have told', () => {
  it.each<[string, Step]>([
    ['of a section', add('web;shutdown', 5)],
    ['of a section that is heddle’s own', add(':none', 5)],
    ['of a section of another step', { do: 'weigh', backend: 'a b', server: 'canary', weight: 1 }],
    ['of a server', { do: 'delete', backend: 'web', server: 'a;b' }],
    ['of a server that is changed', { do: 'limit', backend: 'web', server: 'a/b', maxconn: 1, words: '' }],
    ['of a server that is added', add('web', 5, ownSection, { name: 'web1' })],
    ['of a backend that is given a spare', { do: 'seat', backend: 'a b', spare: ':spare1' }],
    ['of a backend that is a spare', { do: 'seat', backend: ':spare2', spare: ':spare1' }],
    ['of a spare', { do: 'seat', backend: 'web', spare: ':none' }],
  ])('%s is never sent', (_what, step) => {
    expect(() => commandsOf([step], own, true)).toThrow(/^expected /)
  })
})
