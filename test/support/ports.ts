import { randomInt } from 'node:crypto'
import { type AddressInfo, createServer, type Server } from 'node:net'

/** An address of 127.0.0.0/8 that probably nobody else uses: Linux answers on all of them. */
export function loopbackAddress(): string {
  return `127.${randomInt(64, 255)}.${randomInt(0, 255)}.${randomInt(1, 255)}`
}

/**
 * `count` different TCP ports that are free on `address` now. Somebody else may take one before you do: with a
 * `loopbackAddress()` of your own that does not happen.
 */
export async function freePorts(count: number, address = '127.0.0.1'): Promise<readonly number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listen(address)))
  const ports = servers.map(portOf)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

export async function freePort(address = '127.0.0.1'): Promise<number> {
  const [port] = await freePorts(1, address)
  if (port === undefined) throw new Error('expected a port')
  return port
}

function listen(address: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server: Server = createServer()
    server.once('error', reject)
    server.listen(0, address, () => resolve(server))
  })
}

function portOf(server: Server): number {
  const bound: AddressInfo | string | null = server.address()
  if (bound === null || typeof bound === 'string') throw new Error('expected a bound port')
  return bound.port
}
