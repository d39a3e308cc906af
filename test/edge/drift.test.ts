import { describe, expect, it } from 'vitest'
import { ask } from '../../src/haproxy/cli.ts'
import { type Edge, startEdge } from '../support/edge.ts'
import { at, body, containers } from '../support/edge-site.ts'
import { until } from '../support/haproxy.ts'

/** Somebody else's hand on HAProxy: what it did is found, said, counted and put right. */

async function site() {
  const [one, two] = await containers('one', 'two')
  const edge = await startEdge([at('web', one, 'shop.example'), at('web', two, 'shop.example')])
  await edge.settled()
  return { edge, one, two }
}

const driftOf = (edge: Edge) =>
  edge.turns.flatMap(({ drift }) => drift.map(({ what, subject }) => `${what} ${subject}`))

describe('what somebody has changed over the socket', () => {
  it.each([
    ['a server in maintenance', 'set server web/{one} state maint', 'server web/{one}'],
    ['a weight', 'set server web/{one} weight 7', 'server web/{one}'],
    ['a server declared down', 'set server web/{one} health down', 'server web/{one}'],
    ['an address', 'set server web/{one} addr 127.9.9.9 port 99', 'server web/{one}'],
    [
      'a foreign server',
      'add server web/stranger 127.9.9.9:99;set server web/stranger state ready',
      'server web/stranger',
    ],
    ['a route that goes elsewhere', 'set map routes.map shop.example/ :none|web', 'map routes.map shop.example/'],
    ['a route of its own', 'add map routes.map stranger.example/ web|web', 'map routes.map stranger.example/'],
    ['all routes gone', 'clear map routes.map', 'map routes.map shop.example/'],
    ['the claim of what runs', 'set map revision.map revision 0123456789ab', 'map revision.map revision'],
    ['a frontend that was disabled', 'disable frontend :http', 'frontend :http'],
    ['a seat', 'add map seats.map :spare5 stranger', 'seat stranger'],
  ])('%s is put right', async (_what, command, found) => {
    const { edge, one } = await site()
    const before = await edge.readBack()
    for (const part of command.replace('{one}', one.name).split(';')) await edge.meddle(part)
    await until(() => driftOf(edge).includes(found.replace('{one}', one.name)))
    await edge.settled()
    const after = await edge.readBack()
    // a spare that somebody else has marked as taken is no use any more, and does no harm
    expect({ ...after, seats: null }).toEqual({ ...before, seats: null })
    expect(edge.state().history.at(-1)).toMatchObject(
      found.startsWith('seat') ? {} : { action: 'runtime', cause: ['drift'] },
    )
  })

  it('is mended all the same where HAProxy has lost a server', async () => {
    const { edge, one } = await site()
    await edge.meddle(`set server web/${one.name} state maint`)
    expect(await edge.meddle(`del server web/${one.name}`)).toContain('Server deleted')
    await until(async () => (await edge.readBack()).servers.get('web')?.get(one.name)?.state === 'ready')
    await edge.settled()
    const answers = new Set([await body(edge, 'shop.example'), await body(edge, 'shop.example')])
    expect(answers).toEqual(new Set(['one', 'two']))
  })
})

describe('a frontend that somebody has shut down', () => {
  it('is opened by a reload', async () => {
    const { edge } = await site()
    await edge.meddle('shutdown frontend :http')
    await until(() => edge.state().haproxy.reloads.success === 1)
    await until(async () => ['one', 'two'].includes(await body(edge, 'shop.example').catch(() => '')))
    expect(edge.state().history.at(-1)?.reasons[0]).toContain('refused enable frontend :http')
  })
})

describe('a worker that nobody at heddle has started', () => {
  it('is told whatever its files lack', async () => {
    const { edge, one } = await site()
    edge.show([at('web', one, 'shop.example', { weights: { passing: 5, warning: 1 } })])
    await edge.settled()
    const { pid } = await edge.readBack()
    await ask(edge.folder.masterSocket, 'reload', { timeout: 10_000 })
    await until(() => driftOf(edge).some((text) => text.startsWith('worker')))
    await edge.settled()
    const read = await edge.readBack()
    expect(read.pid).not.toBe(pid)
    expect([...(read.servers.get('web') ?? [])].map(([name, { weight }]) => [name, weight])).toEqual([[one.name, 5]])
    expect(edge.state().haproxy.reloads).toEqual({ success: 0, failure: 0 })
  })
})
