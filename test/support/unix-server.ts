import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { atEnd } from './haproxy.ts'

export interface UnixServer {
  readonly path: string
  close(): Promise<void>
}

/** A server on a unix socket that treats every connection as `serve` says: what HAProxy should never do, it does. */
export async function unixServer(serve: (socket: Socket) => void, path?: string): Promise<UnixServer> {
  const folder = path === undefined ? await mkdtemp(join(tmpdir(), 'hd-')) : null
  const place = path ?? join(folder ?? '', 'fake.sock')
  const open = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => open.delete(socket))
    serve(socket)
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(place, resolve))
  const close = async () => {
    for (const socket of open) socket.destroy()
    await new Promise((resolve) => server.close(resolve))
    if (folder !== null) await rm(folder, { recursive: true, force: true })
  }
  atEnd(close)
  return { path: place, close }
}
