import { connect } from 'node:net'
import { parseIpv4 } from '../../addresses/ipv4.ts'
import { pause } from '../../backoff.ts'
import { codeOf } from '../../errors.ts'
import type { Ms } from '../../types.ts'

export type Probed =
  | { readonly kind: 'answers' }
  /** `refuses`: whoever has the address said so, and so was reached. */
  | { readonly kind: 'refuses' | 'fails'; readonly why: string }

export interface ProbeLimits {
  /** Shortest time between the beginnings of two probes, whoever they are of. */
  readonly every: Ms
  readonly timeout: Ms
}

/** Connects to `address:port`, at once or when its turn comes, and closes the connection again. Never rejects. */
export type Probe = (name: string, signal: AbortSignal) => Promise<Probed>

export function probesOf({ every, timeout }: ProbeLimits): Probe {
  let next = 0
  return async (name, signal) => {
    const turn = Math.max(next, performance.now())
    next = turn + every
    await pause(turn - performance.now(), signal)
    return signal.aborted ? { kind: 'fails', why: 'aborted' } : connectTo(name, timeout, signal)
  }
}

/** What can be probed: how heddle names its servers. Anything else is not of its making. */
export function isPlace(name: string): boolean {
  const [address = '', port = '', ...rest] = name.split(':')
  return rest.length === 0 && parseIpv4(address) !== null && /^[1-9]\d{0,4}$/.test(port) && Number(port) <= 65_535
}

function connectTo(name: string, timeout: Ms, signal: AbortSignal): Promise<Probed> {
  return new Promise((resolve) => {
    const [host = '', port = ''] = name.split(':')
    const socket = connect({ host, port: Number(port) })
    const finish = (probed: Probed) => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      socket.destroy()
      resolve(probed)
    }
    const abort = () => finish({ kind: 'fails', why: 'aborted' })
    const timer = setTimeout(() => finish({ kind: 'fails', why: `no answer within ${timeout} ms` }), timeout)
    signal.addEventListener('abort', abort, { once: true })
    socket.once('connect', () => finish({ kind: 'answers' }))
    // stays: a socket that fails after it was destroyed must not end the program
    socket.on('error', (error) => {
      const code = codeOf(error) ?? ''
      finish({ kind: code === 'ECONNREFUSED' ? 'refuses' : 'fails', why: causes[code] ?? error.message })
    })
  })
}

const causes: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  EHOSTUNREACH: 'no such host on its network',
  ENETUNREACH: 'no way to its network',
}
