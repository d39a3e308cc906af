import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { State } from '../../src/control/state.ts'
import type { AskLoads, ServerLoad } from '../../src/haproxy/loads.ts'
import { liveServerOf } from '../../src/status/live-servers.ts'
import { serviceView } from '../../src/status/views.ts'
import type { Running, RunningServer, ServerState } from '../../src/types.ts'
import { backendOf, instanceOf, reachable, runningState, serverOf, unresolved, wideState } from '../support/states.ts'
import { statusServer } from '../support/status-server.ts'

const running = (backends: Readonly<Record<string, readonly (readonly [string, ServerState, number])[]>>): Running => {
  const servers = Object.entries(backends).map(([id, all]): [string, ReadonlyMap<string, RunningServer>] => [
    id,
    new Map(all.map(([name, state, weight]) => [name, { state, weight, address: name, words: '' }])),
  ])
  const nothing = { pid: 1, version: '2.6.12', structure: '', revision: '', closed: new Set<string>(), maps: new Map() }
  return { ...nothing, seats: new Map([['web:0a0b0c', ':spare2']]), servers: new Map(servers) }
}
const loads = (sections: Readonly<Record<string, Readonly<Record<string, ServerLoad>>>>) =>
  new Map(Object.entries(sections).map(([section, all]) => [section, new Map(Object.entries(all))]))

describe('what HAProxy has of an instance', () => {
  const one = instanceOf('web', { id: 'web-1', address: '10.2.1.5' })
  const place = '10.2.1.5:8080'
  const backends = [backendOf('web', [serverOf(one)]), backendOf('web', [serverOf(one)], { id: 'web:0a0b0c' })]
  const twice = running({ web: [[place, 'ready', 5]], 'web:0a0b0c': [[place, 'drain', 1]] })
  const load = (sessions: number) => ({ sessions, total: 10 * sessions, queue: 1 })

  it('in several backends is the state that lets the least through, and all sessions', () => {
    const told = loads({ web: { [place]: load(2) }, ':spare2': { [place]: load(3) } })
    expect(liveServerOf(reachable(one), backends, twice, told)).toEqual({
      state: 'drain',
      weight: 1,
      sessions: 5,
      total: 50,
      queue: 2,
    })
  })

  it('is no sum while one of its backends has not been told', () => {
    expect(liveServerOf(reachable(one), backends, twice, loads({ web: { [place]: load(2) } }))).toEqual({
      state: 'drain',
      weight: 1,
      sessions: null,
      total: null,
      queue: null,
    })
  })

  it('is nothing of another one that has the address now, and what is leaving where nobody has it', () => {
    const other = instanceOf('web', { id: 'web-2', address: '10.2.1.5' })
    const both = running({ web: [[place, 'maint', 1]] })
    expect(liveServerOf(reachable(other), backends, both, new Map())).toBeNull()
    expect(liveServerOf(reachable(one), backends, both, new Map())).toMatchObject({ state: 'maint' })
    expect(liveServerOf(reachable(one), [backendOf('web', [])], both, new Map())).toMatchObject({ state: 'maint' })
  })

  it('is nothing where no address is known, or HAProxy has no such server', () => {
    const problem = { code: 'no-address', service: 'web', instance: null, subject: '', reason: '', hint: '' }
    expect(liveServerOf(unresolved(one, problem), backends, twice, new Map())).toBeNull()
    expect(liveServerOf(reachable(one), backends, running({}), new Map())).toBeNull()
  })
})

const apps: { close: () => Promise<unknown> }[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})

describe('a list of services', () => {
  /** Asks with these queries in turn; gives `X-Live` of each, and how many sections HAProxy was asked for. */
  async function askedFor(state: State, ...queries: readonly string[]) {
    const asked: (readonly string[])[] = []
    const ask: AskLoads = async (sections) => {
      asked.push(sections)
      return { sections: new Map(), why: sections.length > 200 ? 'it is Ünwell\r\nx: y' : null }
    }
    const app = statusServer(() => state, { loads: ask })
    apps.push(app)
    const live: unknown[] = []
    for (const query of queries) {
      const answer = await app.inject({ url: `/api/v1/services?${query}`, headers: { host: '127.0.0.1' } })
      z.array(serviceView).parse(answer.json())
      live.push(answer.headers['x-live'])
    }
    return { live, asked }
  }
  const wide = wideState(250, 1)
  const servers = [...(wide.decision?.model.backends.keys() ?? [])].map((id) => [id, [['10.2.1.1:80', 'ready', 1]]])
  const whole: State = { ...wide, running: running(Object.fromEntries(servers)) }
  const notAsked = 'not asked: use limit, or live=true'

  it('asks for the backends in it, up to 200 of them, or for all if it is told to', async () => {
    const { live, asked } = await askedFor(whole, 'limit=200&offset=50', 'limit=250', '', 'live=true', 'limit=9&live=0')
    expect(live).toEqual(['asked', notAsked, notAsked, 'failed: it is ?nwell??x: y', notAsked])
    expect(asked.map(({ length }) => length)).toEqual([200, 250])
  })

  it('asks by the names that HAProxy has, and for no backend without a server', async () => {
    const { asked } = await askedFor(runningState(), 'limit=10')
    expect(asked).toEqual([[':spare3', 'web']])
  })

  it('asks for nothing while no HAProxy runs', async () => {
    const { live, asked } = await askedFor(wide, 'limit=10', 'live=true', 'limit=10&live=false')
    expect(live).toEqual(['failed: HAProxy does not answer', 'failed: HAProxy does not answer', notAsked])
    expect(asked).toEqual([])
  })
})
