import { describe, expect, it } from 'vitest'
import { decide, emptyMemory } from '../../src/model/decide.ts'
import { fateOf, serversByInstance } from '../../src/status/counts.ts'
import type { Decision, Instance, Unreachable, World } from '../../src/types.ts'
import { instance, noon, settings, worldOf } from '../support/worlds.ts'

const found = (why = 'HAProxy gets no connection'): Unreachable => ({ since: noon, why })

/** The last number of an address each. */
function unreachable(...lasts: readonly number[]): ReadonlyMap<string, Unreachable> {
  return new Map(lasts.map((last) => [`10.2.1.${last}:8080`, found()]))
}

function web(last: number, parts: Parameters<typeof instance>[2] = {}): Instance {
  return instance('web', `w${last}`, { address: `10.2.1.${last}`, tags: ['heddle.route=a.example'], ...parts })
}

function decided(instances: readonly Instance[], out: ReadonlyMap<string, Unreachable>): Decision {
  return decide({ ...worldOf(instances), unreachable: out }, emptyMemory, settings)
}

function statesOf({ model }: Decision, backend = 'web'): readonly string[] {
  return (model.backends.get(backend)?.servers ?? []).map(({ state }) => state)
}

function told({ problems }: Decision): readonly string[] {
  return problems.filter(({ code }) => code === 'unreachable').map(({ instance: key }) => `${key}`)
}

describe('a server that nobody can connect to', () => {
  it('gets no requests, and a problem says so', () => {
    const decision = decided([web(1), web(2)], unreachable(1))
    expect(statesOf(decision)).toEqual(['maint', 'ready'])
    expect(decision.problems).toMatchObject([
      {
        code: 'unreachable',
        service: 'web',
        instance: 'host1/w1',
        subject: '10.2.1.1:8080',
        reason: 'HAProxy gets no connection',
        hint: expect.stringContaining('check in Consul'),
      },
    ])
    const servers = serversByInstance([...decision.model.backends.values()])
    const fates = (decision.endpoints.get('web') ?? []).map((endpoint) => fateOf(endpoint, servers))
    expect(fates).toMatchObject([
      { state: 'maint', why: 'unreachable' },
      { state: 'ready', why: null },
    ])
  })

  it('is out of every backend of its service, and of every service that has it', () => {
    const tags = ['heddle.route=a.example', 'heddle.route=b.example balance=leastconn']
    const api = (last: number) =>
      instance('api', `a${last}`, { address: `10.2.1.${last}`, tags: ['heddle.route=c.example'] })
    const decision = decided([web(1, { tags }), web(2), api(1), api(3)], unreachable(1))
    const { backends } = decision.model
    expect([...backends].map(([id]) => [id.replace(/:.*/, ':hex'), statesOf(decision, id)])).toEqual([
      ['api', ['maint', 'ready']],
      ['web', ['maint', 'ready']],
      ['web:hex', ['maint', 'ready']],
    ])
    expect(told(decision)).toEqual(['host1/a1', 'host1/w1'])
  })

  it.each<[string, readonly Instance[], readonly number[], readonly string[]]>([
    ['it is the only one', [web(1)], [1], ['ready']],
    ['the others are unreachable, too', [web(1), web(2)], [1, 2], ['ready', 'ready']],
    ['the others are critical', [web(1), web(2, { health: 'critical' })], [1], ['ready', 'maint']],
    ['the others are in maintenance', [web(1), web(2, { health: 'maintenance' })], [1], ['ready', 'drain']],
    ['the others weigh nothing', [web(1), web(2, { weights: { passing: 0, warning: 0 } })], [1], ['ready', 'ready']],
  ])('is tried on when %s, and shown', (_, instances, out, states) => {
    const decision = decided(instances, unreachable(...out))
    expect(statesOf(decision)).toEqual(states)
    expect(told(decision)).toEqual(out.map((last) => `host1/w${last}`))
    expect(decision.problems[0]?.reason).toMatch(/; it is tried on/)
  })

  it.each<[string, readonly Instance[], readonly string[]]>([
    ['a backup', [web(1), web(2, { tags: ['heddle.route=a.example', 'heddle.backup'] })], ['maint', 'ready']],
    ['one with a warning', [web(1), web(2, { health: 'warning' })], ['maint', 'ready']],
    ['one of several', [web(1), web(2, { health: 'critical' }), web(3)], ['maint', 'maint', 'ready']],
  ])('is out when the others are %s', (_, instances, states) => {
    expect(statesOf(decided(instances, unreachable(1)))).toEqual(states)
  })

  it('that is critical is no news', () => {
    expect(told(decided([web(1, { health: 'critical' }), web(2)], unreachable(1)))).toEqual([])
  })

  it('that is drained does not keep its sticky users waiting', () => {
    const decision = decided([web(1, { health: 'maintenance' }), web(2)], unreachable(1))
    expect([statesOf(decision), told(decision)]).toEqual([['maint', 'ready'], []])
  })

  it('at a port is another one than at another port', () => {
    expect(statesOf(decided([web(1, { port: 9090 }), web(2)], unreachable(1)))).toEqual(['ready', 'ready'])
  })
})

describe('the list of unreachable servers', () => {
  const instances = [web(1), web(2), instance('api', 'a1', { address: '10.2.1.9', tags: ['heddle.route=b.example'] })]
  const still = worldOf(instances)
  const over = (decision: Decision, out?: World['unreachable']) =>
    decide(out === undefined ? still : { ...still, unreachable: out }, decision.memory, settings)

  it('changes nothing but the services it is about, and nothing of what is remembered', () => {
    const before = decide(still, emptyMemory, settings)
    const during = over(before, unreachable(1))
    expect(statesOf(during)).toEqual(['maint', 'ready'])
    expect(during.memory).toBe(before.memory)
    expect(during.model.backends.get('api')).toBe(before.model.backends.get('api'))
    const after = over(during)
    expect(after).toEqual(before)
    expect(after.memory).toBe(before.memory)
  })

  it('that says the same gives the same objects, whoever else is on it', () => {
    const out = unreachable(1)
    const before = over(decide(still, emptyMemory, settings), out)
    for (const same of [out, new Map(out), new Map([...out, ['10.2.7.7:8080', found()] as const])]) {
      const after = over(before, same)
      expect(after.model.backends.get('web')).toBe(before.model.backends.get('web'))
      expect(after.problems).toEqual(before.problems)
    }
  })

  it('with another reason tells it, and takes nobody in or out', () => {
    const before = over(decide(still, emptyMemory, settings), unreachable(1))
    const after = over(before, new Map([['10.2.1.1:8080', found('another')]]))
    expect(after.model.backends.get('web')).toBe(before.model.backends.get('web'))
    expect(after.problems).toMatchObject([{ reason: 'another' }])
  })
})
