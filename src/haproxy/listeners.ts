import { createServer } from 'node:net'
import { codeOf } from '../errors.ts'
import { areColliding, type ListenAddress, parseListenAddress } from '../settings/addresses.ts'

/**
 * Addresses that `wanted` (a haproxy.cfg) listens on, `running` does not, and somebody else has. `haproxy -c` does not look, and
 * a reload that meets one pauses the listeners that serve, for two seconds on 2.6. What can't be tried (a port that only root
 * may have) is left to HAProxy.
 */
export async function takenListeners(running: string, wanted: string): Promise<readonly string[]> {
  const present = [...bindsOf(running).values()]
  // where HAProxy itself is in the way, it gets out of it
  const fresh = [...bindsOf(wanted)].filter(([, place]) => !present.some((own) => areColliding(own, place)))
  const taken = await Promise.all(fresh.map(async ([bind, place]) => ((await isTaken(place)) ? [bind] : [])))
  return taken.flat()
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
