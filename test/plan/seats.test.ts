import { describe, expect, it } from 'vitest'
import { plan } from '../../src/plan/plan.ts'
import { planSeats } from '../../src/plan/seats.ts'
import type { Backend, Running, RunningServer } from '../../src/types.ts'
import { backend, candidateOf, model, route, runningOf, server } from './models.ts'

const web = backend('web', [server(1)])
const now = model([web], [route('web.example.com/', 'web')])
const spares = [':spare1', ':spare2', ':sticky1']
const installed = candidateOf(now, { spares })
const running = runningOf(now, installed)

/** Who gets which spare when these backends come, and who has one then. */
function seat(backends: readonly Backend[], change: Partial<Running> = {}, parts = installed.parts) {
  const wanted = model([web, ...backends])
  const { seats, steps } = planSeats({ ...running, ...change }, wanted, parts, [...wanted.backends.keys()])
  return {
    seats: Object.fromEntries(seats),
    given: steps.map((step) => (step.do === 'seat' ? `${step.backend} in ${step.spare}` : step.do)),
  }
}

const sticky = { sticky: 'SRV' }
const left: RunningServer = { weight: 1, state: 'maint', address: '10.2.1.7:8080', words: '' }

describe('a backend that has no section', () => {
  it('gets a spare, the next one the next', () => {
    expect(seat([backend('api', []), backend('docs', [])])).toEqual({
      seats: { api: 'in-spare', docs: 'in-spare' },
      given: ['api in :spare1', 'docs in :spare2'],
    })
  })

  it.each([
    ['a limit', { maxconn: 5 }, ['api in :spare1']],
    ['HTTP/2', { proto: 'h2c' }, ['api in :spare1']],
    ['sticky users', sticky, ['api in :sticky1']],
    ['a cookie of another name', { sticky: 'JSESSIONID' }, []],
    ['another balance', { balance: 'leastconn' }, []],
    ['sticky users and another balance', { ...sticky, balance: 'first' }, []],
  ] as const)('and asks for %s gets one of that kind, or none', (_what, section, given) => {
    expect(seat([backend('api', [], section)]).given).toEqual(given)
  })

  it('keeps the one it has', () => {
    expect(seat([backend('api', [])], { seats: new Map([['api', ':spare2']]) })).toEqual({
      seats: { api: 'in-spare' },
      given: [],
    })
  })

  it('keeps its seat, with a reason for a reload, when it asks for what its spare has not', () => {
    expect(seat([backend('api', [], sticky)], { seats: new Map([['api', ':spare1']]) })).toEqual({
      seats: { api: 'section' },
      given: [],
    })
  })

  it('gets none that had another backend before it, be it gone', () => {
    const seats = new Map([['gone', ':spare1']])
    expect(seat([backend('api', [])], { seats }).given).toEqual(['api in :spare2'])
  })

  it('gets its own back when it comes again', () => {
    const seats = new Map([
      ['api', ':spare2'],
      ['docs', ':spare1'],
    ])
    expect(seat([backend('docs', [])], { seats })).toEqual({ seats: { docs: 'in-spare' }, given: [] })
  })

  it('gets none that has servers, whoever put them there', () => {
    const servers = new Map([...running.servers, [':spare1', new Map([['10.2.1.7:8080', left]])]])
    expect(seat([backend('api', [])], { servers }).given).toEqual(['api in :spare2'])
  })

  it('gets none when they are all taken', () => {
    const seats = new Map([
      ['a', ':spare1'],
      ['b', ':spare2'],
    ])
    expect(seat([backend('api', [])], { seats })).toEqual({ seats: {}, given: [] })
  })

  it('gets none of a configuration without seats.map, or of one that is not known', () => {
    expect(seat([backend('api', [])], { seats: null }).given).toEqual([])
    const wanted = model([web, backend('api', [])])
    expect(planSeats(running, wanted, null, ['api']).steps).toEqual([])
  })
})

describe('a service that gets a spare', () => {
  const api = backend('api', [server(3)])
  const wanted = model([web, api], [route('web.example.com/', 'web'), route('api.example.com/', 'api')])
  const candidate = candidateOf(wanted, { hash: 'bbbbbbbbbbbb', spares })

  it('is served without a reload', () => {
    const { steps, reload } = plan(running, { model: wanted, candidate }, installed.parts)
    expect(steps.slice(0, 3)).toEqual([
      { do: 'seat', backend: 'api', spare: ':spare1' },
      { do: 'add', backend: 'api', section: api.section, server: server(3) },
      { do: 'map', file: 'routes.map', changes: new Map([['api.example.com/', { from: null, to: 'api|api' }]]) },
    ])
    expect(reload).toEqual([{ code: 'in-spare', subject: 'api' }])
  })

  it('is served after a reload where there is none', () => {
    const bare = candidateOf(now)
    const { steps, reload } = plan(runningOf(now, bare), { model: wanted, candidate: candidateOf(wanted) }, bare.parts)
    expect(steps).toEqual([
      { do: 'map', file: 'hosts.map', changes: new Map([['api.example.com', { from: null, to: 'plain' }]]) },
    ])
    expect(reload).toEqual([{ code: 'new-backend', subject: 'api' }])
  })
})

describe('a service called global, as a part of the structure might be', () => {
  const named = (servers: Backend['servers']) => backend('global', servers)
  const told = (from: Backend[], to: Backend[]) => {
    const [before, after] = [model(from), model(to)]
    const loaded = candidateOf(before, { spares })
    const wanted = { model: after, candidate: candidateOf(after, { hash: 'bbbbbbbbbbbb', spares }) }
    return plan(runningOf(before, loaded), wanted, loaded.parts)
  }

  it('gets a spare when it is new', () => {
    const { steps, reload } = told([], [named([server(1)])])
    expect(steps.map((step) => step.do)).toEqual(['seat', 'add'])
    expect(reload).toEqual([{ code: 'in-spare', subject: 'global' }])
  })

  it('stays in its own section, with or without servers, while another service gets a spare', () => {
    for (const servers of [[], [server(1)]]) {
      const { steps } = told([named(servers)], [named([server(1), server(2)]), backend('api', [])])
      expect(steps.filter((step) => step.do === 'seat')).toEqual([{ do: 'seat', backend: 'api', spare: ':spare1' }])
    }
  })

  it('is told when its section differs, and when it is left over', () => {
    const leastconn = backend('global', [], { balance: 'leastconn' })
    expect(told([named([])], [leastconn]).reload).toEqual([{ code: 'section', subject: 'global' }])
    expect(told([named([])], []).reload).toEqual([{ code: 'gone-backend', subject: 'global' }])
  })
})
