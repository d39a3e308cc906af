import { describe, expect, it } from 'vitest'
import { isSpare } from '../../src/render/spares.ts'
import { startEdge } from '../support/edge.ts'
import { at, body, containers } from '../support/edge-site.ts'
import { until } from '../support/haproxy.ts'

/** Services that are new to the running HAProxy. */

const never = { tidy: { quiet: 3_600_000, longest: 3_600_000 } }

describe('a new service', () => {
  it('is served at once, by a spare section, and its name is in the access log', async () => {
    const [one, two] = await containers('one', 'two')
    const web = at('web', one, 'shop.example')
    const edge = await startEdge([web], { settings: never })
    await edge.settled()
    const { pid } = await edge.readBack()
    edge.show([web, at('odd name', two, 'odd.example')])
    await edge.settled()
    expect(await body(edge, 'odd.example')).toBe('two')
    const read = await edge.readBack()
    expect(read.pid).toBe(pid)
    expect([...(read.seats ?? [])]).toEqual([[expect.stringMatching(/^x:/), ':spare1']])
    expect(edge.state()).toMatchObject({
      ready: { isReady: true },
      plan: { steps: [], reload: [{ code: 'in-spare' }] },
      haproxy: { spares: { taken: 1, free: 19 } },
    })
  })

  it('gets a section of its own by the next quiet reload, which loses nothing', async () => {
    const [one, two] = await containers('one', 'two')
    const web = at('web', one, 'shop.example')
    const edge = await startEdge([web], { settings: { tidy: { quiet: 500, longest: 5_000 } } })
    await edge.settled()
    edge.show([web, at('api', two, 'api.example')])
    await until(() => edge.state().haproxy.reloads.success === 1)
    const { history } = await edge.settled()
    const read = await edge.readBack()
    expect(read.seats?.size).toBe(0)
    expect(read.servers.get('api')?.size).toBe(1)
    expect(history.at(-1)).toMatchObject({ action: 'reload', reasons: ['in-spare api'] })
    expect(await body(edge, 'api.example')).toBe('two')
  })

  it('never gets a spare that another one has had in the life of this worker', async () => {
    const [one, two] = await containers('one', 'two')
    const web = at('web', one, 'shop.example')
    const edge = await startEdge([web], { settings: never })
    await edge.settled()
    edge.show([web, at('first', two, 'first.example', { tags: ['heddle.route=first.example', 'heddle.linger=1ms'] })])
    await edge.settled()
    edge.show([web])
    await until(async () => (await body(edge, 'first.example')) === '404')
    await edge.settled()
    edge.show([web, at('second', two, 'second.example')])
    await edge.settled()
    expect([...((await edge.readBack()).seats ?? [])]).toEqual([
      ['first', ':spare1'],
      ['second', ':spare2'],
    ])
    expect(await body(edge, 'second.example')).toBe('two')
  })

  it('waits for a reload where no spare is left, or none has its options, and that is the reason', async () => {
    const [one, two] = await containers('one', 'two')
    const web = at('web', one, 'shop.example')
    const edge = await startEdge([web], { settings: never, flags: { 'haproxy.spares': '1' } })
    await edge.settled()
    edge.show([web, at('a', two, 'a.example'), at('b', two, 'b.example')])
    await until(() => edge.state().haproxy.reloads.success === 1)
    await edge.settled()
    expect(edge.state().history.at(-1)?.reasons).toContain('new-backend b')
    expect([await body(edge, 'a.example'), await body(edge, 'b.example')]).toEqual(['two', 'two'])

    const least = at('c', two, 'c.example', { tags: ['heddle.route=c.example', 'heddle.balance=leastconn'] })
    edge.show([web, at('a', two, 'a.example'), at('b', two, 'b.example'), least])
    await until(() => edge.state().haproxy.reloads.success === 2)
    expect(edge.state().history.at(-1)?.reasons).toContain('new-backend c')
  })
})

describe('spare sections', () => {
  it('are not there where the operator wants none', async () => {
    const [one] = await containers('one')
    const edge = await startEdge([at('web', one, 'shop.example')], { flags: { 'haproxy.spares': '0' } })
    const { candidate } = await edge.settled()
    expect([...(candidate?.parts.keys() ?? [])].filter(isSpare)).toEqual([])
  })
})
