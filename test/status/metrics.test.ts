import { describe, expect, it } from 'vitest'
import type { State, Turn } from '../../src/control/state.ts'
import { createMetrics } from '../../src/status/metrics.ts'
import { backendOf, runningState, shopState, startingState, stateOf, stateTime } from '../support/states.ts'

const turn: Turn = {
  at: stateTime,
  durations: {},
  outcome: 'applied',
  reload: null,
  change: null,
  steps: [],
  drift: [],
  check: null,
}

/** Samples by name and labels, as they are written. */
async function samplesOf(state: State, metrics = createMetrics()): Promise<ReadonlyMap<string, number>> {
  const lines = (await metrics.text(state, stateTime)).split('\n').filter((line) => line.startsWith('heddle_'))
  return new Map(lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))]))
}

describe('metrics of heddle', () => {
  it('tell how long a change took to reach HAProxy, in seconds, and nothing for a turn without one', async () => {
    const metrics = createMetrics()
    for (const change of [300, 4_000, 90_000, null]) metrics.record({ ...turn, change })
    const samples = await samplesOf(shopState(), metrics)
    const upTo = (le: string) => samples.get(`heddle_change_duration_seconds_bucket{le="${le}"}`)
    expect([upTo('0.25'), upTo('0.5'), upTo('5'), upTo('60'), upTo('300')]).toEqual([0, 1, 2, 2, 3])
    expect(samples.get('heddle_change_duration_seconds_sum')).toBeCloseTo(94.3)
  })

  it('put each source into one state, the one it is in', async () => {
    const samples = await samplesOf(startingState())
    const states = [...samples].filter(([name]) => name.startsWith('heddle_source_state{source="consul"'))
    expect(states.length).toBe(4)
    expect(states.filter(([, value]) => value === 1)).toEqual([
      ['heddle_source_state{source="consul",state="waiting"}', 1],
    ])
  })

  it('tell whether HAProxy answers, whatever runs in it', async () => {
    const { haproxy } = shopState()
    const deaf = await samplesOf(shopState({ haproxy: { ...haproxy, isConnected: false } }))
    expect([deaf.get('heddle_ready'), deaf.get('heddle_haproxy_up')]).toEqual([1, 0])
    expect((await samplesOf(shopState())).get('heddle_haproxy_up')).toBe(1)
  })

  it('have the same number for the same routes, and 0 for none', async () => {
    const hashOf = async (state: State) => (await samplesOf(state)).get('heddle_routes_hash')
    const proof = { number: 7, hash: '0f1e2d3c4b5a', routesHash: 'a0b1c2d3e4f5', at: stateTime }
    expect(await hashOf(stateOf({ proof }))).toBe(0xa0b1c2d3e4f5)
    expect(await hashOf(stateOf({ proof: { ...proof, number: 8, hash: 'ffffffffffff' } }))).toBe(0xa0b1c2d3e4f5)
    expect(await hashOf(startingState())).toBe(0)
  })

  it('say which notice stands, without its text', async () => {
    const samples = await samplesOf(stateOf({ notices: new Map([['journal', 'no space left on device']]) }))
    expect(samples.get('heddle_notices{subject="journal"}')).toBe(1)
    expect(samples.get('heddle_notices{subject="settings"}')).toBe(0)
  })

  it('name the service of every backend of HAProxy by the name it has there', async () => {
    const namesOf = async (state: State) =>
      [...(await samplesOf(state)).keys()].filter((name) => name.startsWith('heddle_backend_info'))
    expect(await namesOf(shopState())).toEqual([])
    expect(await namesOf(runningState())).toEqual([
      'heddle_backend_info{backend="web",service="web"}',
      'heddle_backend_info{backend=":spare3",service="api"}',
      'heddle_backend_info{backend="old",service="old"}',
    ])
    const { running, decision } = runningState()
    if (running === null || decision === null) throw new Error('expected a state of something that runs')
    // one that goes, one of an odd service that goes, and what somebody else wrote into the maps
    const strange: [string, string][] = [
      ['gone:0a1b2c', ':spare4'],
      [`x:${'0'.repeat(24)}`, ':spare5'],
      ['a"} 1\nevil{a="b', ':spare6'],
    ]
    const evil = 'he said "no\u202e\n\\"'
    const backends = new Map([['x:1', backendOf(evil, [], { id: 'x:1' })]])
    const seats = new Map([...strange, ['x:1', ':spare7'] as const])
    const state = {
      ...runningState(),
      running: { ...running, seats, servers: new Map() },
      decision: { ...decision, model: { routes: [], backends } },
    }
    expect(await namesOf(state)).toEqual([
      String.raw`heddle_backend_info{backend=":spare7",service="he said \"no\\u202e\\u000a\\\""}`,
      'heddle_backend_info{backend=":spare4",service="gone"}',
    ])
  })

  it('count the event streams of every endpoint', async () => {
    const metrics = createMetrics()
    for (const count of [2, 5]) metrics.countStreams(() => count)
    expect((await samplesOf(shopState(), metrics)).get('heddle_event_streams')).toBe(7)
  })
})
