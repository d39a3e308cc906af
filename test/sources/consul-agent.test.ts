import { afterEach, describe, expect, it } from 'vitest'
import { startConsul, type TestConsul } from '../support/consul.ts'
import { watchConsul } from '../support/consul-watch.ts'
import { eventually } from '../support/eventually.ts'

/** With an agent of the real Consul: what it takes, and what it answers of one node when much there changes. */

let consul: TestConsul | null = null
afterEach(() => consul?.stop())

async function started(maxConnections?: number): Promise<TestConsul> {
  consul = await startConsul(maxConnections === undefined ? {} : { maxConnections })
  return consul
}

const web = (node: string, id: string, status?: string) => ({
  node,
  id,
  service: 'web',
  tags: ['heddle'],
  ...(status === undefined ? {} : { status }),
})

describe('an agent that takes few connections', () => {
  it.each([
    [40, 'service'],
    [400, 'node'],
  ] as const)('is asked for %s, and watched in the way that they allow', async (most, by) => {
    const agent = await started(most)
    for (let host = 0; host < 20; host += 1) await agent.register(web(`host${host}`, `web${host}`))
    const source = watchConsul(agent, { watch: 'auto', maxConnections: null })
    await source.fresh()
    expect(source.value().by).toBe(by)
    expect(source.status()).toMatchObject({ state: 'fresh', errors: 0, note: null })
  })
})

describe('a node with many instances', () => {
  it('is seen as it is while some come, turn and leave, with and without checks', async () => {
    const agent = await started()
    const wanted = new Map<string, string>()
    const put = async (id: string, status?: string) => {
      await agent.register(web('host1', id, status))
      wanted.set(`host1/${id}`, status ?? 'passing')
    }
    for (let count = 0; count < 60; count += 1) await put(`web-${count}`, count % 3 === 0 ? undefined : 'passing')
    const source = watchConsul(agent)
    await source.fresh()
    const ofHost = () => Object.fromEntries(Object.entries(source.health()).filter(([key]) => key.startsWith('host1/')))
    for (let turn = 0; turn < 40; turn += 1) {
      const id = `web-${(turn * 7) % 60}`
      if (turn % 4 === 0) await put(`more-${turn}`, turn % 8 === 0 ? undefined : 'critical')
      else if (turn % 4 === 1) await put(id, 'critical')
      else if (turn % 4 === 2) await put(id, 'passing')
      else {
        await agent.deregister('host1', id)
        wanted.delete(`host1/${id}`)
      }
      if (turn % 5 === 0) await eventually(() => expect(ofHost()).toEqual(Object.fromEntries(wanted)))
    }
    await eventually(() => expect(ofHost()).toEqual(Object.fromEntries(wanted)))
    // one that came critical was never taken for passing
    expect(source.healthsOf('host1/more-4')).toEqual(['critical'])
  })
})
