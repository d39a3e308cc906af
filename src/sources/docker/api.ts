import { readFile } from 'node:fs/promises'
import { messageOf } from '../../errors.ts'
import type { Container, Ms } from '../../types.ts'
import { type HttpClient, httpClient, type LineAnswer } from '../http-get.ts'
import { decodeContainer, decodeList, followedActions } from './decode.ts'

/** Where an engine answers: `unix:///var/run/docker.sock`, `tcp://host:2376`, `http://` or `https://`. */
export interface DockerEndpoint {
  readonly url: string
  /** Files in PEM format. Any of them makes `tcp://` TLS. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}

export type Answer<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: string }

/** All that is ever asked of an engine. */
export interface DockerApi {
  readonly events: (onLine: (line: string) => void, signal: AbortSignal) => Promise<LineAnswer>
  readonly list: (signal: AbortSignal) => Promise<Answer<readonly Container[]>>
  /** Null: the engine knows no such container. */
  readonly inspect: (id: string, signal: AbortSignal) => Promise<Answer<Container | null>>
  readonly close: () => void
}

/**
 * The allow-list: who may reach a Docker socket may do anything with its host, so no path is made anywhere else, and
 * the client can only GET. Paths carry no version: the engine answers with its own.
 */
const paths = {
  events: `/events?filters=${encodeURIComponent(JSON.stringify({ type: ['container', 'network'], event: followedActions }))}`,
  list: '/containers/json?all=1',
  /** Null: not the id of a container. */
  container: (id: string) => (/^[0-9a-f]{64}$/.test(id) ? `/containers/${id}/json` : null),
}

/** Reads the files of the endpoint, so that renewed ones count with the next call. Nothing is dialled yet. */
export async function dockerApi(
  endpoint: DockerEndpoint,
  limits: { readonly timeout: Ms; readonly maxBytes: number },
): Promise<Answer<DockerApi>> {
  const [ca, cert, key] = await Promise.all([endpoint.ca, endpoint.cert, endpoint.key].map(readPem))
  for (const file of [ca, cert, key]) if (file?.ok === false) return file
  const tls = { ca: pemOf(ca), cert: pemOf(cert), key: pemOf(key) }
  const hasTls = tls.ca !== null || tls.cert !== null || tls.key !== null
  const client = httpClient(endpoint.url, { ...limits, tls: hasTls ? tls : null })
  return {
    ok: true,
    value: {
      events: (onLine, signal) => client.getLines(paths.events, onLine, signal),
      list: (signal) => list(client, signal),
      inspect: (id, signal) => inspect(client, id, signal),
      close: client.close,
    },
  }
}

async function readPem(file: string | null): Promise<Answer<string | null>> {
  if (file === null) return { ok: true, value: null }
  try {
    return { ok: true, value: await readFile(file, 'utf8') }
  } catch (error) {
    return { ok: false, error: messageOf(error) }
  }
}

function pemOf(file: Answer<string | null> | undefined): string | null {
  return file?.ok ? file.value : null
}

async function list(client: HttpClient, signal: AbortSignal): Promise<Answer<readonly Container[]>> {
  const answer = await client.getJson(paths.list, signal)
  if (!answer.ok) return answer
  const value = decodeList(answer.value)
  return value === null ? { ok: false, error: `GET ${paths.list}: expected a list of containers` } : { ok: true, value }
}

async function inspect(client: HttpClient, id: string, signal: AbortSignal): Promise<Answer<Container | null>> {
  const path = paths.container(id)
  if (path === null) return { ok: false, error: 'expected the id of a container' }
  const answer = await client.getJson(path, signal)
  if (!answer.ok) return answer.status === 404 ? { ok: true, value: null } : answer
  const value = decodeContainer(answer.value)
  return value?.id === id ? { ok: true, value } : { ok: false, error: `GET ${path}: expected container ${id}` }
}
