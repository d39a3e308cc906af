import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { endianness } from 'node:os'
import ipaddr from 'ipaddr.js'
import { codeOf } from '../errors.ts'
import { areColliding, type ListenAddress, parseListenAddress } from '../settings/addresses.ts'

/**
 * Addresses that `wanted` (a haproxy.cfg) listens on, `running` does not, and somebody else has. `haproxy -c` does not look, and
 * a reload that meets one pauses the listeners that serve, for two seconds. What can't be tried (a port that only root
 * may have, or any where HAProxy is in a network namespace of its own) is left to HAProxy.
 */
export async function takenListeners(running: string, wanted: string): Promise<readonly string[]> {
  const present = [...bindsOf(running).values()]
  // where HAProxy itself is in the way, it gets out of it
  const fresh = [...bindsOf(wanted)].filter(([, place]) => !present.some((own) => areColliding(own, place)))
  const taken = await Promise.all(fresh.map(async ([bind, place]) => ((await isTaken(place)) ? [bind] : [])))
  // looked at last, as there is hardly ever one, and the kernel's list can be long
  return taken.flat().length > 0 && !(await areListening(present)) ? [] : taken.flat()
}

/** As they are written; those that are no address and port are left out. */
function bindsOf(configuration: string): ReadonlyMap<string, ListenAddress> {
  const binds = new Map<string, ListenAddress>()
  for (const [, bind = ''] of configuration.matchAll(/^[ \t]+bind[ \t]+(\S+)/gm)) {
    const place = parseListenAddress(bind)
    if (place !== null) binds.set(bind, place)
  }
  return binds
}

function isTaken(place: ListenAddress): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error) => resolve(codeOf(error) === 'EADDRINUSE'))
    server.listen({ host: place.address ?? '0.0.0.0', port: place.port, exclusive: true }, () => {
      server.close(() => resolve(false))
    })
  })
}

/**
 * Whether somebody listens on all of these in our own network namespace. Where a running HAProxy's listeners are not, it is in
 * another one, as beside a heddle with a container of its own, and who has a port here is not in its way.
 */
async function areListening(places: readonly ListenAddress[]): Promise<boolean> {
  const tables = await Promise.all(['tcp', 'tcp6'].map((name) => readFile(`/proc/net/${name}`, 'utf8').catch(() => '')))
  // not Linux: it can't be known
  if (tables.every((table) => table === '')) return true
  // "  0: 0100007F:1F90 00000000:0000 0A ...": local and remote address, and 0A for listening
  const listening = new Set(
    tables.flatMap((table) => [...table.matchAll(/: (\S+) \S+ 0A /g)].map(([, local]) => local)),
  )
  return places.every((place) => listening.has(kernelText(place)))
}

/** The way of /proc/net/tcp: each four bytes of the address as a number of this machine's byte order. */
function kernelText({ address, port }: ListenAddress): string {
  const bytes = Buffer.from(ipaddr.parse(address ?? '0.0.0.0').toByteArray())
  const text = (endianness() === 'LE' ? bytes.swap32() : bytes).toString('hex')
  return `${text}:${port.toString(16).padStart(4, '0')}`.toUpperCase()
}
