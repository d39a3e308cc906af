import { randomInt } from 'node:crypto'
import { chmod, link, lstat, readdir, rename, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { z } from 'zod'
import { messageOf } from '../errors.ts'
import { httpClient } from '../sources/http-get.ts'
import type { Ms } from '../types.ts'

/**
 * The control socket is lock and door in one: who can be connected to on it holds the directory, and operators and
 * commands speak HTTP with it. Its file mode says who may connect.
 */

const whoamiPath = '/control/v1/whoami'
const whoamiShape = z.object({ pid: z.int(), version: z.string().max(64), startedAt: z.number() })
export type Holder = z.infer<typeof whoamiShape>

export type Listener = (request: IncomingMessage, response: ServerResponse) => void

export type Claim =
  | { readonly kind: 'held'; readonly release: () => Promise<void> }
  /** `by` is null when somebody listens who doesn't say who it is; that counts all the same. */
  | { readonly kind: 'taken'; readonly by: Holder | null }
  | { readonly kind: 'failed'; readonly why: string }

export interface ControlOptions {
  readonly path: string
  readonly version: string
  /** Answers everything but the question who we are. */
  readonly listener: Listener
}

const connectWithin: Ms = 1_000
const answerWithin: Ms = 2_000
const attempts = 20

/**
 * Takes the directory, or says who has it. A socket whose owner is dead is taken over. Of two that start at the same
 * moment one wins: the server listens under a private name, and only link(2), which never replaces, gives it the real one.
 */
export async function serveControl(options: ControlOptions): Promise<Claim> {
  const { path } = options
  // two containers have the same pids
  const own = `${path}.${randomInt(2 ** 47)}`
  const server = createControlServer(options)
  try {
    await rm(own, { force: true })
    await new Promise<void>((resolve, reject) => server.once('error', reject).listen(own, resolve))
    await chmod(own, 0o600)
    for (let attempt = 0; attempt < attempts; attempt++) {
      if (await tryLink(own, path)) {
        await rm(own, { force: true })
        await sweep(path)
        return { kind: 'held', release: () => release(server, path) }
      }
      if (await isAnswered(path)) {
        const by = await whoHolds(path)
        await close(server)
        return { kind: 'taken', by }
      }
      await removeDead(path, `${own}.dead`)
    }
    throw new Error('its file comes back whenever it is removed')
  } catch (error) {
    await close(server)
    await rm(own, { force: true }).catch(() => {})
    return { kind: 'failed', why: `${path}: ${messageOf(error)}` }
  }
}

function createControlServer({ version, listener }: ControlOptions): Server {
  const me: Holder = { pid: process.pid, version, startedAt: Date.now() }
  return createServer((request, response) => {
    if (request.url !== whoamiPath) return listener(request, response)
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(me))
  })
}

async function tryLink(from: string, to: string): Promise<boolean> {
  return link(from, to).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'EEXIST') return false
      throw error
    },
  )
}

/** Somebody listens. One that hangs counts: it may still write. */
function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const socket = connect(path)
    const end = (answer: boolean) => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(connectWithin, () => end(true))
    socket.once('connect', () => end(true))
    socket.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') end(false)
      else if (error.code === 'EAGAIN') end(true)
      else {
        socket.destroy()
        reject(error)
      }
    })
  })
}

/**
 * Moves a dead socket out of the way. Between the failed connect and the move somebody else may have done the same and
 * taken the name: then what was moved is alive, and goes back.
 */
async function removeDead(path: string, aside: string): Promise<void> {
  const found = await lstat(path).catch(() => null)
  if (found === null) return
  if (!found.isSocket()) throw new Error('there is a file of another kind; move it away, or set control.socket')
  await rename(path, aside).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
  })
  if (await isAnswered(aside)) await tryLink(aside, path)
  await rm(aside, { force: true })
}

/** Private names that a killed heddle left behind. One that is answered on belongs to somebody who will find us here. */
async function sweep(path: string): Promise<void> {
  const [folder, name] = [dirname(path), basename(path)]
  for (const other of await readdir(folder)) {
    const isPrivate = other.startsWith(`${name}.`) && /^\d+(\.dead)?$/.test(other.slice(name.length + 1))
    if (isPrivate && !(await isAnswered(join(folder, other)))) await rm(join(folder, other), { force: true })
  }
}

async function release(server: Server, path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {})
  await close(server)
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve())
    server.closeAllConnections()
  })
}

/** Null when nobody answers in time, or not as heddle does. */
export async function whoHolds(path: string): Promise<Holder | null> {
  const answer = await getOverSocket(path, whoamiPath, answerWithin)
  const parsed = answer.kind === 'answered' ? whoamiShape.safeParse(answer.body) : null
  return parsed?.success === true ? parsed.data : null
}

export type SocketAnswer =
  | { readonly kind: 'answered'; readonly status: number; readonly body: unknown }
  | { readonly kind: 'failed'; readonly why: string }

const longestAnswer = 512 * 1024 * 1024

/** Asks a heddle over its control socket. Never rejects. */
export async function getOverSocket(path: string, url: string, timeout: Ms): Promise<SocketAnswer> {
  const client = httpClient(`unix://${path}`, { timeout, maxBytes: longestAnswer, headers: { host: 'localhost' } })
  try {
    const answer = await client.get(url, new AbortController().signal)
    if (!answer.ok) return { kind: 'failed', why: answer.error }
    return { kind: 'answered', status: answer.status, body: JSON.parse(answer.body.toString('utf8')) }
  } catch {
    return { kind: 'failed', why: `${path}: the answer is no JSON; is another program listening there?` }
  } finally {
    client.close()
  }
}
