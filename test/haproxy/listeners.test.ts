import { createServer, isIPv6 } from 'node:net'
import { describe, expect, it } from 'vitest'
import { takenListeners } from '../../src/haproxy/listeners.ts'
import { atEnd } from '../support/haproxy.ts'
import { freePort, loopbackAddress } from '../support/ports.ts'

/** A process that listens there; its port. */
async function listening(address: string): Promise<number> {
  const port = await freePort(address)
  const server = createServer()
  await new Promise<void>((resolve) => server.listen({ host: address, port }, resolve))
  atEnd(() => server.close())
  return port
}

const binding = (...binds: readonly string[]) => `frontend :http\n${binds.map((bind) => `  bind ${bind}\n`).join('')}`

describe('an address that is to be listened on', () => {
  it('is taken when another program has it', async () => {
    const address = loopbackAddress()
    const bind = `${address}:${await listening(address)}`
    expect(await takenListeners(binding(), binding(bind))).toEqual([bind])
    expect(await takenListeners(binding(), binding(`${address}:${await freePort(address)}`))).toEqual([])
  })

  it.each([
    [':P', 'A:P'],
    [':P', '*:P'],
    ['*:P', '0.0.0.0:P'],
    ['0.0.0.0:P', '[::]:P'],
    ['A:P', ':P'],
    ['A:P', 'A:P'],
  ])('is not when HAProxy has it as %s and wants it as %s', async (present, wanted) => {
    const address = loopbackAddress()
    const port = await listening(present.startsWith('A') ? address : '0.0.0.0')
    const filled = (bind: string) => bind.replace('A', address).replace('P', String(port))
    expect(await takenListeners(binding(filled(present)), binding(filled(wanted)))).toEqual([])
  })

  it.each(['127.0.0.2', '0.0.0.0', '::1', '::'])(
    'is taken beside a HAProxy that listens here, on %s',
    async (place) => {
      const address = loopbackAddress()
      const present = `${isIPv6(place) ? `[${place}]` : place}:${await listening(place)}`
      const bind = `${address}:${await listening(address)}`
      expect(await takenListeners(binding(present), binding(present, bind))).toEqual([bind])
    },
  )

  it('is not taken by whoever has it here, when HAProxy is in another network namespace', async () => {
    const address = loopbackAddress()
    const bind = `${address}:${await listening(address)}`
    const present = `127.0.0.2:${await freePort('127.0.0.2')}`
    expect(await takenListeners(binding(present), binding(present, bind))).toEqual([])
  })
})
