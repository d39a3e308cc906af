import { hostPatterns } from '../model/match.ts'
import { hostKey, mapFiles } from '../render/maps.ts'
import type { RunningServer } from '../types.ts'
import type { Runtime, Silence } from './cli.ts'
import { observeRunning, readEntry } from './observe.ts'
import { backendsOf } from './seats.ts'
import { connectWorker, type HaproxySockets } from './worker.ts'

/** What the running worker would do with a request, by its own maps and servers. */
export type LiveAnswer =
  | {
      readonly kind: 'answered'
      /** Of the entry of routes.map that takes the request; null: none does. */
      readonly key: string | null
      readonly backend: string | null
      readonly servers: ReadonlyMap<string, RunningServer>
    }
  | { readonly kind: 'failed'; readonly why: string }

/**
 * Asks the running HAProxy for the entry that takes host and path, the way its frontend does: one longest-prefix lookup a
 * host pattern, the most specific first. `name` is a host name in lower case without port.
 */
export async function askLive(sockets: HaproxySockets, name: string, path: string): Promise<LiveAnswer> {
  // the path becomes part of a command, where blanks, `;` and `\` end or change it
  if (!/^[A-Za-z0-9._~/%@:+,=&!*()-]*$/.test(path)) {
    return { kind: 'failed', why: 'HAProxy can not be asked about a path with such characters' }
  }
  const connection = await connectWorker(sockets)
  if (!connection.ok) return { kind: 'failed', why: connection.why }
  const { runtime } = connection
  const found = await findEntry(runtime, name, path).finally(() => runtime.close())
  if (!found.ok) return { kind: 'failed', why: found.why }
  if (found.entry === null) return { kind: 'answered', key: null, backend: null, servers: new Map() }
  const { key, section } = found.entry
  const observed = await observeRunning(sockets)
  if (observed.kind === 'absent') return { kind: 'failed', why: observed.why }
  const backend = backendsOf(observed.running.seats)(section)
  return { kind: 'answered', key, backend, servers: observed.running.servers.get(backend) ?? new Map() }
}

interface Entry {
  readonly key: string
  readonly section: string
}

/** `entry` is null when none takes the request. */
async function findEntry(
  runtime: Runtime,
  name: string,
  path: string,
): Promise<{ readonly ok: true; readonly entry: Entry | null } | Silence> {
  for (const pattern of hostPatterns(name)) {
    const answer = await runtime.ask(`get map ${mapFiles.routes} ${hostKey(pattern)}${path}?`)
    if (!answer.ok) return answer
    const found = readEntry(answer.answer)
    if (found === null) continue
    const [section = ''] = found.value.split('|')
    return { ok: true, entry: { key: found.key, section } }
  }
  return { ok: true, entry: null }
}
