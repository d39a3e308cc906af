// The containers of a run, in a process of their own. One listener answers for every address of theirs; those that shall be able
// to die have a listener each. Who answered is the body of the answer: address and port.

import { createServer } from 'node:net'
import { answerMessages } from './children.mjs'

/** By address: the listener and its open connections. */
const listeners = new Map()

answerMessages(async ({ what, address = '0.0.0.0' }) => {
  if (what === 'die') return die(address)
  return { port: await listen(address) }
})

function listen(address) {
  const sockets = new Set()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket)).on('error', () => {})
    answerAll(socket)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: address, port: 0, backlog: 4_096 }, () => {
      listeners.set(address, { server, sockets })
      resolve(server.address().port)
    })
  })
}

/** Requests are GETs: all of one ends with an empty line. */
function answerAll(socket) {
  const body = `${socket.localAddress}:${socket.localPort}`
  const answer = `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ${body.length}\r\n\r\n${body}`
  let rest = ''
  socket.setNoDelay(true)
  socket.setEncoding('latin1')
  socket.on('data', (chunk) => {
    const parts = (rest + chunk).split('\r\n\r\n')
    rest = parts.pop()
    if (parts.length > 0) socket.write(answer.repeat(parts.length))
  })
}

/** As a container that is killed: open connections are reset, new ones refused. */
async function die(address) {
  const { server, sockets } = listeners.get(address)
  listeners.delete(address)
  const closed = new Promise((resolve) => server.close(resolve))
  for (const socket of sockets) socket.resetAndDestroy()
  await closed
}
