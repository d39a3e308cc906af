import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, emptyMemory } from '../../src/model/decide.ts'
import type { Decision, Evidence, Instance, World } from '../../src/types.ts'
import { copyOf } from '../support/maps.ts'
import { decideFor, instance, noon, problemCodesOf, routed, routeTexts, settings, worldOf } from '../support/worlds.ts'

const minute = 60_000
const hour = 60 * minute

function servers(decision: Decision, backend: string): readonly string[] {
  const list = decision.model.backends.get(backend)?.servers ?? []
  return list.map(({ name, state, weight, backup }) => `${name} ${state} ${weight}${backup ? ' backup' : ''}`)
}

describe('routes of services', () => {
  it('come from every exposed service, in order of their matches', () => {
    const decision = decideFor([
      routed('web', ['www.example.com', '*.example.com/api']),
      routed('blog', ['/blog'], { address: '10.2.1.2' }),
      instance('db', 'db-1', { address: '10.2.1.3' }),
    ])
    expect(routeTexts(decision)).toEqual(['*.example.com/api -> web', '/blog -> blog', 'www.example.com/ -> web'])
    expect([...decision.model.backends.keys()]).toEqual(['blog', 'web'])
    expect(decision.problems).toEqual([])
  })

  it('are the same bytes in any order of the input', () => {
    const instances = [
      routed('web', ['a.example', 'b.example'], { createIndex: 5 }),
      routed('web2', ['a.example', 'c.example'], { createIndex: 5, address: '10.2.1.2' }),
      routed('web3', ['a.example'], { createIndex: 5, address: '10.2.1.3' }),
      instance('web', 'web-2', { address: '10.2.1.9', tags: ['heddle.route=d.example'] }),
    ]
    const expected = decideFor(instances)
    fc.assert(
      fc.property(fc.shuffledSubarray(instances, { minLength: instances.length }), (shuffled) => {
        const decision = decideFor(shuffled)
        expect(JSON.stringify(decision.model.routes)).toBe(JSON.stringify(expected.model.routes))
        expect([...decision.model.backends]).toEqual([...expected.model.backends])
        expect(decision.problems).toEqual(expected.problems)
      }),
    )
  })

  it('share a backend unless their section options differ', () => {
    const decision = decideFor([
      instance('web', 'w1', {
        tags: [
          'heddle.balance=leastconn',
          'heddle.route=a.example',
          'heddle.route=b.example sticky',
          'heddle.route=c.example timeout=5s',
        ],
      }),
    ])
    const [a, b, c] = decision.model.routes
    expect(a?.backend).toBe('web')
    expect(b?.backend).toMatch(/^web:[0-9a-f]{6}$/)
    expect(c).toMatchObject({ backend: 'web', rewrite: { timeout: 5000 } })
    expect(decision.model.backends.get(b?.backend ?? '')?.section).toMatchObject({
      balance: 'leastconn',
      sticky: 'SRV',
    })
  })

  it('need no backend when all of them redirect', () => {
    const decision = decideFor([
      routed('old', ['old.example redirect=301,https://new.example$path'], { health: 'critical' }),
    ])
    expect(decision.model.routes).toMatchObject([{ backend: null, lingersUntil: null }])
    expect(decision.model.backends.size).toBe(0)
  })

  it('name the backend of a service with an odd name safely', () => {
    const decision = decideFor([routed('we b\nbackend evil', ['a.example'])])
    expect(decision.model.routes[0]?.backend).toMatch(/^x:[0-9a-f]{24}$/)
  })

  it('are 64 a service at most', () => {
    const routes = Array.from({ length: 70 }, (_, index) => `h${String(index).padStart(2, '0')}.example`)
    const decision = decideFor([routed('web', routes)])
    expect(decision.model.routes).toHaveLength(64)
    expect(problemCodesOf(decision)).toEqual(['too-many-routes'])
  })

  it('go at once when a service stops asking for them', () => {
    const before = decideFor([routed('web', ['a.example', 'b.example'])])
    const after = decideFor([routed('web', ['a.example'])], { memory: before.memory })
    expect(routeTexts(after)).toEqual(['a.example/ -> web'])
    const unexposed = decideFor([instance('web', 'web-1')], { memory: after.memory })
    expect(unexposed.model.routes).toEqual([])
    expect(unexposed.memory.services.size).toBe(0)
  })
})

describe('a match that two services ask for', () => {
  const older = routed('zeta', ['shop.example', 'zeta.example'], { createIndex: 10 })
  const newer = routed('alpha', ['shop.example', 'alpha.example'], { createIndex: 20, address: '10.2.1.2' })

  it('belongs to the older registration; the other keeps its other routes and a problem says so', () => {
    const decision = decideFor([older, newer])
    expect(routeTexts(decision)).toEqual(['alpha.example/ -> alpha', 'shop.example/ -> zeta', 'zeta.example/ -> zeta'])
    expect(decision.problems).toMatchObject([{ code: 'conflict', service: 'alpha', subject: 'shop.example/' }])
  })

  it('stays with its owner, whatever CreateIndex it registers with later', () => {
    const first = decideFor([newer])
    expect(routeTexts(decideFor([older, newer], { memory: first.memory }))).toContain('shop.example/ -> alpha')
    const again = { ...newer, createIndex: 99 }
    expect(routeTexts(decideFor([older, again], { memory: first.memory }))).toContain('shop.example/ -> alpha')
  })

  it('goes to the higher priority even against the owner', () => {
    const first = decideFor([older])
    const claim = routed('alpha', ['shop.example priority=5'], { createIndex: 20, address: '10.2.1.2' })
    expect(routeTexts(decideFor([older, claim], { memory: first.memory }))).toContain('shop.example/ -> alpha')
  })

  it('goes by name when nothing else decides', () => {
    const twin = { ...newer, createIndex: 10 }
    expect(routeTexts(decideFor([older, twin]))).toContain('shop.example/ -> alpha')
  })

  it('is free once the owner has no registered instance and somebody else asks', () => {
    const first = decideFor([older, newer])
    const second = decideFor([newer], { memory: first.memory, at: noon + 1000 })
    expect(routeTexts(second)).toContain('shop.example/ -> alpha')
    expect(second.problems).toEqual([])
    const back = decideFor([older, newer], { memory: second.memory, at: noon + 2000 })
    expect(routeTexts(back)).toContain('shop.example/ -> alpha')
  })
})

describe('a text that is not understood', () => {
  it('puts its route aside and changes nothing of the others', () => {
    const decision = decideFor([
      routed('web', ['a.example timeout=soon', 'b.example']),
      routed('api', ['c.example'], { address: '10.2.1.2' }),
    ])
    expect(routeTexts(decision)).toEqual(['b.example/ -> web', 'c.example/ -> api'])
    expect(problemCodesOf(decision)).toEqual(['bad-option'])
  })

  it('leaves the last good version of its route in place', () => {
    const before = decideFor([routed('web', ['a.example timeout=5s', 'b.example'])])
    const after = decideFor([routed('web', ['a.example timeout=soon', 'b.example'])], { memory: before.memory })
    expect(after.model.routes).toMatchObject([
      { match: { host: 'a.example' }, rewrite: { timeout: 5000 }, from: { isCurrent: false } },
      { match: { host: 'b.example' }, from: { isCurrent: true } },
    ])
    const third = decideFor([routed('web', ['a.example timeout=soon', 'b.example'])], { memory: after.memory })
    expect(third.model.routes).toEqual(after.model.routes)
  })

  it('leaves a named route in place even when its match is unreadable', () => {
    const named = (text: string) => instance('web', 'w1', { meta: { 'heddle-route-MAIN': text } })
    const before = decideFor([named('a.example')])
    const after = decideFor([named('a..example')], { memory: before.memory })
    expect(routeTexts(after)).toEqual(['a.example/ -> web'])
    const moved = decideFor([named('b.example')], { memory: after.memory })
    expect(routeTexts(moved)).toEqual(['b.example/ -> web'])
  })

  it('keeps last good routes that nobody claims while a match is unreadable', () => {
    const before = decideFor([routed('web', ['a.example', 'b.example'])])
    const broken = routed('web', ['a..example', 'b.example'])
    const after = decideFor([broken], { memory: before.memory })
    expect(routeTexts(after)).toEqual(['a.example/ -> web', 'b.example/ -> web'])
    const claimed = decideFor([broken, routed('api', ['a.example'], { address: '10.2.1.2' })], { memory: after.memory })
    expect(routeTexts(claimed)).toEqual(['a.example/ -> api', 'b.example/ -> web'])
    const mended = decideFor([routed('web', ['b.example'])], { memory: after.memory })
    expect(routeTexts(mended)).toEqual(['b.example/ -> web'])
  })

  it('keeps the last good value of a service option', () => {
    const tagged = (option: string) => [instance('web', 'w1', { tags: ['heddle.route=a.example', option] })]
    const before = decideFor(tagged('heddle.balance=leastconn'))
    const after = decideFor(tagged('heddle.balance=best'), { memory: before.memory })
    expect(after.model.backends.get('web')?.section.balance).toBe('leastconn')
    expect(problemCodesOf(after)).toEqual(['bad-option'])
    const without = decideFor(tagged('heddle.balance=best'))
    expect(without.model.backends.get('web')?.section.balance).toBe('roundrobin')
  })
})

describe('instances of one service', () => {
  const old = instance('web', 'old', { tags: ['heddle.route=a.example timeout=1s'], createIndex: 1 })
  const young = instance('web', 'young', {
    tags: ['heddle.route=a.example timeout=2s', 'heddle.route=b.example'],
    createIndex: 2,
    address: '10.2.1.2',
  })

  it('have the union of their routes with the options of the newest that serves', () => {
    const decision = decideFor([old, young])
    expect(decision.model.routes).toMatchObject([
      {
        match: { host: 'a.example' },
        rewrite: { timeout: 2000 },
        from: { instances: ['host1/old', 'host1/young'], createIndex: 1 },
      },
      { match: { host: 'b.example' } },
    ])
    const notYet = decideFor([old, { ...young, health: 'critical' }])
    expect(notYet.model.routes[0]?.rewrite.timeout).toBe(1000)
    expect(routeTexts(notYet)).toContain('b.example/ -> web')
  })

  it('that disagree for more than 10 minutes are a problem that names both', () => {
    const first = decideFor([old, young])
    expect(first.problems).toEqual([])
    expect(first.wakeAt).toBe(noon + 10 * minute)
    const later = decideFor([old, young], { memory: first.memory, at: noon + 10 * minute })
    expect(later.problems).toMatchObject([
      { code: 'disagreement', reason: expect.stringMatching(/host1\/young.*host1\/old/) },
    ])
    const agreed = decideFor([young], { memory: later.memory, at: noon + 11 * minute })
    expect(agreed.problems).toEqual([])
  })

  it('are servers by health', () => {
    const of = (id: string, health: Instance['health'], last: number) =>
      instance('web', id, {
        health,
        address: `10.2.1.${last}`,
        weights: { passing: 10, warning: 3 },
        tags: ['heddle.route=a.example'],
      })
    const instances = [of('a', 'passing', 1), of('b', 'warning', 2), of('c', 'critical', 3), of('d', 'maintenance', 4)]
    const decision = decideFor(instances)
    expect(servers(decision, 'web')).toEqual([
      '10.2.1.1:8080 ready 10',
      '10.2.1.2:8080 ready 3',
      '10.2.1.3:8080 maint 10',
      '10.2.1.4:8080 drain 10',
    ])
    expect(decision.wakeAt).toBe(noon + 30_000)
    const drained = decideFor(instances, { memory: decision.memory, at: noon + 30_000 })
    expect(servers(drained, 'web')[3]).toBe('10.2.1.4:8080 maint 10')
  })

  it('keep Consul weights up to 256 and are scaled beyond; a weight of their own wins', () => {
    const of = (id: string, passing: number, last: number, tags: readonly string[] = []) =>
      instance('web', id, {
        weights: { passing, warning: 1 },
        address: `10.2.1.${last}`,
        tags: ['heddle.route=a.example', ...tags],
      })
    expect(servers(decideFor([of('a', 256, 1), of('b', 3, 2)]), 'web')).toEqual([
      '10.2.1.1:8080 ready 256',
      '10.2.1.2:8080 ready 3',
    ])
    const scaled = decideFor([
      of('a', 65_535, 1),
      of('b', 32_768, 2),
      of('c', 1, 3),
      of('d', 1, 4, ['heddle.weight=7', 'heddle.backup']),
    ])
    expect(servers(scaled, 'web')).toEqual([
      '10.2.1.1:8080 ready 256',
      '10.2.1.2:8080 ready 128',
      '10.2.1.3:8080 ready 1',
      '10.2.1.4:8080 ready 7 backup',
    ])
  })

  it('with one address and port are one server, the latest registration', () => {
    const of = (id: string, createIndex: number) =>
      instance('web', id, {
        createIndex,
        tags: ['heddle.route=a.example'],
        weights: { passing: createIndex, warning: 1 },
      })
    const decision = decideFor([of('a', 5), of('b', 7), of('c', 6)])
    expect(servers(decision, 'web')).toEqual(['10.2.1.1:8080 ready 7'])
    expect(decision.problems.map(({ code, instance: key }) => `${code} ${key}`)).toEqual([
      'duplicate-address host1/a',
      'duplicate-address host1/c',
    ])
  })

  it('without a usable address are left out alone, and shown', () => {
    const decision = decideFor([
      routed('web', ['a.example']),
      instance('web', 'w2', { address: '192.0.2.7', tags: ['heddle.route=a.example'] }),
    ])
    expect(servers(decision, 'web')).toEqual(['10.2.1.1:8080 ready 1'])
    expect(problemCodesOf(decision)).toEqual(['no-address'])
  })
})

describe('a service whose last instance is gone', () => {
  it('keeps its routes for its linger time, with nobody to serve them', () => {
    const before = decideFor([routed('web', ['a.example', 'b.example linger=10m'])])
    const gone = decideFor([], { memory: before.memory })
    expect(gone.model.routes).toMatchObject([
      { match: { host: 'a.example' }, lingersUntil: noon + 24 * hour },
      { match: { host: 'b.example' }, lingersUntil: noon + 10 * minute },
    ])
    expect(servers(gone, 'web')).toEqual([])
    expect(gone.wakeAt).toBe(noon + 10 * minute)
    const later = decideFor([], { memory: gone.memory, at: noon + 10 * minute })
    expect(routeTexts(later)).toEqual(['a.example/ -> web'])
    const end = decideFor([], { memory: later.memory, at: noon + 24 * hour })
    expect(end.model.routes).toEqual([])
    expect(end.memory.services.size).toBe(0)
    expect(end.wakeAt).toBeNull()
  })

  it('gets them back when it returns', () => {
    const before = decideFor([routed('web', ['a.example'])])
    const gone = decideFor([], { memory: before.memory })
    const back = decideFor([routed('web', ['a.example'])], { memory: gone.memory, at: noon + minute })
    expect(back.model).toEqual(before.model)
    expect(back.memory.services).toEqual(before.memory.services)
  })

  it('gives a match up to a live service that asks for it', () => {
    const before = decideFor([routed('web', ['a.example'])])
    const taken = decideFor([routed('api', ['a.example'])], { memory: before.memory })
    expect(routeTexts(taken)).toEqual(['a.example/ -> api'])
    expect(taken.problems).toEqual([])
  })

  it('answers 503 with a redirect route too', () => {
    const before = decideFor([routed('old', ['old.example redirect=301,https://new.example'])])
    const gone = decideFor([], { memory: before.memory })
    expect(gone.model.routes).toMatchObject([{ backend: null, lingersUntil: noon + 24 * hour }])
  })
})

describe('deciding again', () => {
  const instances = [
    routed('web', ['a.example', 'b.example']),
    routed('api', ['a.example', 'c.example'], { address: '10.2.1.2' }),
    routed('old', ['d.example'], { address: '10.2.1.3', health: 'maintenance' }),
  ]

  it('with nothing new gives the same model and the same memory', () => {
    const world = worldOf(instances)
    const first = decide(world, decideFor([]).memory, settings)
    const second = decide(world, first.memory, settings)
    expect(second.model).toEqual(first.model)
    expect(second.memory).toBe(first.memory)
  })

  it('keeps the identity of what did not change', () => {
    const world = worldOf(instances)
    const first = decide(world, decideFor([]).memory, settings)
    const changed = worldOf([
      ...instances,
      instance('old', 'old-2', { address: '10.2.1.4', tags: ['heddle.route=d.example'] }),
    ])
    const partitions = new Map(changed.catalog.partitions)
    for (const name of ['web', 'api']) {
      const same = world.catalog.partitions.get(name)
      if (same !== undefined) partitions.set(name, same)
    }
    const second = decide({ ...changed, catalog: { by: 'service', partitions } }, first.memory, settings)
    expect(second.model.backends.get('web')).toBe(first.model.backends.get('web'))
    expect(second.model.routes[0]).toBe(first.model.routes[0])
    expect(second.model.backends.get('old')).not.toBe(first.model.backends.get('old'))
  })

  it('gives the same for the same world and memory whatever was decided in between', () => {
    const memory = decideFor([routed('web', ['a.example'])]).memory
    const world = worldOf(instances)
    const first = decide(world, memory, settings)
    decide(worldOf([]), first.memory, settings)
    expect(decide(world, memory, settings)).toEqual(first)
  })

  it("gives no backend to a service whose only match is another one's when its health changes", () => {
    const owner = routed('api', ['a.example'], { createIndex: 5 })
    const loser = (health: Instance['health']) =>
      worldOf([owner, routed('web', ['a.example'], { address: '10.2.1.2', createIndex: 6, health })])
    const first = decide(loser('passing'), emptyMemory, settings)
    const second = decide(loser('passing'), first.memory, settings)
    const third = decide(loser('critical'), second.memory, settings)
    expect([...third.model.backends.keys()]).toEqual(['api'])
  })

  const routes = fc.constantFrom(
    'a.example',
    'a.example/x strip',
    'b.example',
    'b.example priority=5',
    'b.example/y balance=leastconn',
    'c.example redirect=https://x.test',
    '///',
  )
  /** What may become of one instance: gone, or with another address, health, tags or age. */
  const fate = fc.record({
    isThere: fc.boolean(),
    service: fc.constantFrom('web', 'api', 'old'),
    address: fc.constantFrom('10.2.1.1', '10.2.1.2', '10.2.9.9', '10.2.0.1', ''),
    health: fc.constantFrom('passing', 'warning', 'critical', 'maintenance'),
    tags: fc.uniqueArray(
      routes.map((route) => `heddle.route=${route}`),
      { minLength: 1, maxLength: 3 },
    ),
    createIndex: fc.constantFrom(5, 6),
    evidence: fc.constantFrom('fresh', 'fresh', 'stale', 'doubtful'),
  })

  /** The same world, in which what is as it was before is the object that it was. */
  function keepPartitions(before: World | null, world: World): World {
    const partitions = new Map(
      [...world.catalog.partitions].map(([name, partition]) => {
        const old = before?.catalog.partitions.get(name)
        return [name, old !== undefined && isDeepStrictEqual(old, partition) ? old : partition]
      }),
    )
    return { ...world, catalog: { ...world.catalog, partitions } }
  }

  it('gives what a decision without any history of its own would give, whatever came before', () => {
    const fates = fc.array(fc.tuple(fate, fate, fate, fate), { minLength: 2, maxLength: 8 })
    fc.assert(
      fc.property(fates, (rounds) => {
        let memory = emptyMemory
        let before: World | null = null
        for (const [round, parts] of rounds.entries()) {
          // half of the instances stay as they were in the round before
          const present = parts.map((part, index) =>
            index % 2 === round % 2 ? part : (rounds[round - 1]?.[index] ?? part),
          )
          const instances = present.flatMap(({ isThere, service, evidence: _evidence, ...rest }, index) =>
            isThere ? [instance(service, `i${index}`, rest)] : [],
          )
          const seen = worldOf(instances, noon + round * minute)
          const evidenceOf = new Map<string, Evidence>(present.map(({ service, evidence }) => [service, evidence]))
          const partitions = new Map(
            [...seen.catalog.partitions].map(([name, partition]) => {
              const evidence = evidenceOf.get(name) ?? partition.evidence
              return [name, { ...partition, evidence, at: noon }]
            }),
          )
          const world = keepPartitions(before, { ...seen, catalog: { ...seen.catalog, partitions } })
          before = world
          const decision = decide(world, memory, settings)
          const anew = decide(copyOf(world), copyOf(memory), settings)
          expect(decision).toEqual(anew)
          expect([...decision.model.backends.keys()]).toEqual([...anew.model.backends.keys()])
          memory = decision.memory
        }
      }),
      { numRuns: 300 },
    )
  })
})
