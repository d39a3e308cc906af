// Where things listen: addresses of 127.0.0.0/8 that nobody else uses, all of which Linux routes to itself.

import { createServer } from 'node:net'

/** Of one run; containers are elsewhere (catalog.mjs). */
export function ownAddress() {
  const byte = () => 1 + Math.floor(Math.random() * 250)
  return `127.${64 + (byte() % 64)}.${byte()}.${byte()}`
}

export async function freePorts(count, address) {
  const servers = await Promise.all(
    Array.from({ length: count }, () => {
      const server = createServer()
      return new Promise((resolve, reject) => server.once('error', reject).listen(0, address, () => resolve(server)))
    }),
  )
  const ports = servers.map((server) => server.address().port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}
