import { createServer } from 'node:net'
import { codeOf } from '../errors.ts'
import { areColliding, type ListenAddress, parseListenAddress } from '../settings/addresses.ts'

/**
 * Addresses that `wanted` (a haproxy.cfg) listens on, `running` does not, and somebody else has. `haproxy -c` does not look, and
 * a reload that meets one pauses the listeners that serve, for two seconds on 2.6. What can't be tried (a port that only root
 * may have) is left to HAProxy.
 */
export async function takenListeners(running: string, wanted: string): Promise<readonly string[]> {
  const present = bindsOf(running).flatMap((bind) => parseListenAddress(bind) ?? [])
  // where HAProxy itself is in the way, it gets out of it
  const isOurs = (place: ListenAddress | null) => place === null || present.some((own) => areColliding(own, place))
  const fresh = [...new Set(bindsOf(wanted))].filter((bind) => !isOurs(parseListenAddress(bind)))
  const taken = await Promise.all(fresh.map(async (bind) => ((await isTaken(bind)) ? [bind] : [])))
  return taken.flat()
}

function bindsOf(configuration: string): readonly string[] {
  return [...configuration.matchAll(/^[ \t]+bind[ \t]+(\S+)/gm)].map(([, bind = '']) => bind)
}

function isTaken(bind: string): Promise<boolean> {
  const place = parseListenAddress(bind)
  if (place === null) return Promise.resolve(false)
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', (error) => resolve(codeOf(error) === 'EADDRINUSE'))
    server.listen({ host: place.address ?? '0.0.0.0', port: place.port, exclusive: true }, () => {
      server.close(() => resolve(false))
    })
  })
}
