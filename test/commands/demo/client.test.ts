import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Client, createClient, type Mistake } from '../../../src/commands/demo/client.ts'
import { type Containers, createContainers } from '../../../src/commands/demo/containers.ts'
import { toService } from '../../../src/commands/demo/judge.ts'
import type { SampleInstance } from '../../../src/commands/demo/sample.ts'
import { eventually } from '../../support/eventually.ts'
import { freePort } from '../../support/ports.ts'

const probe = toService('shop.localhost', '/search?q=loom', 'shop')
const ends: AbortController[] = []
let containers: Containers
let client: Client
let shop: SampleInstance
let mistakes: Mistake[]

function patience(): AbortSignal {
  const end = new AbortController()
  ends.push(end)
  return end.signal
}

beforeEach(async () => {
  const port = await freePort()
  shop = {
    id: 'shop-1',
    service: 'shop',
    node: 'host1',
    nodeAddress: '127.2.0.1',
    address: '127.0.0.1',
    port,
    tags: [],
    meta: {},
    health: 'passing',
  }
  containers = createContainers()
  mistakes = []
  client = createClient(port, (mistake) => mistakes.push(mistake))
})

afterEach(async () => {
  for (const end of ends.splice(0)) end.abort()
  await client.stop()
  await containers.stopAll()
})

describe('the client of the demo', () => {
  it('asks again and again, and finds nothing wrong with right answers', async () => {
    await containers.start(shop)
    client.add(probe)
    await eventually(() => expect(client.counts().requests).toBeGreaterThan(3))
    expect(client.counts().wrong).toBe(0)
  })

  it('counts and tells what was wrong', async () => {
    await containers.start({ ...shop, service: 'impostor' })
    client.add(probe)
    await eventually(() => expect(client.counts().wrong).toBeGreaterThan(1))
    expect(mistakes[0]).toEqual({ url: 'http://shop.localhost/search?q=loom', reason: 'expected shop, got impostor' })
  })

  it('takes a refused connection for a wrong answer', async () => {
    client.add(probe)
    await eventually(() => expect(mistakes[0]?.reason).toMatch(/^no answer: /))
  })

  it('says when an instance answers for the first time', async () => {
    client.add(probe)
    const seen = client.until(({ container }) => container.instance === 'shop-1', patience())
    await containers.start(shop)
    expect(await seen).toBeTypeOf('number')
  })

  it('stops waiting when it is told to', async () => {
    const end = new AbortController()
    const seen = client.until(() => true, end.signal)
    end.abort()
    expect(await seen).toBeNull()
    expect(await client.until(() => true, end.signal)).toBeNull()
  })

  it('asks no more once a probe is removed', async () => {
    await containers.start(shop)
    client.add(probe)
    await eventually(() => expect(client.counts().requests).toBeGreaterThan(0))
    await client.remove(probe)
    await containers.stopAll()
    expect(client.counts().wrong).toBe(0)
  })

  it('does not count what it was asked to try', async () => {
    await containers.start(shop)
    expect(await client.ask(probe)).toBeNull()
    expect(client.counts()).toEqual({ requests: 0, wrong: 0 })
  })
})
