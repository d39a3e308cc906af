import { hostPatterns } from '../model/match.ts'
import { hostKey, mapFiles } from '../render/maps.ts'
import { isSpare } from '../render/spares.ts'
import type { RunningServer } from '../types.ts'
import type { Runtime, Silence } from './cli.ts'
import { readLoads, type SectionLoads } from './loads.ts'
import { parseServers, readEntry } from './observe.ts'
import { isSectionName } from './seats.ts'
import { connectWorker, type HaproxySockets } from './worker.ts'

/** What the running worker would do with a request, by its own maps and servers. */
export type LiveAnswer =
  | {
      readonly kind: 'answered'
      /** Of the entry of routes.map that takes the request; null: none does. */
      readonly key: string | null
      readonly backend: string | null
      /** That the backend sits in. */
      readonly section: string | null
      readonly servers: ReadonlyMap<string, RunningServer>
      /** Of the servers that HAProxy has told it of. */
      readonly loads: SectionLoads
    }
  | { readonly kind: 'failed'; readonly why: string }

/**
 * Asks the running HAProxy for the entry that takes host and path, the way its frontend does: one longest-prefix lookup a
 * host pattern, the most specific first. Only of that backend its servers are asked for, so that it is quick however many there are.
 * `name` is a host name in lower case without port.
 */
export async function askLive(sockets: HaproxySockets, name: string, path: string): Promise<LiveAnswer> {
  // the path becomes part of a command, where blanks, `;` and `\` end or change it
  if (!/^[A-Za-z0-9._~/%@:+,=&!*()-]*$/.test(path)) {
    return { kind: 'failed', why: 'HAProxy can not be asked about a path with such characters' }
  }
  const connection = await connectWorker(sockets)
  if (!connection.ok) return { kind: 'failed', why: connection.why }
  const { runtime } = connection
  return lookUp(runtime, name, path).finally(() => runtime.close())
}

async function lookUp(runtime: Runtime, name: string, path: string): Promise<LiveAnswer> {
  const found = await findEntry(runtime, name, path)
  if (!found.ok) return { kind: 'failed', why: found.why }
  if (found.entry === null) {
    return { kind: 'answered', key: null, backend: null, section: null, servers: new Map(), loads: new Map() }
  }
  const { key, section } = found.entry
  if (!isSectionName(section)) return { kind: 'failed', why: 'routes.map of HAProxy leads to what is no section' }
  const [seat, servers, loads] = await Promise.all([
    isSpare(section) ? runtime.ask(`get map ${mapFiles.seats} ${section}`) : null,
    runtime.ask(`show servers state ${section}`),
    readLoads(runtime, section),
  ])
  if (!servers.ok) return { kind: 'failed', why: servers.why }
  return {
    kind: 'answered',
    key,
    backend: (seat?.ok === true ? readEntry(seat.answer)?.value : null) ?? section,
    section,
    servers: parseServers(servers.answer).get(section) ?? new Map(),
    loads: loads.ok ? loads.loads : new Map(),
  }
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
