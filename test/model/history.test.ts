import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decide, emptyMemory } from '../../src/model/decide.ts'
import type { Container, Decision, Instance, Memory, WeaveReport, World } from '../../src/types.ts'
import { container, engine, idOf } from '../support/containers.ts'
import { copyOf } from '../support/maps.ts'
import {
  fresh,
  type InstanceParts,
  instance,
  noon,
  problemCodesOf,
  routed,
  settings,
  worldOf,
} from '../support/worlds.ts'

/** What was decided before saves work and changes nothing, also where addresses are found by what was learned of containers. */

const minute = 60_000

function reportOf(names: WeaveReport['names'] = [], owned: WeaveReport['owned'] = new Map()): WeaveReport {
  const peers = [
    { name: 'peer1', nickName: 'host1', addresses: ['192.0.2.1'] },
    { name: 'peer2', nickName: 'host2', addresses: ['192.0.2.2'] },
  ]
  return { domain: 'weave.local', peers, names, owned }
}

/** The same from copies of all that is known, which nothing was ever made of. */
function anew(world: World, memory: Memory): Decision {
  const copy = copyOf({ world, memory, settings })
  return decide(copy.world, copy.memory, copy.settings)
}

it('an address is found by the container that was learned, as soon as it was', () => {
  const named = { hostname: 'web-2.weave.local', peer: 'peer1', containerId: idOf('1'), address: '10.2.1.1' }
  const tags = ['heddle.route=a.example']
  const world: World = {
    ...worldOf([instance('web', 'x:web-2:8080', { node: 'host2', address: '', tags })]),
    engines: new Map([['host2', fresh(engine(container('1', 'web-1', { addresses: ['10.2.1.1'] })))]]),
    weave: fresh(reportOf([named])),
  }
  const sourceOf = ({ model }: Decision) => model.backends.get('web')?.servers[0]?.source
  const first = decide(world, emptyMemory, settings)
  const second = decide(world, first.memory, settings)
  expect([sourceOf(first), sourceOf(second)]).toEqual(['weave-report', 'docker'])
  expect(second).toEqual(anew(world, first.memory))
  expect(decide(world, second.memory, settings).memory).toBe(second.memory)
})

it('former routes of a service that has no room for all of them are neither told as too many nor in the way', () => {
  const routesOf = (letter: string, count: number) => Array.from({ length: count }, (_, at) => `${letter}${at}.example`)
  const { memory } = decide(worldOf([routed('web', routesOf('m', 10))]), emptyMemory, settings)
  const world = worldOf([routed('web', [...routesOf('a', 30), ...routesOf('z', 30), '///'])], noon + minute)
  const first = decide(world, memory, settings)
  expect(problemCodesOf(first)).toEqual(['bad-path'])
  const current = first.model.routes.filter(({ from }) => from.isCurrent)
  expect([current.length, first.model.routes.length]).toEqual([60, 64])
  expect(decide(world, first.memory, settings)).toEqual(anew(world, first.memory))
})

const addresses = fc.constantFrom('10.2.1.1', '10.2.1.2', '10.2.1.3')
const digits = fc.constantFrom('1', '2', '3', '4')
const arbitraryInstance = fc
  .record({
    service: fc.constantFrom('web', 'api'),
    id: fc.constantFrom('plain', 'host1:web-1:8080', 'host2:web-2:8080', 'x:web-2:8080'),
    parts: fc.record<InstanceParts>({
      node: fc.constantFrom('host1', 'host2'),
      address: fc.oneof(addresses, fc.constantFrom('', '192.0.2.1', '10.2.0.1')),
      port: fc.constantFrom(8080, 31_001),
      health: fc.constantFrom('passing', 'critical', 'maintenance'),
      createIndex: fc.constantFrom(5, 6),
      meta: fc.oneof(
        fc.constant({}),
        digits.map((id) => ({ 'container-id': idOf(id) })),
      ),
      tags: fc.uniqueArray(fc.constantFrom('heddle.route=a.example', 'heddle.route=b.example drain=20s', 'heddle'), {
        minLength: 1,
      }),
    }),
  })
  .map(({ service, id, parts }) => instance(service, id, parts))

const arbitraryContainer = fc
  .record({
    id: digits,
    name: fc.constantFrom('web-1', 'web-2'),
    address: addresses,
    running: fc.boolean(),
    hostPort: fc.constantFrom(null, 31_001),
  })
  .map(({ id, name, address, running, hostPort }): Container => {
    const published = hostPort === null ? [] : [{ hostAddress: '0.0.0.0', hostPort, containerPort: 8080 }]
    return container(id, name, { addresses: [address], running, published })
  })

/** Of two hosts; each container is on one. */
const arbitraryEngines = fc.uniqueArray(arbitraryContainer, { selector: ({ id }) => id }).chain((all) =>
  fc.tuple(fc.constant(all), fc.constantFrom<'fresh' | 'stale'>('fresh', 'stale')).map(([containers, evidence]) => {
    const of = (odd: boolean) => engine(...containers.filter(({ id }) => (id[0] === '1' || id[0] === '3') === odd))
    return new Map([
      ['host1', { ...fresh(of(true)), evidence }],
      ['host2', fresh(of(false))],
    ])
  }),
)

const arbitraryWeave = fc
  .tuple(
    fc.array(
      fc.record({
        hostname: fc.constantFrom('web-1.weave.local', 'web-2.weave.local'),
        peer: fc.constantFrom('peer1', 'peer2'),
        containerId: digits.map(idOf),
        address: addresses,
      }),
      { maxLength: 2 },
    ),
    fc.dictionary(
      digits.map(idOf),
      addresses.map((address) => [address]),
      { maxKeys: 2 },
    ),
  )
  .map(([names, owned]) => fresh(reportOf(names, new Map(Object.entries(owned)))))

const arbitraryUnreachable = fc
  .uniqueArray(fc.tuple(addresses, fc.constantFrom(8080, 31_001)), { maxLength: 3, selector: String })
  .map((places) => new Map(places.map(([address, port]) => [`${address}:${port}`, { since: noon, why: 'silent' }])))

/** What is null stays as it was in the round before. */
const arbitraryRound = fc.record({
  slots: fc.array(fc.option(fc.option(arbitraryInstance, { nil: 'gone' as const }), { freq: 2 }), {
    minLength: 4,
    maxLength: 4,
  }),
  engines: fc.option(arbitraryEngines, { freq: 2 }),
  weave: fc.option(arbitraryWeave, { freq: 2 }),
  unreachable: fc.option(arbitraryUnreachable, { freq: 2 }),
})

describe('a decision', () => {
  it('is what it would be without any history of its own, whatever was learned of containers', () => {
    fc.assert(
      fc.property(fc.array(arbitraryRound, { minLength: 2, maxLength: 6 }), (rounds) => {
        let memory = emptyMemory
        let slots: readonly (Instance | 'gone')[] = Array(4).fill('gone')
        let partitions: World['catalog']['partitions'] = new Map()
        let engines: World['engines'] = new Map()
        let weave: World['weave'] = null
        let unreachable: NonNullable<World['unreachable']> = new Map()
        for (const [round, change] of rounds.entries()) {
          slots = slots.map((slot, index) => change.slots[index] ?? slot)
          engines = change.engines ?? engines
          weave = change.weave ?? weave
          unreachable = change.unreachable ?? unreachable
          const present = new Map(slots.flatMap((slot) => (slot === 'gone' ? [] : [[slot.key, slot] as const])))
          const seen = worldOf([...present.values()])
          partitions = new Map(
            [...seen.catalog.partitions].map(([name, partition]) => {
              const old = partitions.get(name)
              const isSame = old?.value.length === partition.value.length
              return [name, isSame && partition.value.every((one, at) => one === old.value[at]) ? old : partition]
            }),
          )
          const catalog = { by: 'service' as const, partitions }
          const world = { catalog, engines, weave, unreachable, at: noon + round * minute }
          // the second time with nothing new but what was learned
          let before: Decision | null = null
          for (let turn = 0; turn < 2; turn++) {
            const decision: Decision = decide(world, memory, settings)
            expect(decision).toEqual(anew(world, memory))
            if (before?.isSettled === true) expect(decision).toEqual(before)
            memory = decision.memory
            before = decision
          }
        }
      }),
      { numRuns: 300 },
    )
  })
})
