import { createServer } from 'node:http'
import { atEnd, ownAddress } from './haproxy.ts'

export interface HeldServer {
  readonly address: string
  readonly port: number
  /** Requests that wait for their answer. */
  readonly holds: () => number
  /** Answers all of them. */
  readonly answer: () => void
}

/** A container that takes requests, and answers them when it is told to. Ends with the test file. */
export async function heldServer(): Promise<HeldServer> {
  const held: (() => void)[] = []
  const server = createServer((_request, answer) => held.push(() => answer.end('done')))
  const address = ownAddress()
  await new Promise<void>((resolve) => server.listen(0, address, resolve))
  const place = server.address()
  if (place === null || typeof place === 'string') throw new Error('expected a port')
  const close = () =>
    new Promise((resolve) => {
      server.close(resolve)
      server.closeAllConnections()
    })
  atEnd(close)
  return {
    address,
    port: place.port,
    holds: () => held.length,
    answer: () => {
      for (const release of held.splice(0)) release()
    },
  }
}
