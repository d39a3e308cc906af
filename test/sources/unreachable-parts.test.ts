import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { afterAll, describe, expect, it } from 'vitest'
import { examine, type Verdict } from '../../src/sources/unreachable/evidence.ts'
import { isPlace, probesOf } from '../../src/sources/unreachable/probe.ts'
import { type RisenServer, risesOf } from '../../src/sources/unreachable/rises.ts'
import {
  dueAt,
  examinedAs,
  type Watched,
  type WatchList,
  watchAfterLook,
} from '../../src/sources/unreachable/watched.ts'
import { httpServer, ownAddress } from '../support/haproxy.ts'
import { freePort } from '../support/ports.ts'

const open = new AbortController().signal

function server(name: string, parts: Partial<RisenServer> = {}): RisenServer {
  return { name, failures: 0, sessions: 0, isInMaintenance: false, hasRisen: false, ...parts }
}

describe('a probe', () => {
  const frozen: (() => void)[] = []
  afterAll(() => {
    for (const end of frozen) end()
  })

  /** A program that was stopped while it listens: its queue is full, so that it takes no connection any more. */
  async function frozenServer(address: string): Promise<string> {
    const code = `const s = require('net').createServer(); s.listen({ host: '${address}', port: 0, backlog: 1 }, () => console.log(s.address().port))`
    const child = spawn(process.execPath, ['-e', code], { stdio: ['ignore', 'pipe', 'inherit'] })
    const sockets: Socket[] = []
    frozen.push(() => {
      child.kill('SIGKILL')
      for (const socket of sockets) socket.destroy()
    })
    const [line] = await once(child.stdout, 'data')
    const port = Number(String(line))
    child.kill('SIGSTOP')
    for (;;) {
      const socket = connect(port, address)
      socket.on('error', () => {})
      sockets.push(socket)
      const isTaken = await Promise.race([
        once(socket, 'connect').then(() => true),
        new Promise<false>((resolve) => setTimeout(() => resolve(false), 200)),
      ])
      if (!isTaken) return `${address}:${port}`
    }
  }

  it('tells who accepts connections from who refuses them and who says nothing', async () => {
    const probe = probesOf({ every: 0, timeout: 100 })
    const [{ name }, address] = [await httpServer(), ownAddress()]
    expect(await probe(name, open)).toEqual({ kind: 'answers' })
    const closed = `${address}:${await freePort(address)}`
    expect(await probe(closed, open)).toEqual({ kind: 'refuses', why: 'connection refused' })
    const silent = await frozenServer(address)
    expect(await probe(silent, open)).toEqual({ kind: 'fails', why: 'no answer within 100 ms' })
    const patient = probesOf({ every: 0, timeout: 60_000 })
    expect(await patient(silent, AbortSignal.timeout(20))).toEqual({ kind: 'fails', why: 'aborted' })
  })

  it('waits for its turn, however many there are', async () => {
    const probe = probesOf({ every: 30, timeout: 1000 })
    const { name } = await httpServer()
    const started = performance.now()
    const ends = await Promise.all(
      Array.from({ length: 5 }, async () => {
        expect(await probe(name, open)).toEqual({ kind: 'answers' })
        return performance.now() - started
      }),
    )
    // timers may fire a millisecond early
    for (const [index, end] of ends.entries()) expect(end).toBeGreaterThanOrEqual(index * 30 - 5)
  })

  it('is of an address and a port, as servers of heddle are named', () => {
    const names = [
      '10.2.1.1:80',
      '10.2.1.1:65535',
      '10.2.1.1:65536',
      '10.2.1.1:0',
      '10.2.1.1',
      'web1',
      'db:80',
      '::1',
      '',
    ]
    expect(names.filter(isPlace)).toEqual(['10.2.1.1:80', '10.2.1.1:65535'])
  })
})

describe('what HAProxy counts', () => {
  const counted = (pid: number, failures: Record<string, number>) => ({
    pid,
    failures: new Map(Object.entries(failures)),
  })
  const risen = (servers: readonly RisenServer[]) => servers.filter(({ hasRisen }) => hasRisen).map(({ name }) => name)

  it('is compared with the last time; the first time may sum up weeks, another worker begins anew', () => {
    const rises = risesOf()
    expect(rises.backends(counted(1, { web: 900, api: 3 }))).toEqual([])
    expect(rises.backends(counted(1, { web: 901, api: 3, new: 1 }))).toEqual(['web', 'new'])
    expect(rises.backends(counted(1, { web: 901, api: 3, new: 1 }))).toEqual([])
    expect(rises.backends(counted(2, { web: 2, api: 0, new: 0 }))).toEqual(['web'])
  })

  it('is compared server by server', () => {
    const rises = risesOf()
    rises.backends(counted(1, { web: 0 }))
    expect(risen(rises.servers('web', [server('a', { failures: 5 }), server('b')]))).toEqual(['a'])
    expect(risen(rises.servers('web', [server('a', { failures: 5 }), server('b', { failures: 1 })]))).toEqual(['b'])
    rises.backends(counted(2, { web: 1 }))
    expect(risen(rises.servers('web', [server('a', { failures: 1 }), server('b')]))).toEqual(['a'])
  })
})

describe('the verdict on a server', () => {
  const [one, two, three] = ['10.2.1.1:80', '10.2.1.2:80', '10.2.1.3:80'] as const
  const refused = 'HAProxy gets no connection, nor does heddle (no answer)'
  const cases: readonly (readonly [string, readonly string[], readonly string[], readonly RisenServer[], Verdict])[] = [
    // what it shows, who answers heddle, who is out already, the others of the backend, the verdict on the first
    ['it answers', [one], [], [], { kind: 'answers' }],
    ['another answers', [two], [], [server(two)], { kind: 'unreachable', why: `${refused}, while ${two} answers` }],
    ['it is alone', [], [], [], { kind: 'unknown', isCutOff: false }],
    ['nobody answers heddle', [], [], [server(two)], { kind: 'unknown', isCutOff: true }],
    [
      'HAProxy misses the others, too',
      [two],
      [],
      [server(two, { hasRisen: true })],
      { kind: 'unknown', isCutOff: false },
    ],
    [
      'the others are in maintenance',
      [two],
      [],
      [server(two, { isInMaintenance: true })],
      { kind: 'unknown', isCutOff: false },
    ],
    [
      'one of the others answers',
      [three],
      [],
      [server(two), server(three)],
      { kind: 'unreachable', why: `${refused}, while ${three} answers` },
    ],
    [
      'who served most is asked first',
      [two, three],
      [],
      [server(two, { sessions: 1 }), server(three, { sessions: 9 })],
      { kind: 'unreachable', why: `${refused}, while ${three} answers` },
    ],
    [
      'all others are out, so that nobody is any more',
      [],
      [two],
      [server(two, { isInMaintenance: true })],
      { kind: 'unreachable', why: `${refused}, and none of its backend answers` },
    ],
    [
      'not all others are out',
      [],
      [two],
      [server(two, { isInMaintenance: true }), server(three, { hasRisen: true })],
      { kind: 'unknown', isCutOff: false },
    ],
    ['others are no place to connect to', ['web2'], [], [server('web2')], { kind: 'unknown', isCutOff: false }],
  ]

  it.each(cases)('when %s', async (_, answering, out, others, verdict) => {
    const probe = async (name: string) =>
      answering.includes(name) ? ({ kind: 'answers' } as const) : ({ kind: 'fails', why: 'no answer' } as const)
    const servers = [server(one, { hasRisen: true }), ...others]
    expect(await examine(one, servers, (name) => out.includes(name), probe, open)).toEqual(verdict)
  })

  it.each([
    ['it is alone', []],
    ['HAProxy misses the others, too', [server(two, { hasRisen: true })]],
    ['the others are in maintenance', [server(two, { isInMaintenance: true })]],
  ])('needs no witness for who refuses when there is none: %s', async (_, others) => {
    const probe = async () => ({ kind: 'refuses', why: 'connection refused' }) as const
    const servers = [server(one, { hasRisen: true }), ...others]
    const why = 'HAProxy gets no connection, nor does heddle (connection refused)'
    expect(await examine(one, servers, () => false, probe, open)).toEqual({ kind: 'unreachable', why })
  })

  it('takes no refusal for an answer of others: it may be heddle that is not on their network', async () => {
    const probe = async () => ({ kind: 'refuses', why: 'connection refused' }) as const
    const servers = [server(one, { hasRisen: true }), server(two)]
    expect(await examine(one, servers, () => false, probe, open)).toEqual({ kind: 'unknown', isCutOff: true })
  })

  it('asks three witnesses at most', async () => {
    const asked: string[] = []
    const probe = async (name: string) => {
      asked.push(name)
      return { kind: 'fails', why: 'refused' } as const
    }
    await examine(
      one,
      [4, 5, 6, 7, 8].map((last) => server(`10.2.1.${last}:80`)),
      () => false,
      probe,
      open,
    )
    expect(asked).toHaveLength(4)
  })
})

describe('the list of who is watched', () => {
  const [name, other] = ['10.2.1.1:80', '10.2.1.2:80'] as const
  const limits = { first: 1_000, longest: 30_000 }
  const seen = (...servers: readonly RisenServer[]) => new Map([['web', servers]])
  const suspected: WatchList = watchAfterLook(
    new Map(),
    seen(server(name, { hasRisen: true }), server(other)),
    0,
    60_000,
  )
  const out = { kind: 'unreachable', why: 'silent' } as const
  const first = (list: WatchList): Watched => {
    const [one] = list.values()
    if (one === undefined) throw new Error('expected one to be watched')
    return one
  }
  const namesOf = (list: readonly (readonly [string, Watched])[]) => list.map(([one]) => one)

  it('has servers that HAProxy missed connections to, but none that was taken out by others', () => {
    expect([...suspected.keys()]).toEqual([name])
    const maintained = server(name, { hasRisen: true, isInMaintenance: true })
    expect(watchAfterLook(new Map(), seen(maintained), 0, 60_000).size).toBe(0)
    expect(dueAt(watchAfterLook(suspected, seen(maintained), 0, 60_000), 0)).toEqual([])
    expect(watchAfterLook(new Map(), seen(server('web1', { hasRisen: true })), 0, 60_000).size).toBe(0)
  })

  it('makes a server wait longer each time, up to 30 s, whether it is out or comes and goes', () => {
    let one = first(suspected)
    const waits: number[] = []
    for (let round = 0; round < 8; round++) {
      const verdict = round % 2 === 0 ? out : ({ kind: 'answers' } as const)
      one = examinedAs(one, verdict, 0, limits, 7)
      waits.push(one.from)
      expect(one.out).toEqual(round % 2 === 0 ? { since: 7, why: 'silent' } : null)
    }
    expect(waits).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
  })

  it('examines who is suspected or out, when the time has come', () => {
    expect(namesOf(dueAt(suspected, 0))).toEqual([name])
    const isOut = new Map([[name, examinedAs(first(suspected), out, 0, limits, 7)]])
    expect(namesOf(dueAt(isOut, 999))).toEqual([])
    expect(namesOf(dueAt(isOut, 1_000))).toEqual([name])
    const well = new Map([[name, examinedAs(first(suspected), { kind: 'answers' }, 0, limits, 7)]])
    expect(namesOf(dueAt(well, 1_000))).toEqual([])
    const again = watchAfterLook(well, seen(server(name, { hasRisen: true })), 500, 60_000)
    expect([namesOf(dueAt(again, 999)), namesOf(dueAt(again, 1_000))]).toEqual([[], [name]])
  })

  it('keeps what was found of who is out, and gives it up when heddle reaches nobody', () => {
    const before = examinedAs(first(suspected), out, 0, limits, 7)
    const known = { since: 7, why: 'silent' }
    expect(examinedAs(before, { kind: 'unreachable', why: 'other' }, 0, limits, 9).out).toBe(before.out)
    expect(examinedAs(before, { kind: 'unknown', isCutOff: false }, 0, limits, 9).out).toEqual(known)
    expect(examinedAs(before, { kind: 'unknown', isCutOff: true }, 0, limits, 9).out).toBeNull()
  })

  it('forgets who has left HAProxy at once, who is quiet after a while, and never who is out', () => {
    const isOut: WatchList = new Map([[name, examinedAs(first(suspected), out, 0, limits, 7)]])
    expect(watchAfterLook(suspected, new Map(), 60_000, 60_000).size).toBe(1)
    expect(watchAfterLook(suspected, new Map(), 60_001, 60_000).size).toBe(0)
    expect(watchAfterLook(isOut, new Map(), 999_000, 60_000).size).toBe(1)
    expect(watchAfterLook(isOut, seen(server(other)), 1, 60_000).size).toBe(0)
    expect(watchAfterLook(isOut, seen(), 1, 60_000).size).toBe(0)
    // who was out for long and is back has not been quiet
    const back = examinedAs(first(isOut), { kind: 'answers' }, 900_000, limits, 7)
    expect(watchAfterLook(new Map([[name, back]]), new Map(), 950_000, 60_000).size).toBe(1)
  })

  it('has 20 examined at once, who waits longest first', () => {
    const many = Array.from({ length: 30 }, (_, index) => {
      return [`10.2.2.${index}:80`, { ...first(suspected), from: 30 - index }] as const
    })
    const due = namesOf(dueAt(new Map(many), 30))
    expect([due.length, due[0]]).toEqual([20, '10.2.2.29:80'])
  })
})
