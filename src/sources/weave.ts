import { setTimeout as delay } from 'node:timers/promises'
import { parseIpv4 } from '../addresses/ipv4.ts'
import type { Ms, Observation, WeaveName, WeavePeer, WeaveReport } from '../types.ts'
import { field, isRecord, listField, textField } from './field.ts'
import { type HttpClient, httpClient } from './http-get.ts'
import type { Source } from './source.ts'

export interface WeaveOptions {
  readonly pollEvery: Ms
  /** Of one request. */
  readonly timeout: Ms
  /** Of one answer. */
  readonly maxBytes: number
}

const defaults: WeaveOptions = { pollEvery: 5000, timeout: 5000, maxBytes: 32 * 1024 * 1024 }

/** The router compares this text with its own: anything added to it, such as a charset, is answered by 400. */
const headers = { Accept: 'application/json' }

/**
 * What a weave router knows, asked again and again by GET of `/report` and `/ip`; its other methods change the
 * network and are never used. `url` is that of its HTTP API, or of its read-only status address, which has no `/ip`.
 */
export function weaveSource(url: string, options: Partial<WeaveOptions> = {}): Source<Observation<WeaveReport>> {
  const { pollEvery, ...limits } = { ...defaults, ...options }
  return async (report, signal) => {
    const client = httpClient(url, { ...limits, headers })
    let observation: Observation<WeaveReport> = { value: nothing, evidence: 'stale', why: 'not asked yet', at: 0 }
    let errors = 0
    while (!signal.aborted) {
      const answer = await ask(client, observation.value, signal)
      if (signal.aborted) break
      errors += answer.error === null ? 0 : 1
      if (answer.report !== null) {
        observation = { value: answer.report, evidence: 'fresh', why: null, at: Date.now() }
      } else if (observation.evidence === 'fresh' || observation.why !== answer.error) {
        observation = { ...observation, evidence: 'stale', why: answer.error }
      }
      report({
        value: observation,
        status: {
          state: observation.evidence,
          at: observation.at === 0 ? null : observation.at,
          error: answer.error,
          errors,
          partitions: { total: 1, stale: observation.evidence === 'fresh' ? 0 : 1 },
          note: null,
        },
      })
      await delay(pollEvery, undefined, { signal }).catch(() => {})
    }
    client.close()
  }
}

const nothing: WeaveReport = { domain: '', peers: [], names: [], owned: new Map() }

interface Asked {
  /** The object of `before` when it says the same; null: no usable answer. */
  readonly report: WeaveReport | null
  readonly error: string | null
}

async function ask(client: HttpClient, before: WeaveReport, signal: AbortSignal): Promise<Asked> {
  const [answer, owned] = await Promise.all([client.getJson('/report', signal), client.getJson('/ip', signal)])
  if (!answer.ok) return { report: null, error: answer.error }
  const decoded = decodeWeaveReport(answer.value, owned.ok ? owned.value : null)
  if (decoded === null) return { report: null, error: 'GET /report: expected the report of a weave router' }
  // Old routers and the status address have no such page; after any other error its last answer stays.
  const isAbsent = !owned.ok && owned.status === 404
  const report = owned.ok || isAbsent ? decoded : { ...decoded, owned: before.owned }
  return { report: isSame(before, report) ? before : report, error: owned.ok || isAbsent ? null : owned.error }
}

function isSame(a: WeaveReport, b: WeaveReport): boolean {
  const plain = (report: WeaveReport) => JSON.stringify({ ...report, owned: [...report.owned] })
  return plain(a) === plain(b)
}

/**
 * Decodes `GET /report` and, where there is one, `GET /ip`. Null: not the report of a router. Without DNS there are
 * no names; tombstones and names that belong to no container are left out.
 */
export function decodeWeaveReport(raw: unknown, ownedRaw: unknown = null): WeaveReport | null {
  if (!isRecord(field(raw, 'Router'))) return null
  return {
    domain: hostnameOf(textField(raw, 'DNS', 'Domain')),
    peers: decodePeers(listField(raw, 'Router', 'Peers')).sort(byText),
    names: listField(raw, 'DNS', 'Entries').flatMap(decodeName).sort(byText),
    owned: decodeOwned(ownedRaw),
  }
}

/** The router lists peers, names and owners in no order: sorted, so that the same answer is the same value. */
function byText(a: object, b: object): number {
  return JSON.stringify(a) < JSON.stringify(b) ? -1 : 1
}

function decodePeers(rows: readonly unknown[]): WeavePeer[] {
  const addresses = new Map<string, Set<string>>()
  // The address of a peer is written where others speak of their connection to it.
  for (const connection of rows.flatMap((row) => listField(row, 'Connections'))) {
    const address = textField(connection, 'Address').replace(/:[0-9]+$/, '')
    const name = textField(connection, 'Name')
    if (parseIpv4(address) === null) continue
    addresses.set(name, (addresses.get(name) ?? new Set()).add(address))
  }
  return rows.flatMap((row) => {
    const name = textField(row, 'Name')
    if (name === '') return []
    return [{ name, nickName: textField(row, 'NickName'), addresses: [...(addresses.get(name) ?? [])].sort() }]
  })
}

function decodeName(row: unknown): WeaveName[] {
  const containerId = textField(row, 'ContainerID')
  const address = textField(row, 'Address')
  const hostname = hostnameOf(textField(row, 'Hostname'))
  if ((field(row, 'Tombstone') ?? 0) !== 0 || isPseudo(containerId)) return []
  if (parseIpv4(address) === null || hostname === '') return []
  return [{ hostname, peer: textField(row, 'Origin'), containerId, address }]
}

/** `{"owned": [{"containerid": "...", "addrs": ["10.32.0.1/16"]}] | null}` */
function decodeOwned(raw: unknown): ReadonlyMap<string, readonly string[]> {
  const owned = new Map<string, readonly string[]>()
  const rows = listField(raw, 'owned').map((row) => ({ id: textField(row, 'containerid'), row }))
  for (const { id, row } of rows.sort((a, b) => (a.id < b.id ? -1 : 1))) {
    const texts = listField(row, 'addrs').map((text) => (typeof text === 'string' ? text.replace(/\/[0-9]+$/, '') : ''))
    const addresses = texts.filter((address) => parseIpv4(address) !== null)
    if (!isPseudo(id) && addresses.length > 0) owned.set(id, addresses.sort())
  }
  return owned
}

/** `weave:expose` is the bridge of the host, `weave:extern` a name without container, `_` an unknown owner. */
function isPseudo(containerId: string): boolean {
  return containerId === '' || containerId === '_' || containerId.startsWith('weave:')
}

function hostnameOf(text: string): string {
  return text.toLowerCase().replace(/\.$/, '')
}
