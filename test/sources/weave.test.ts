import fc from 'fast-check'
import { afterEach, describe, expect, it } from 'vitest'
import type { Report } from '../../src/sources/source.ts'
import { decodeWeaveReport, weaveSource } from '../../src/sources/weave.ts'
import type { Observation, WeaveReport } from '../../src/types.ts'
import { fixture } from '../support/containers.ts'
import { eventually } from '../support/eventually.ts'
import { type FakeWeave, fakeWeave } from '../support/fake-weave.ts'

const small = fixture('weave/report_small_r2.json')
const large = fixture('weave/report_2peers_tombstones_r1.json')
const owned = fixture('weave/ip_list.json')
const app1 = '83709bdf73abacd02e11a9b31ca2509a9b6668fd8ead4bdd5c60c560c9ac9e8c'
const app2 = 'bcacbb11db8a20d16fd14a296615ba63b3544b4d1336109817234ba0107722da'

describe('the report of a router', () => {
  it('has live names of containers: no tombstones, no pseudo containers', () => {
    expect(decodeWeaveReport(small)?.names).toEqual([
      { hostname: 'web.weave.local', peer: '0a:00:00:00:00:01', containerId: app1, address: '10.32.0.1' },
      {
        hostname: 'web.weave.local',
        peer: '0a:00:00:00:00:02',
        containerId: 'f465a1331cb20f07027b47b3ebadae9a25948c2c8f0c7a444375782497d79498',
        address: '10.32.128.0',
      },
    ])
    expect(decodeWeaveReport(small)?.domain).toBe('weave.local')
  })

  it('keeps names that may be left over: which are, the report cannot tell', () => {
    const names = decodeWeaveReport(large)?.names.filter(({ address }) => address === '10.32.0.2')
    expect(names?.map(({ hostname }) => hostname)).toEqual(['app2.weave.local', 'reuse.weave.local'])
    expect(decodeWeaveReport(large)?.names.map(({ hostname }) => hostname)).toContain('apollo1.weave.local')
  })

  it('has the peers with the addresses others reach them by', () => {
    expect(decodeWeaveReport(large)?.peers).toEqual([
      { name: '0a:00:00:00:00:01', nickName: 'host1', addresses: ['172.31.22.1'] },
      { name: '0a:00:00:00:00:02', nickName: 'host2', addresses: ['172.31.22.2'] },
    ])
  })

  it.each(['report_no_dns', 'report_no_entries'])('%s has no names, which is no error', (name) => {
    expect(decodeWeaveReport(fixture(`weave/${name}.json`))).toMatchObject({ names: [], owned: new Map() })
  })

  it.each(['report_peer2_crashed_r1', 'report_peer2_restarted_r2'])('%s is understood', (name) => {
    const names = decodeWeaveReport(fixture(`weave/${name}.json`))?.names ?? []
    expect(new Set(names.map(({ peer }) => peer))).toEqual(new Set(['0a:00:00:00:00:01']))
  })

  it('comes with what the router handed out on its own host, its bridge left out', () => {
    expect(decodeWeaveReport(large, owned)?.owned).toEqual(
      new Map([
        [app1, ['10.32.0.1']],
        [app2, ['10.32.0.2', '10.32.7.1']],
      ]),
    )
    const pseudo = { owned: [{ containerid: '_', addrs: ['10.32.0.9/16'] }] }
    expect(decodeWeaveReport(large, pseudo)?.owned.size).toBe(0)
    expect(decodeWeaveReport(large, { owned: null })?.owned.size).toBe(0)
  })

  it.each([null, [], 'Ready', {}, { Router: null }, { DNS: { Entries: [] } }])('%j is none', (raw) => {
    expect(decodeWeaveReport(raw)).toBeNull()
  })

  it('can hold anything at all without an exception, and only IPv4 addresses come out', () => {
    const text = fc.oneof(fc.constantFrom('10.32.0.1', '::1', 'x', ''), fc.jsonValue())
    const entry = fc.record(
      { Hostname: text, Origin: text, ContainerID: text, Address: text, Tombstone: fc.constantFrom(0, 1, '0', null) },
      { requiredKeys: [] },
    )
    const raw = fc.record({
      Router: fc.record({ Peers: fc.array(text) }),
      DNS: fc.record({ Entries: fc.array(entry) }),
    })
    fc.assert(
      fc.property(raw, text, (report, list) => {
        const names = decodeWeaveReport(report, list)?.names ?? []
        expect(names.every(({ address }) => address === '10.32.0.1')).toBe(true)
      }),
    )
  })
})

describe('a router that is followed', () => {
  const cleanups: (() => unknown)[] = []
  afterEach(async () => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  })

  async function started(first: Parameters<typeof fakeWeave>[0]): Promise<FakeWeave> {
    const weave = await fakeWeave(first)
    cleanups.push(() => weave.close())
    return weave
  }

  function watch(url: string, options: Parameters<typeof weaveSource>[1] = {}) {
    const reports: Report<Observation<WeaveReport>>[] = []
    const controller = new AbortController()
    const source = weaveSource(url, { pollEvery: 20, timeout: 1000, ...options })
    const ended = source((report) => reports.push(report), controller.signal)
    cleanups.push(async () => {
      controller.abort()
      await ended
    })
    const last = () => {
      const report = reports.at(-1)
      if (report?.value == null) throw new Error('expected a value')
      return { ...report, value: report.value }
    }
    return { reports, last }
  }

  it('is only asked to GET its report and its own addresses, in the one way it accepts', async () => {
    const weave = await started({ report: large, owned })
    const source = watch(weave.url)
    await eventually(() => expect(source.reports.length).toBeGreaterThan(2))
    expect(source.last().value).toMatchObject({ evidence: 'fresh', why: null })
    expect(source.last().value.value).toEqual(decodeWeaveReport(large, owned))
    expect(source.last().status).toMatchObject({ state: 'fresh', error: null, errors: 0 })
    expect(new Set(weave.requests)).toEqual(new Set(['GET /report', 'GET /ip']))
  })

  it('that says the same keeps its value', async () => {
    const weave = await started({ report: large, owned })
    const source = watch(weave.url)
    await eventually(() => expect(source.reports.length).toBeGreaterThan(3))
    expect(new Set(source.reports.map((report) => report.value?.value)).size).toBe(1)
    weave.setReport(small)
    await eventually(() => expect(source.last().value.value.names).toHaveLength(2))
  })

  it('may have no list of addresses', async () => {
    const weave = await started({ report: large })
    const source = watch(weave.url)
    await eventually(() => expect(source.last().status).toMatchObject({ state: 'fresh', error: null, errors: 0 }))
    expect(source.last().value.value.owned.size).toBe(0)
  })

  it('whose list of addresses fails keeps the last one, and the report goes on', async () => {
    const weave = await started({ report: large, owned })
    const source = watch(weave.url)
    await eventually(() => expect(source.last().value.value.owned.size).toBe(2))
    weave.setFault((request, response) => request.url === '/ip' && response.writeHead(500).end() !== undefined)
    weave.setReport(small)
    await eventually(() => expect(source.last().value.value.names).toHaveLength(2))
    expect(source.last().value.value.owned.size).toBe(2)
    expect(source.last()).toMatchObject({
      value: { evidence: 'fresh' },
      status: { error: expect.stringMatching(/GET \/ip: status 500/) },
    })
  })

  it.each<[string, Parameters<FakeWeave['setFault']>[0], RegExp]>([
    ['an error', (_request, response) => response.writeHead(500).end('down') !== undefined, /status 500, got down/],
    ['text', (_request, response) => response.end('Version: 2.8.1') !== undefined, /expected JSON, got Version/],
    ['another answer', (_request, response) => response.end('[]') !== undefined, /expected the report of a weave/],
    ['a huge body', (_request, response) => response.end(' '.repeat(300_000)) !== undefined, /more than 200000/],
    ['nothing', () => true, /no whole answer within 100 ms/],
  ])('that answers %s is stale, with what it said last', async (_case, fault, why) => {
    const weave = await started({ report: large, owned })
    const source = watch(weave.url, { timeout: 100, maxBytes: 200_000 })
    await eventually(() => expect(source.last().value.evidence).toBe('fresh'))
    const { value, at } = source.last().value
    weave.setFault(fault)
    await eventually(() =>
      expect(source.last().value).toMatchObject({ evidence: 'stale', why: expect.stringMatching(why) }),
    )
    expect(source.last().value.value).toBe(value)
    expect(source.last().value.at).toBeGreaterThanOrEqual(at)
    expect(source.last().status).toMatchObject({
      state: 'stale',
      error: expect.stringMatching(why),
      partitions: { total: 1, stale: 1 },
    })
    weave.setFault(null)
    await eventually(() => expect(source.last().value).toMatchObject({ evidence: 'fresh', value: expect.anything() }))
  })

  it('that never answered is stale and empty', async () => {
    const source = watch('http://127.0.0.1:1')
    await eventually(() => expect(source.last().value).toMatchObject({ evidence: 'stale', at: 0 }))
    expect(source.last().value.value).toMatchObject({ names: [], peers: [] })
    expect(source.last().status.at).toBeNull()
  })
})
