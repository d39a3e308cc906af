import { describe, expect, it } from 'vitest'
import type { Instance } from '../../src/types.ts'
import { type Edge, startEdge } from '../support/edge.ts'
import { at, body, containers } from '../support/edge-site.ts'
import { request, until } from '../support/haproxy.ts'

/** Users who stick to an instance, whatever happens around it. */

const tags = ['heddle.route=shop.example', 'heddle.sticky']

/** A user who has got a cookie, and of whom. */
async function user(edge: Edge): Promise<{ readonly instance: string; readonly cookie: string }> {
  const reply = await request(edge.folder, { host: 'shop.example' })
  const cookie = reply.headers['set-cookie']?.[0]?.split(';')[0]
  if (cookie === undefined) throw new Error('expected a cookie')
  return { instance: reply.body.split('\n')[0] ?? '', cookie }
}

async function expectAt(edge: Edge, { instance, cookie }: Awaited<ReturnType<typeof user>>): Promise<void> {
  for (let count = 0; count < 6; count++) expect(await body(edge, 'shop.example', '/', { cookie })).toBe(instance)
}

async function shop(): Promise<readonly Instance[]> {
  const servers = await containers('one', 'two', 'three')
  return servers.map((server) => at('shop', server, '', { tags }))
}

describe('a sticky user', () => {
  it('stays over other instances that come and go, a reload, and a restart of HAProxy', async () => {
    const [one, two, three] = await shop()
    if (one === undefined || two === undefined || three === undefined) throw new Error('no instances')
    const edge = await startEdge([one, two])
    await edge.settled()
    const users = [await user(edge), await user(edge)]
    edge.show([one, two, three])
    await edge.settled()
    users.push(await user(edge), await user(edge), await user(edge))
    expect(new Set(users.map(({ instance }) => instance))).toEqual(new Set(['one', 'two', 'three']))
    for (const one of users) await expectAt(edge, one)

    // what only a reload brings
    edge.show([
      one,
      two,
      three,
      {
        ...one,
        service: 'other',
        key: 'host1/other',
        id: 'other',
        tags: ['heddle.route=other.example', 'heddle.balance=leastconn'],
      },
    ])
    await until(() => edge.state().haproxy.reloads.success === 1)
    await edge.settled()
    for (const one of users) await expectAt(edge, one)

    const { pid } = await edge.readBack()
    process.kill(pid, 'SIGKILL')
    await until(async () => ![pid, undefined].includes((await edge.readBack().catch(() => null))?.pid))
    await edge.settled()
    for (const one of users) await expectAt(edge, one)

    edge.show([two, three])
    await edge.settled()
    for (const one of users.filter(({ instance }) => instance !== 'one')) await expectAt(edge, one)
  })

  it('stays when the service moves from a spare section into its own', async () => {
    const instances = await shop()
    const edge = await startEdge([], { settings: { tidy: { quiet: 1_500, longest: 10_000 } } })
    await edge.settled()
    edge.show(instances)
    await edge.settled()
    expect((await edge.readBack()).seats?.get('shop')).toBe(':sticky1')
    const users = [await user(edge), await user(edge), await user(edge)]
    for (const one of users) await expectAt(edge, one)
    await until(() => edge.state().haproxy.reloads.success === 1)
    await edge.settled()
    expect((await edge.readBack()).seats?.size).toBe(0)
    for (const one of users) await expectAt(edge, one)
  })

  it('is known on a second edge, be the server from its file or added later', async () => {
    const [one, two, three] = await shop()
    if (one === undefined || two === undefined || three === undefined) throw new Error('no instances')
    const first = await startEdge([one])
    await first.settled()
    first.show([one, two, three])
    await first.settled()
    const second = await startEdge([three, two, one])
    await second.settled()
    for (const one of [await user(first), await user(first), await user(first)]) await expectAt(second, one)
  })

  it('may finish on an instance in maintenance, and is elsewhere as soon as it is critical', async () => {
    const [one, two] = await shop()
    if (one === undefined || two === undefined) throw new Error('no instances')
    const edge = await startEdge([one, two])
    await edge.settled()
    const users = [await user(edge), await user(edge)]
    const first = users.find(({ instance }) => instance === 'one')
    if (first === undefined) throw new Error('nobody got to the first instance')
    edge.show([{ ...one, health: 'maintenance' }, two])
    await edge.settled()
    await expectAt(edge, first)
    for (let count = 0; count < 4; count++) expect(await body(edge, 'shop.example')).toBe('two')
    edge.show([{ ...one, health: 'critical' }, two])
    await edge.settled()
    await expectAt(edge, { ...first, instance: 'two' })
  })
})
