import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { plan } from '../../src/plan/plan.ts'
import type { Model, Running, RunningServer, Step } from '../../src/types.ts'
import { backend, candidateOf, model, route, runningOf, server } from './models.ts'

const web = backend('web', [server(1), server(2)])
const now = model([web], [route('shop.example.com/', 'web')])
const installed = candidateOf(now)
const running = runningOf(now, installed)

/** The plan from `now` to another model. */
function planTo(wanted: Model, options: Parameters<typeof candidateOf>[1] = { hash: 'bbbbbbbbbbbb' }) {
  return plan(running, { model: wanted, candidate: candidateOf(wanted, options) }, installed, now)
}

const revision = { do: 'map', file: 'revision.map', changes: new Map([['revision', 'bbbbbbbbbbbb']]) }

describe('the plan', () => {
  it('of what already runs is empty', () => {
    expect(plan(running, { model: now, candidate: installed }, installed)).toEqual({ steps: [], reload: [] })
    expect(plan(running, { model: now, candidate: installed }, null)).toEqual({ steps: [], reload: [] })
  })

  it.each<[string, readonly ReturnType<typeof server>[], readonly object[]]>([
    [
      'adds a server with the section it belongs to',
      [server(1), server(2), server(3)],
      [{ do: 'add', backend: 'web', section: web.section, server: server(3) }],
    ],
    ['removes one that is not wanted', [server(1)], [{ do: 'remove', backend: 'web', server: '10.2.1.2:8080' }]],
    [
      'sets a weight',
      [server(1), server(2, { weight: 9 })],
      [{ do: 'weigh', backend: 'web', server: '10.2.1.2:8080', weight: 9 }],
    ],
    [
      'sets a state',
      [server(1), server(2, { state: 'drain' })],
      [{ do: 'state', backend: 'web', server: '10.2.1.2:8080', state: 'drain' }],
    ],
    [
      'adds before it removes when an instance moves',
      [server(1), server(3)],
      [
        { do: 'add', backend: 'web', section: web.section, server: server(3) },
        { do: 'remove', backend: 'web', server: '10.2.1.2:8080' },
      ],
    ],
  ])('%s, and sets the revision last', (_what, servers, steps) => {
    expect(planTo(model([backend('web', servers)], now.routes))).toEqual({ steps: [...steps, revision], reload: [] })
  })

  it('brings a server back to ready before it changes the maps', () => {
    const drained = runningOf(model([backend('web', [server(1, { state: 'maint' }), server(2)])], []), installed)
    const { steps } = plan(drained, { model: now, candidate: installed }, installed)
    expect(steps).toEqual([{ do: 'state', backend: 'web', server: '10.2.1.1:8080', state: 'ready' }])
  })

  it('changes maps in the order of routes, others, state, and then the revision', () => {
    const nothing = {
      ...running,
      maps: new Map([...running.maps.keys()].map((file) => [file, new Map<string, string>()])),
    }
    const { steps } = plan(nothing, { model: now, candidate: installed }, installed)
    expect(steps.map((step) => (step.do === 'map' ? step.file : step.do))).toEqual([
      'routes.map',
      'hosts.map',
      'state.map',
      'revision.map',
    ])
  })

  it('leaves maps alone that the running configuration does not read', () => {
    const maps = new Map([...running.maps].filter(([file]) => file !== 'state.map'))
    expect(plan({ ...running, maps }, { model: now, candidate: installed }, installed)).toEqual({
      steps: [],
      reload: [],
    })
  })

  it('deletes map entries that are not wanted and changes the others, in one step a file', () => {
    const api = route('shop.example.com/api', 'web')
    const { steps } = planTo(model([web], [api]))
    expect(steps[0]).toEqual({
      do: 'map',
      file: 'routes.map',
      changes: new Map([
        ['shop.example.com/api', 'web|web'],
        ['shop.example.com/', null],
      ]),
    })
  })

  it('adds servers to a backend that runs without any', () => {
    const empty = model([backend('web', [])], now.routes)
    const unlisted: Running = { ...runningOf(empty, candidateOf(empty)), servers: new Map() }
    expect(plan(unlisted, { model: now, candidate: installed }, null).steps).toHaveLength(2)
  })
})

describe('a reload', () => {
  it.each<[string, ReturnType<typeof planTo>['reload'], Model, string]>([
    ['the global part differs', [{ code: 'global', subject: 'global' }], now, 'g2'],
    [
      'a backend is new',
      [{ code: 'new-backend', subject: 'api' }],
      model([web, backend('api', [server(3)])], now.routes),
      'g1',
    ],
    [
      'the section of a backend differs',
      [{ code: 'section', subject: 'web' }],
      model([backend('web', web.servers, { balance: 'leastconn' })], now.routes),
      'g1',
    ],
    ['a backend is left over', [{ code: 'gone-backend', subject: 'web' }], model([]), 'g1'],
  ])('is due when %s', (_why, reload, wanted, global) => {
    expect(planTo(wanted, { global }).reload).toEqual(reload)
  })

  it('is due when a server becomes a backup, which the runtime API cannot do', () => {
    const wanted = model([backend('web', [server(1), server(2, { backup: true })])], now.routes)
    const { steps, reload } = planTo(wanted)
    expect(reload).toEqual([{ code: 'server', subject: 'web/10.2.1.2:8080' }])
    expect(steps).toEqual([])
  })

  it('is due when what runs is none of ours, which is then left alone', () => {
    for (const structure of ['', 'edge 7 of the old place', 'abc']) {
      const foreign = { ...running, structure, maps: new Map() }
      const { steps, reload } = plan(foreign, { model: now, candidate: installed }, installed)
      expect(reload).toEqual([{ code: 'not-ours', subject: structure }])
      expect(steps).toEqual([])
    }
  })

  it('is due when what runs is an unknown structure of ours; its servers are kept in step, its maps are not', () => {
    const older = { ...running, structure: '0123456789ab', maps: new Map() }
    const wanted = model([backend('web', [server(1)]), backend('api', [server(3)])], now.routes)
    const { steps, reload } = plan(older, { model: wanted, candidate: candidateOf(wanted) }, installed)
    expect(reload).toEqual([{ code: 'not-ours', subject: '0123456789ab' }])
    expect(steps).toEqual([{ do: 'remove', backend: 'web', server: '10.2.1.2:8080' }])
  })

  it('that is due holds back the revision, unless it is only for a backend that is left over', () => {
    const files = (wanted: Model, options = { hash: 'bbbbbbbbbbbb' }) =>
      planTo(wanted, options).steps.flatMap((step) => (step.do === 'map' ? [step.file] : []))
    expect(files(model([web, backend('api', [])], now.routes))).toEqual([])
    expect(files(model([]))).toEqual(['routes.map', 'hosts.map', 'state.map', 'revision.map'])
  })

  it('that is due holds back the routes into backends that only it can make', () => {
    const wanted = model(
      [web, backend('api', [server(3)])],
      [route('shop.example.com/', 'api'), route('shop.example.com/web', 'web'), route('shop.example.com/x', 'api')],
    )
    expect(planTo(wanted).steps).toEqual([
      { do: 'map', file: 'routes.map', changes: new Map([['shop.example.com/web', 'web|web']]) },
    ])
  })

  it('that brings the first routes of an edge is awaited before the edge calls itself alive', () => {
    const bare = model([])
    const wanted = { model: now, candidate: installed }
    const { steps } = plan(runningOf(bare, candidateOf(bare)), wanted, candidateOf(bare))
    expect(steps.map((step) => (step.do === 'map' ? step.file : step.do))).toEqual(['hosts.map'])
  })
})

// ---------------------------------------------------------------------------------------------- property

const ids = ['a', 'b', 'c', 'd']
const arbitraryServer = fc
  .record({
    last: fc.integer({ min: 1, max: 6 }),
    weight: fc.integer({ min: 0, max: 3 }),
    state: fc.constantFrom('ready' as const, 'drain' as const, 'maint' as const),
  })
  .map(({ last, weight, state }) => server(last, { weight, state }))
const arbitraryServers = fc.uniqueArray(arbitraryServer, { selector: ({ name }) => name, maxLength: 5 })
const arbitraryRoutes = (services: readonly string[]) =>
  fc
    .uniqueArray(fc.tuple(fc.constantFrom('/', '/x', '/y', '/z'), fc.constantFrom(...services)), {
      selector: ([path]) => path,
    })
    .map((pairs) => pairs.map(([path, service]) => route(path, service)))

/** Any model with a backend for each of the ids, so that two of them have the same structure. */
const arbitraryModel = (services: readonly string[]) =>
  fc
    .tuple(
      fc.array(arbitraryServers, { minLength: services.length, maxLength: services.length }),
      arbitraryRoutes(services),
    )
    .map(([lists, routes]) =>
      model(
        services.map((id, at) => backend(id, lists[at] ?? [])),
        routes,
      ),
    )

/** Does to a small HAProxy what the runtime API would, and says what HAProxy would say. */
function apply(state: Running, step: Step): Running {
  if (step.do === 'map') {
    const entries = new Map(state.maps.get(step.file))
    for (const [key, value] of step.changes) {
      if (value === null && !entries.delete(key)) throw new Error('entry not found.')
      if (value !== null) entries.set(key, value)
    }
    return { ...state, maps: new Map(state.maps).set(step.file, entries) }
  }
  const servers = new Map<string, RunningServer>(state.servers.get(step.backend))
  const name = step.do === 'add' ? step.server.name : step.server
  const present = servers.get(name)
  if (step.do === 'add') {
    if (!state.servers.has(step.backend)) throw new Error('No such backend.')
    if (present !== undefined) throw new Error('Already exists a server with the same name in backend.')
    servers.set(name, { weight: step.server.weight, state: step.server.state })
  } else {
    if (present === undefined) throw new Error('No such server.')
    if (step.do === 'remove') servers.delete(name)
    else
      servers.set(name, step.do === 'weigh' ? { ...present, weight: step.weight } : { ...present, state: step.state })
  }
  return { ...state, servers: new Map(state.servers).set(step.backend, servers) }
}

describe('applying the steps of a plan', () => {
  it('gives the wanted members, for any two models of one structure', () => {
    fc.assert(
      fc.property(arbitraryModel(ids), arbitraryModel(ids), (before, after) => {
        const start = runningOf(before, candidateOf(before))
        const candidate = candidateOf(after, { hash: 'bbbbbbbbbbbb' })
        const { steps, reload } = plan(start, { model: after, candidate }, null)
        expect(reload).toEqual([])
        const end = steps.reduce(apply, start)
        expect(end.servers).toEqual(runningOf(after, candidate).servers)
        expect(end.maps).toEqual(candidate.maps)
        expect(plan(end, { model: after, candidate }, null)).toEqual({ steps: [], reload: [] })
      }),
    )
  })

  it('never has a route to a backend that is not there, whatever the two structures', () => {
    const anyIds = fc.subarray(ids, { minLength: 1 })
    const any = anyIds.chain((services) => arbitraryModel(services))
    fc.assert(
      fc.property(any, any, (before, after) => {
        const known = candidateOf(before)
        let state = runningOf(before, known)
        const { steps } = plan(state, { model: after, candidate: candidateOf(after, { hash: 'bbbbbbbbbbbb' }) }, known)
        for (const step of steps) {
          state = apply(state, step)
          for (const value of state.maps.get('routes.map')?.values() ?? [])
            expect(state.servers.has(value.split('|')[0] ?? '')).toBe(true)
        }
      }),
    )
  })

  it('is stoppable: from any point on, a new plan gets to the same end', () => {
    fc.assert(
      fc.property(arbitraryModel(ids), arbitraryModel(ids), fc.nat(40), (before, after, stop) => {
        const candidate = candidateOf(after, { hash: 'bbbbbbbbbbbb' })
        const wanted = { model: after, candidate }
        const start = runningOf(before, candidateOf(before))
        const half = plan(start, wanted, null).steps.slice(0, stop).reduce(apply, start)
        const end = plan(half, wanted, null).steps.reduce(apply, half)
        expect(end.servers).toEqual(runningOf(after, candidate).servers)
        expect(end.maps).toEqual(candidate.maps)
      }),
    )
  })
})
