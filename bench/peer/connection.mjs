// A client of HAProxy that costs little: GET over one keep-alive connection, one at a time.

import { connect } from 'node:net'

/**
 * `ask` resolves to `{ status, body }`, or to `{ failure }` with how it failed. A connection that was closed between two
 * requests is opened anew, as any client does, and is no failure.
 */
export function keepAlive({ address, port }, timeout = 10_000) {
  let socket = null
  let received = ''
  let waiting = null

  function settle(answer) {
    const resolve = waiting
    waiting = null
    received = ''
    resolve?.(answer)
  }

  function open() {
    const fresh = connect(port, address)
    const over = (failure) => {
      fresh.destroy()
      if (socket !== fresh) return
      socket = null
      settle({ failure })
    }
    fresh.setNoDelay(true)
    fresh.setEncoding('latin1')
    fresh.setTimeout(timeout, () => over('timeout'))
    fresh.on('error', ({ code }) =>
      over({ ECONNRESET: 'reset', EPIPE: 'reset', ECONNREFUSED: 'refused' }[code] ?? code),
    )
    fresh.on('end', () => over(received === '' ? 'closed unanswered' : 'cut off'))
    fresh.on('data', (chunk) => {
      if (socket !== fresh) return
      received += chunk
      const answer = parseAnswer(received)
      if (answer === null) return
      if (answer.isLast) {
        socket = null
        fresh.destroy()
      }
      settle({ status: answer.status, body: answer.body })
    })
    return fresh
  }

  return {
    ask: (host, path) =>
      new Promise((resolve) => {
        waiting = resolve
        socket ??= open()
        socket.write(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\nAccept: */*\r\n\r\n`)
      }),
    close: () => {
      socket?.destroy()
      socket = null
    },
  }
}

/** Null until all of it is there. Containers and HAProxy's own answers say their length. */
export function parseAnswer(text) {
  const head = text.indexOf('\r\n\r\n')
  if (head === -1) return null
  const lines = text.slice(0, head)
  const length = Number(/^content-length: *(\d+)/im.exec(lines)?.[1] ?? 0)
  const body = text.slice(head + 4)
  if (body.length < length) return null
  return { status: Number(text.slice(9, 12)), body, isLast: /^connection: *close/im.test(lines) }
}
