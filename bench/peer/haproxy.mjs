// The HAProxy of a system: master-worker, with a first configuration that answers 503, so that the controller finds it running.

import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { startProgram } from './children.mjs'

/** A master that executes itself anew, for a reload, refuses for a moment. */
const longestSilence = 20_000

export function firstConfiguration({ address, ports, statsSocket }) {
  return `global
  default-path config
  log stdout format raw local0
  stats socket ${statsSocket} mode 600 level admin
  stats timeout 1m
  hard-stop-after 15m
  mworker-max-reloads 4

defaults
  mode http
  log global
  option dontlognull
  option idle-close-on-response
  timeout connect 2s
  timeout client 10s
  timeout server 10s
  timeout http-request 10s

frontend http
  bind ${address}:${ports.http}
  http-request return status 503 content-type text/plain string "no configuration yet\\n"
`
}

export async function startHaproxy({ bin, file, masterSocket }) {
  // access logs are written and thrown away: both systems pay for them, no disk does
  const program = startProgram('HAProxy', bin, ['-W', '-S', `${masterSocket},mode,600`, '-f', file])
  const reloads = async () => {
    const end = performance.now() + longestSilence
    for (;;) {
      const told = await reloadsOf(masterSocket)
      if (told !== null) return told
      if (program.failed() !== null) throw new Error(program.failed())
      if (performance.now() > end) throw new Error('HAProxy does not answer on its master socket')
      await delay(20)
    }
  }
  await reloads()
  return { ...program, reloads }
}

/** How often this master has loaded a configuration anew; null while it does not answer. */
async function reloadsOf(masterSocket) {
  const text = await new Promise((resolve) => {
    let received = ''
    const socket = connect(masterSocket, () => socket.end('show proc\n'))
    socket.setTimeout(2_000, () => socket.destroy())
    socket.on('data', (chunk) => {
      received += chunk
    })
    socket.on('error', () => {}).on('close', () => resolve(received))
  })
  const [, reloads] = /^\d+\s+master\s+(\d+)/m.exec(text) ?? []
  return reloads === undefined ? null : Number(reloads)
}
