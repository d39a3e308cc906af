import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Keeps at most `most` connections open. When one more comes, the one that has been silent for longest makes room:
 * connections that only wait (half a request, an idle keep-alive) are never in the way of those that ask. If each of
 * them is being answered, the newcomer is closed.
 */
export function limitConnections(server: Server, most: number): void {
  const open = new Set<Socket>()
  const silent = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    if (open.size >= most) {
      const [oldest = socket] = silent
      oldest.destroy()
      silent.delete(oldest)
      open.delete(oldest)
      if (oldest === socket) return
    }
    open.add(socket)
    silent.add(socket)
    socket.once('close', () => {
      open.delete(socket)
      silent.delete(socket)
    })
  })
  server.on('request', ({ socket }: IncomingMessage, response: ServerResponse) => {
    silent.delete(socket)
    response.once('close', () => {
      if (open.has(socket) && !socket.destroyed) silent.add(socket)
    })
  })
}
