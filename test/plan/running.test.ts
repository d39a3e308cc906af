import { describe, expect, it } from 'vitest'
import { differences, withKnown, withReading, withWordsOf } from '../../src/plan/running.ts'
import type { Running, RunningServer } from '../../src/types.ts'
import { backend, candidateOf, model, route, runningOf, server } from './models.ts'

const web = backend('web', [server(1), server(2, { backup: true })], { maxconn: 5 })
const api = backend('api', [server(3)])
const now = model([web, api], [route('/', 'web'), route('/api', 'api')])
const before = runningOf(now, candidateOf(now))
const [one, two, three] = ['10.2.1.1:8080', '10.2.1.2:8080', '10.2.1.3:8080'] as const

/** As it is read back: equal to `before` but in what changed, of other objects, and without what HAProxy doesn't tell. */
function reading(change: (read: Running) => Running = (read) => read): Running {
  const servers = new Map(
    [...before.servers].map(([id, own]) => [
      id,
      new Map([...own].map(([name, known]) => [name, { ...known, words: null }])),
    ]),
  )
  return change({ ...structuredClone(before), servers })
}

function withServer(running: Running, id: string, name: string, known: RunningServer | null): Running {
  const own = new Map(running.servers.get(id))
  if (known === null) own.delete(name)
  else own.set(name, known)
  return { ...running, servers: new Map([...running.servers, [id, own]]) }
}

function withEntry(running: Running, file: string, key: string, value: string): Running {
  const entries = new Map([...(running.maps.get(file) ?? []), [key, value]])
  return { ...running, maps: new Map([...running.maps, [file, entries]]) }
}

const canary: RunningServer = { weight: 1, state: 'ready', address: '10.9.9.9:80', words: null }
const wordsOf = (running: Running, id: string, name: string) => running.servers.get(id)?.get(name)?.words

describe('a worker that is found running with a known model', () => {
  it('has servers with the options of that model', () => {
    expect(withWordsOf(reading(), now)).toEqual(before)
  })

  it('has servers of unknown options where the model has no such server, or no such backend', () => {
    const found = withWordsOf(
      reading((read) => withServer(withServer(read, 'web', 'canary', canary), 'docs', 'canary', canary)),
      now,
    )
    expect([wordsOf(found, 'web', 'canary'), wordsOf(found, 'docs', 'canary')]).toEqual([null, null])
    expect([wordsOf(found, 'web', two), wordsOf(found, 'api', three)]).toEqual(['maxconn 5 backup', ''])
  })
})

describe('a second reading of the same worker', () => {
  it('keeps what is equal, whole maps and servers, so that nothing is compared twice', () => {
    const read = withKnown(before, reading())
    expect(read).toEqual(before)
    for (const [id, own] of read.servers) expect(own).toBe(before.servers.get(id))
    for (const [file, entries] of read.maps) expect(entries).toBe(before.maps.get(file))
    expect(differences(before, read)).toEqual([])
  })

  it('keeps the options of a server that has another weight or state, and all of its neighbours', () => {
    const known = { weight: 9, state: 'maint', address: one, words: null } as const
    const read = withKnown(
      before,
      reading((fresh) => withServer(fresh, 'web', one, known)),
    )
    expect(read.servers.get('web')?.get(one)).toEqual({ ...known, words: 'maxconn 5' })
    expect(read.servers.get('web')?.get(two)).toBe(before.servers.get('web')?.get(two))
    expect(read.servers.get('api')).toBe(before.servers.get('api'))
  })

  it('knows no options of a server that is new or has become another one', () => {
    const read = withKnown(
      before,
      reading((fresh) =>
        withServer(withServer(fresh, 'web', 'canary', canary), 'web', two, { ...canary, address: '10.9.9.9:80' }),
      ),
    )
    expect([wordsOf(read, 'web', 'canary'), wordsOf(read, 'web', two)]).toEqual([null, null])
    expect(wordsOf(read, 'web', one)).toBe('maxconn 5')
  })

  it('differs in servers, entries and seats, each named once', () => {
    const read = withKnown(
      before,
      reading((fresh) => ({
        ...withEntry(
          withServer(
            withServer(withServer(fresh, 'web', one, { ...canary, address: one }), 'api', three, null),
            'docs',
            'c',
            canary,
          ),
          'routes.map',
          '*/',
          'api|api',
        ),
        seats: new Map([['api', ':spare1']]),
      })),
    )
    // the same weight and state at the same address is no difference
    expect(differences(before, read)).toEqual([
      { what: 'server', subject: 'api/10.2.1.3:8080' },
      { what: 'server', subject: 'docs/c' },
      { what: 'map', subject: 'routes.map */' },
      { what: 'seat', subject: 'api' },
    ])
  })

  it('differs in a backend whose last server was taken away, and in a map that is gone', () => {
    const servers = new Map([...before.servers].filter(([id]) => id !== 'api'))
    const maps = new Map([...before.maps].filter(([file]) => file !== 'state.map'))
    expect(differences(before, { ...before, servers, maps })).toEqual([
      { what: 'server', subject: 'api/10.2.1.3:8080' },
      { what: 'map', subject: 'state.map alive' },
    ])
  })
})

describe('a reading that began before the last steps', () => {
  /** What is known after `told` was told, when a reading that began at `before` comes in. */
  const merged = (told: Running, read: Running) => withReading(told, before, withKnown(before, read))

  it('tells of what was not touched meanwhile', () => {
    const read = reading((fresh) => withEntry(withServer(fresh, 'api', three, null), 'hosts.map', 'b', 'strict'))
    const known = merged(before, read)
    expect(known.servers.get('api')?.size).toBe(0)
    expect(known.maps.get('hosts.map')?.get('b')).toBe('strict')
    expect(known.servers.get('web')).toBe(before.servers.get('web'))
  })

  it('does not undo what was told meanwhile', () => {
    const told = {
      ...withEntry(
        withServer(before, 'web', one, { weight: 7, state: 'ready', address: one, words: 'maxconn 5' }),
        'routes.map',
        '*/new',
        'web|web',
      ),
      seats: new Map([['docs', ':spare1']]),
      revision: 'bbbbbbbbbbbb',
    }
    expect(merged(told, reading())).toEqual(told)
  })

  it('takes away what is there no more, and keeps what has come', () => {
    const told = withServer(before, 'docs', three, { weight: 1, state: 'ready', address: three, words: '' })
    const servers = (read: Running) => ({ ...read, servers: new Map([...read.servers].filter(([id]) => id !== 'api')) })
    expect([...merged(told, reading(servers)).servers.keys()]).toEqual(['web', 'docs'])
  })

  it('that tells nothing new changes nothing', () => {
    const { servers, maps } = merged(before, reading())
    expect([servers, maps]).toEqual([before.servers, before.maps])
    expect(servers).toBe(before.servers)
    expect(maps).toBe(before.maps)
  })
})
