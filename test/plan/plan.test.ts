import { describe, expect, it } from 'vitest'
import { plan } from '../../src/plan/plan.ts'
import type { Backend, Model, ReloadReason, Running, RunningServer, Step } from '../../src/types.ts'
import { backend, candidateOf, model, type Rendering, route, runningOf, server } from './models.ts'

const web = backend('web', [server(1), server(2)])
const now = model([web], [route('shop.example.com/', 'web')])
const spares = [':spare1', ':spare2', ':sticky1']
const installed = candidateOf(now, { spares })
const running = runningOf(now, installed)
const nothing = { steps: [], leaving: [], reload: [] }

/** The plan from `now`, or from what runs instead, to another model. */
function planTo(wanted: Model, options: Rendering = {}, from: Running = running) {
  const candidate = candidateOf(wanted, { hash: 'bbbbbbbbbbbb', spares, ...options })
  return plan(from, { model: wanted, candidate }, installed.parts)
}

/** `running` with something else about a server of web. */
function withServer(name: string, change: Partial<RunningServer>): Running {
  const known = {
    weight: 1,
    state: 'ready',
    address: name,
    words: '',
    ...running.servers.get('web')?.get(name),
  } as const
  const servers = new Map([...(running.servers.get('web') ?? []), [name, { ...known, ...change }]])
  return { ...running, servers: new Map([['web', servers]]) }
}

/** Steps by what they do, maps by their file. */
const names = (steps: readonly Step[]) => steps.map((step) => (step.do === 'map' ? step.file : step.do))

const claim = {
  do: 'map',
  file: 'revision.map',
  changes: new Map([['revision', { from: 'aaaaaaaaaaaa', to: 'bbbbbbbbbbbb' }]]),
}

describe('the plan', () => {
  it('of what already runs is empty, whatever is known of the structure', () => {
    expect(plan(running, { model: now, candidate: installed }, installed.parts)).toEqual(nothing)
    expect(plan(running, { model: now, candidate: installed }, null)).toEqual(nothing)
  })

  it.each<[string, readonly ReturnType<typeof server>[], readonly object[]]>([
    [
      'adds a server with the section it belongs to',
      [server(1), server(2), server(3)],
      [{ do: 'add', backend: 'web', section: web.section, server: server(3) }],
    ],
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
      'sends no new request to a server that is not wanted',
      [server(1)],
      [{ do: 'state', backend: 'web', server: '10.2.1.2:8080', state: 'maint' }],
    ],
    [
      'adds before it takes away when an instance moves',
      [server(1), server(3)],
      [
        { do: 'add', backend: 'web', section: web.section, server: server(3) },
        { do: 'state', backend: 'web', server: '10.2.1.2:8080', state: 'maint' },
      ],
    ],
  ])('%s', (_what, servers, steps) => {
    expect(planTo(model([backend('web', servers)], now.routes))).toMatchObject({ steps, reload: [] })
  })

  it('says which servers leave, for as long as they are there', () => {
    const wanted = model([backend('web', [server(1)])], now.routes)
    const leaving = [{ backend: 'web', server: '10.2.1.2:8080' }]
    expect(planTo(wanted).leaving).toEqual(leaving)
    const told = withServer('10.2.1.2:8080', { state: 'maint' })
    expect(planTo(wanted, {}, told)).toEqual({ steps: [claim], leaving, reload: [] })
  })

  it('lets servers go that somebody else has added, be it to a section that nobody has', () => {
    const foreign = withServer('canary', { address: '10.9.9.9:80', words: null })
    expect(planTo(now, {}, foreign)).toMatchObject({
      steps: [{ do: 'state', backend: 'web', server: 'canary', state: 'maint' }],
      leaving: [{ backend: 'web', server: 'canary' }],
    })
    const one = { weight: 1, state: 'maint', address: '10.9.9.9:80', words: null } as const
    const inSpare = { ...running, servers: new Map([...running.servers, [':spare1', new Map([['canary', one]])]]) }
    expect(planTo(now, { hash: installed.hash }, inSpare)).toEqual({
      ...nothing,
      leaving: [{ backend: ':spare1', server: 'canary' }],
    })
  })

  it('lets servers be that are in a section of a template of the user, or of a structure that is not known', () => {
    const acme = new Map([['acme', { weight: 1, state: 'ready', address: '127.0.0.1:81', words: null } as const]])
    const own = { ...running, servers: new Map([...running.servers, ['acme', acme]]) }
    expect(planTo(now, { hash: installed.hash }, own)).toEqual(nothing)
    expect(planTo(model([]), {}, own).leaving.map(({ backend: id }) => id)).toEqual(['web', 'web'])
    const older = { ...own, structure: '0123456789ab' }
    expect(plan(older, { model: model([]), candidate: candidateOf(model([])) }, null).leaving).toEqual([])
  })

  it('brings a server back to the address it is named by', () => {
    const moved = withServer('10.2.1.2:8080', { address: '10.9.9.9:80' })
    expect(planTo(now, { hash: installed.hash }, moved)).toEqual({
      ...nothing,
      steps: [{ do: 'readdress', backend: 'web', server: '10.2.1.2:8080' }],
    })
  })

  it('brings a server back to ready before it changes the maps', () => {
    const { steps } = planTo(
      model([web], [route('shop.example.com/api', 'web')]),
      {},
      withServer('10.2.1.1:8080', { state: 'maint' }),
    )
    expect(names(steps)).toEqual(['state', 'routes.map'])
  })

  it('is in an order that is safe to stop at: seats, servers, routes, other maps, and last who is not to be asked', () => {
    const api = backend('api', [server(3)])
    const wanted = model(
      [api, backend('web', [server(1, { weight: 3 }), server(4)])],
      [route('shop.example.com/', 'web'), route('api.example.com/', 'api')],
    )
    expect(names(planTo(wanted).steps)).toEqual(['seat', 'add', 'add', 'routes.map', 'hosts.map', 'weigh', 'state'])
  })

  it('changes maps in the order of routes, others, state', () => {
    const maps = new Map([...running.maps.keys()].map((file) => [file, new Map<string, string>()]))
    const { steps } = planTo(now, { hash: installed.hash }, { ...running, maps })
    expect(names(steps)).toEqual(['routes.map', 'hosts.map', 'state.map'])
  })

  it('leaves maps alone that the running configuration does not read', () => {
    const maps = new Map([...running.maps].filter(([file]) => file !== 'state.map'))
    expect(planTo(now, { hash: installed.hash }, { ...running, maps })).toEqual(nothing)
  })

  it('deletes map entries that are not wanted and changes the others, in one step a file', () => {
    const { steps } = planTo(model([web], [route('shop.example.com/api', 'web')]))
    expect(steps).toEqual([
      {
        do: 'map',
        file: 'routes.map',
        changes: new Map([
          ['shop.example.com/api', { from: null, to: 'web|web' }],
          ['shop.example.com/', { from: 'web|web', to: null }],
        ]),
      },
    ])
  })

  it('adds servers to a backend that runs without any', () => {
    const empty = model([backend('web', [])], now.routes)
    expect(planTo(now, {}, runningOf(empty, installed)).steps).toHaveLength(2)
  })
})

describe('options that HAProxy does not tell', () => {
  const limited = model([backend('web', web.servers, { maxconn: 5 })], now.routes)

  it('are no matter where there are none, known or not', () => {
    expect(planTo(now, { hash: installed.hash }, withServer('10.2.1.1:8080', { words: null }))).toEqual(nothing)
  })

  it('need a reload where they differ, or can not be known', () => {
    const backup = model([backend('web', [server(1), server(2, { backup: true })])], now.routes)
    const reload = [{ code: 'server', subject: 'web/10.2.1.2:8080' }]
    expect(planTo(backup)).toEqual({ ...nothing, reload })
    expect(planTo(backup, {}, withServer('10.2.1.2:8080', { words: null }))).toEqual({ ...nothing, reload })
    expect(planTo(backup, {}, withServer('10.2.1.2:8080', { words: 'backup' }))).toEqual({ ...nothing, steps: [claim] })
  })

  it('but for a limit, which is set, and lifted', () => {
    const step = { do: 'limit', backend: 'web', maxconn: 5, words: 'maxconn 5' }
    expect(planTo(limited)).toEqual({
      ...nothing,
      steps: [
        { ...step, server: '10.2.1.1:8080' },
        { ...step, server: '10.2.1.2:8080' },
      ],
    })
    const lifted = planTo(now, {}, withServer('10.2.1.2:8080', { words: 'maxconn 5' }))
    expect(lifted.steps).toEqual([{ do: 'limit', backend: 'web', server: '10.2.1.2:8080', maxconn: null, words: '' }])
  })

  it('of a limit that is not known can not be told from any other', () => {
    const unknown = withServer('10.2.1.1:8080', { words: null })
    expect(planTo(limited, {}, unknown).reload).toEqual([{ code: 'server', subject: 'web/10.2.1.1:8080' }])
  })
})

describe('the claim that a revision is in effect', () => {
  const other = model([web], [route('shop.example.com/', 'web'), route('shop.example.com/api', 'web')])

  it('is made when nothing else is left to be told', () => {
    const first = planTo(other)
    expect(names(first.steps)).toEqual(['routes.map'])
    expect(planTo(now)).toEqual({ ...nothing, steps: [claim] })
  })

  it('does not wait for servers that leave: nobody is sent to them', () => {
    const left = withServer('10.2.1.9:8080', { state: 'maint' })
    expect(planTo(now, {}, left).steps).toEqual([claim])
  })

  it.each<[ReloadReason['code'], Model, Rendering, Partial<Running>]>([
    ['gone-backend', model([]), {}, { servers: new Map(), maps: candidateOf(model([])).maps }],
    ['spares', now, { spares: [...spares, ':spare3'] }, {}],
    ['in-spare', model([web, backend('api', [])], now.routes), {}, { seats: new Map([['api', ':spare1']]) }],
  ])('does not wait for a reload that is due to %s', (code, wanted, options, change) => {
    const { steps, reload } = planTo(wanted, options, { ...running, ...change })
    expect(reload.map((reason) => reason.code)).toEqual([code])
    expect(names(steps)).toEqual(['revision.map'])
  })

  it.each<[ReloadReason['code'], Model, Rendering, Partial<Running>]>([
    ['global', now, { global: 'g2' }, {}],
    ['section', model([backend('web', web.servers, { balance: 'leastconn' })], now.routes), {}, {}],
    ['new-backend', model([web, backend('api', [], { balance: 'first' })], now.routes), {}, {}],
    ['server', model([backend('web', [server(1), server(2, { backup: true })])], now.routes), {}, {}],
    ['not-ours', now, {}, { structure: '0123456789ab' }],
  ])('waits for a reload that is due to %s', (code, wanted, options, change) => {
    const parts = 'structure' in change ? null : installed.parts
    const candidate = candidateOf(wanted, { hash: 'bbbbbbbbbbbb', spares, ...options })
    const { steps, reload } = plan({ ...running, ...change }, { model: wanted, candidate }, parts)
    expect(reload.map((reason) => reason.code)).toEqual([code])
    expect(steps).toEqual([])
  })

  it('waits for all reasons of a reload, not for the first', () => {
    const wanted = model([backend('web', web.servers, { balance: 'leastconn' })], now.routes)
    const { steps, reload } = planTo(wanted, { spares: [] })
    expect(reload.map(({ code }) => code)).toEqual(['section', 'spares'])
    expect(steps).toEqual([])
  })
})

describe('a reload', () => {
  const api = (section: Partial<Backend['section']> = {}) => backend('api', [server(3)], section)

  it.each<[string, readonly ReloadReason[], Model, Rendering]>([
    ['the global part differs', [{ code: 'global', subject: 'global' }], now, { global: 'g2' }],
    [
      'a backend is new and there is no spare of its kind',
      [{ code: 'new-backend', subject: 'api' }],
      model([web, api({ balance: 'leastconn' })], now.routes),
      {},
    ],
    ['a backend gets a spare', [{ code: 'in-spare', subject: 'api' }], model([web, api()], now.routes), {}],
    [
      'the section of a backend differs',
      [{ code: 'section', subject: 'web' }],
      model([backend('web', web.servers, { balance: 'leastconn' })], now.routes),
      {},
    ],
    ['a backend is left over', [{ code: 'gone-backend', subject: 'web' }], model([]), {}],
    ['spares are too few or too many', [{ code: 'spares', subject: '' }], now, { spares: spares.slice(1) }],
  ])('is due when %s', (_why, reload, wanted, options) => {
    expect(planTo(wanted, options).reload).toEqual(reload)
  })

  it('is due when what a backend in a spare asks for is not what the spare has', () => {
    const seated = { ...running, seats: new Map([['api', ':spare1']]) }
    const sticky = model([web, api({ sticky: 'SRV' })], now.routes)
    expect(planTo(sticky, {}, seated).reload).toEqual([{ code: 'section', subject: 'api' }])
  })

  it('is due when the structures differ in what no part shows', () => {
    const { reload } = plan(
      { ...running, structure: '0123456789ab' },
      { model: now, candidate: installed },
      installed.parts,
    )
    expect(reload).toEqual([{ code: 'global', subject: 'global' }])
  })

  it('is due when what runs is none of ours, which is then left alone', () => {
    for (const structure of ['', 'edge 7 of the old place', 'abc']) {
      const foreign = { ...running, structure, maps: new Map(), seats: null }
      const { steps, leaving, reload } = plan(foreign, { model: now, candidate: installed }, null)
      expect(reload).toEqual([{ code: 'not-ours', subject: structure }])
      expect([...steps, ...leaving]).toEqual([])
    }
  })

  it('is due when what runs is an unknown structure of ours; its servers are kept in step, its maps and spares are not', () => {
    const older = { ...running, structure: '0123456789ab' }
    const wanted = model([backend('web', [server(1)]), api()], [route('shop.example.com/api', 'web')])
    const candidate = candidateOf(wanted, { hash: 'bbbbbbbbbbbb', spares })
    expect(plan(older, { model: wanted, candidate }, null)).toEqual({
      steps: [{ do: 'state', backend: 'web', server: '10.2.1.2:8080', state: 'maint' }],
      leaving: [{ backend: 'web', server: '10.2.1.2:8080' }],
      reload: [{ code: 'not-ours', subject: '0123456789ab' }],
    })
  })

  it('that is due holds back the routes into backends that only it can make; they lead where they led', () => {
    const wanted = model(
      [web, api({ balance: 'leastconn' })],
      [route('shop.example.com/', 'api'), route('shop.example.com/web', 'web'), route('shop.example.com/x', 'api')],
    )
    expect(planTo(wanted).steps).toEqual([
      { do: 'map', file: 'routes.map', changes: new Map([['shop.example.com/web', { from: null, to: 'web|web' }]]) },
    ])
  })

  it('that is due is awaited by the servers that answer for a backend until then, and by no others', () => {
    const [other, api] = [backend('other', [server(5)]), backend('web:a1b2c3', [server(1)], { balance: 'leastconn' })]
    const before = model([web, other], [route('shop.example.com/', 'web'), route('/', 'other')])
    const after = model([api], [route('shop.example.com/', 'web', { backend: api.id })])
    const loaded = candidateOf(before, { spares })
    const from = runningOf(before, loaded)
    const wanted = { model: after, candidate: candidateOf(after, { hash: 'bbbbbbbbbbbb', spares }) }
    const { steps, leaving, reload } = plan(from, wanted, loaded.parts)
    expect(leaving).toEqual([{ backend: 'other', server: '10.2.1.5:8080' }])
    expect(steps.flatMap((step) => (step.do === 'state' ? [step.backend] : []))).toEqual(['other'])
    expect(steps.find((step) => step.do === 'map')).toMatchObject({
      file: 'routes.map',
      changes: new Map([['*/', { from: 'other|other', to: null }]]),
    })
    expect(reload.map(({ code }) => code)).toEqual(['gone-backend', 'gone-backend', 'new-backend'])
  })

  it('that brings the first routes of an edge is awaited before the edge calls itself alive', () => {
    const bare = candidateOf(model([]))
    const { steps } = plan(runningOf(model([]), bare), { model: now, candidate: candidateOf(now) }, bare.parts)
    expect(names(steps)).toEqual(['hosts.map'])
  })

  it('is not awaited by an edge whose first backend finds a spare', () => {
    const bare = candidateOf(model([]), { spares })
    const { steps } = plan(runningOf(model([]), bare), { model: now, candidate: installed }, bare.parts)
    expect(names(steps)).toEqual(['seat', 'add', 'add', 'routes.map', 'hosts.map', 'state.map'])
  })
})
