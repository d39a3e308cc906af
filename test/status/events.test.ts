import { type ClientRequest, get, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import type { StatusLimits } from '../../src/status/server.ts'
import { eventually } from '../support/eventually.ts'
import { shopState, startingState, wideState } from '../support/states.ts'
import { published, statusServer } from '../support/status-server.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

/** A status endpoint on a real port, with a state to be changed. */
async function site(limits: Partial<StatusLimits> = {}) {
  const { state, subscribe, publish, listeners } = published(startingState())
  const app = statusServer(state, { subscribe, limits })
  const sockets = new Set<unknown>()
  app.server.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  ends.push(() => app.close())
  const address: AddressInfo | string | null = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('expected a port')
  return { app, port: address.port, publish, listeners, sockets }
}

interface Stream {
  readonly request: ClientRequest
  readonly response: IncomingMessage
  /** Names and data of the events so far. */
  readonly events: () => readonly { readonly event: string; readonly data: unknown }[]
  readonly hasEnded: () => boolean
}

async function open(port: number): Promise<Stream> {
  const request = get({ host: '127.0.0.1', port, path: '/api/v1/events' })
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve)
    request.once('error', reject)
  })
  let [text, ended] = ['', false]
  response.setEncoding('utf8')
  response.on('data', (chunk: string) => {
    text += chunk
  })
  response.on('close', () => {
    ended = true
  })
  response.on('error', () => {})
  request.on('error', () => {})
  ends.push(async () => request.destroy())
  const events = () =>
    text.split('\n\n').flatMap((block) => {
      const [, event, data] = /event: (.*)\ndata: (.*)/.exec(block) ?? []
      return event === undefined || data === undefined ? [] : [{ event, data: JSON.parse(data) }]
    })
  return { request, response, events, hasEnded: () => ended }
}

describe('the event stream', () => {
  it('tells the status at once, and each change once', async () => {
    const { port, publish } = await site()
    const stream = await open(port)
    expect(stream.response.headers).toMatchObject({
      'content-type': 'text/event-stream; charset=utf-8',
      'x-content-type-options': 'nosniff',
    })
    await eventually(() => expect(stream.events()).toMatchObject([{ event: 'status', data: { ready: false } }]))
    const shop = shopState()
    publish(shop)
    publish({ ...shop, at: shop.at + 1000 })
    publish(wideState(3, 2))
    await eventually(() => expect(stream.events().at(-1)).toMatchObject({ data: { counts: { services: 3 } } }))
    expect(stream.events().map(({ event }) => event)).toEqual(['status', 'state', 'state'])
  })

  it('says now and then that it is alive', async () => {
    const { port } = await site({ pingEvery: 20 })
    const stream = await open(port)
    await eventually(() => expect(stream.events().some(({ event }) => event === 'ping')).toBe(true))
  })

  it('of a client that does not read is cut off, and nobody else waits for it', async () => {
    const { port, publish, sockets: streams } = await site()
    const [slow, quick] = [await open(port), await open(port)]
    slow.response.pause()
    const states = [wideState(1, 1), wideState(2, 1)]
    // what the kernel takes for it has to be full first
    for (let count = 0; count < 100_000 && streams.size === 2; count++) {
      const state = states[count % 2]
      if (state !== undefined) publish({ ...state, decision: state.decision && { ...state.decision } })
      if (count % 50 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    slow.response.resume()
    await eventually(() => expect(slow.hasEnded()).toBe(true))
    publish(wideState(7, 1))
    await eventually(() => expect(quick.events().at(-1)).toMatchObject({ data: { counts: { services: 7 } } }))
  })

  it('is refused beyond so many, and given again when one has ended', async () => {
    const { port } = await site({ eventStreams: 2 })
    const first = await open(port)
    await open(port)
    const third = await open(port)
    expect(third.response.statusCode).toBe(503)
    expect(third.response.headers['retry-after']).toBe('5')
    first.request.destroy()
    await eventually(async () => expect((await open(port)).response.statusCode).toBe(200))
  })

  it('ends with the endpoint, which then listens to nothing any more', async () => {
    const { app, port, listeners } = await site()
    const stream = await open(port)
    await app.close()
    await eventually(() => expect(stream.hasEnded()).toBe(true))
    expect(listeners.size).toBe(0)
  })
})
