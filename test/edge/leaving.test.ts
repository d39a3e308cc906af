import { describe, expect, it } from 'vitest'
import { type Edge, startEdge } from '../support/edge.ts'
import { at, body, containers } from '../support/edge-site.ts'
import { httpServer, request, until } from '../support/haproxy.ts'

/** What becomes of requests on a server that is not to have any more of them. */

const stateOf = async (edge: Edge, server: string) => (await edge.readBack()).servers.get('web')?.get(server)?.state

describe('a request that runs', () => {
  it.each(['critical', 'maintenance'] as const)('is finished when its instance turns %s', async (health) => {
    const [slow, other] = [await httpServer({ name: 'slow', delay: 1_500 }), await httpServer({ name: 'other' })]
    const [one, two] = [at('web', slow, 'shop.example'), at('web', other, 'shop.example')]
    const edge = await startEdge([one])
    await edge.settled()
    const running = body(edge, 'shop.example')
    await until(() => slow.asked() === 1)
    edge.show([{ ...one, health }, two])
    await until(async () => (await stateOf(edge, slow.name)) === (health === 'critical' ? 'maint' : 'drain'))
    for (let count = 0; count < 4; count++) expect(await body(edge, 'shop.example')).toBe('other')
    expect(await running).toBe('slow')
  })

  it('is finished when its instance has left, which is deleted after it', async () => {
    const [slow, other] = [await httpServer({ name: 'slow', delay: 2_000 }), await httpServer({ name: 'other' })]
    const [one, two] = [at('web', slow, 'shop.example'), at('web', other, 'shop.example')]
    const edge = await startEdge([one, two])
    await edge.settled()
    const running = Promise.all([body(edge, 'shop.example'), body(edge, 'shop.example')])
    await until(() => slow.asked() === 1)
    edge.show([two])
    await until(async () => (await stateOf(edge, slow.name)) === 'maint')
    expect((await running).sort()).toEqual(['other', 'slow'])
    // HAProxy keeps the idle connection for a while, unless its other end closes it
    await slow.close()
    await edge.settled()
    expect(await stateOf(edge, slow.name)).toBeUndefined()
  })

  it('is ended when the drain time of its service is over', async () => {
    const [slow, other] = [await httpServer({ name: 'slow', delay: 30_000 }), await httpServer({ name: 'other' })]
    const drain = ['heddle.route=shop.example', 'heddle.drain=500ms']
    const [one, two] = [slow, other].map((server) => at('web', server, '', { tags: drain }))
    const edge = await startEdge([one, two].filter((instance) => instance !== undefined))
    await edge.settled()
    const running = Promise.allSettled([body(edge, 'shop.example'), body(edge, 'shop.example')])
    await until(() => slow.asked() === 1)
    edge.show([two].filter((instance) => instance !== undefined))
    await edge.settled()
    const answers = (await running).map((answer) => (answer.status === 'fulfilled' ? answer.value : 'reset'))
    expect(answers).toContain('other')
    expect(answers).not.toContain('slow')
  })
})

describe('an instance that has left', () => {
  it('is the same server, and ready, when it comes back before it is deleted', async () => {
    const [one, two] = await containers('one', 'two')
    const [first, second] = [at('web', one, 'shop.example'), at('web', two, 'shop.example')]
    const edge = await startEdge([first, second])
    await edge.settled()
    edge.show([second])
    await until(() => edge.state().running?.servers.get('web')?.get(one.name)?.state === 'maint')
    edge.show([first, second])
    await until(() => edge.state().running?.servers.get('web')?.get(one.name)?.state === 'ready')
    await edge.settled()
    const kinds = edge.turns.flatMap(({ steps }) => steps.map((step) => step.do))
    expect(kinds).not.toContain('delete')
    expect(kinds).not.toContain('add')
  })

  it('takes its last routes with it without a reload, and the service is 503 until it is back', async () => {
    const [one] = await containers('one')
    const web = at('web', one, 'shop.example')
    const edge = await startEdge([web])
    await edge.settled()
    edge.show([])
    await until(async () => (await body(edge, 'shop.example')) === '503')
    edge.show([web])
    await until(async () => (await body(edge, 'shop.example')) === 'one')
    expect(edge.state().haproxy.reloads).toEqual({ success: 0, failure: 0 })
  })

  it('costs no failed request where its container just vanishes first', async () => {
    const [one, two] = await containers('one', 'two')
    const [first, second] = [at('web', one, 'shop.example'), at('web', two, 'shop.example')]
    const edge = await startEdge([first, second])
    await edge.settled()
    await one.close()
    for (let count = 0; count < 20; count++) {
      if (count === 10) edge.show([second])
      expect((await request(edge.folder, { host: 'shop.example' })).status).toBe(200)
    }
  })
})
