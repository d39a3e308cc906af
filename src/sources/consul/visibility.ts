import type { Instance } from '../../types.ts'
import type { Answer, Failure } from './answer.ts'
import type { Client, Read } from './client.ts'
import { decodeHealthEntries, decodeNodeServices, decodeServices } from './decode.ts'

/**
 * Tells what has left from what ACLs hide. To be filtered is normal for a token of least privilege and says nothing by
 * itself; but when something known is missing from a filtered answer, it has either left or become invisible. Consul
 * says which of the two when it is asked for that alone: an answer that hides it is filtered, one that has nothing to
 * hide is not (1.13.9).
 */

const lessVisible = 'the token may see less than before (filtered by ACLs)'

/** Consistent reads, without waiting. */
export interface Ask {
  /** The same only once. */
  readonly once: (read: Read) => Promise<Answer | Failure>
  readonly again: (read: Read) => Promise<Answer | Failure>
}

export function asker(client: Client, signal: AbortSignal): Ask {
  const asked = new Map<string, Promise<Answer | Failure>>()
  const again: Ask['again'] = (read) => client.read(read, { index: null, consistent: true }, signal)
  const once: Ask['once'] = (read) => {
    const key = JSON.stringify(read)
    const answer = asked.get(key) ?? again(read)
    asked.set(key, answer)
    return answer
  }
  return { once, again }
}

export interface Gone {
  readonly kind: 'gone'
}

/** It may be there: ACLs hide it, or Consul does not answer. */
export interface Hidden {
  readonly kind: 'hidden'
  readonly why: string
}

export type PartitionFate = Gone | Hidden | { readonly kind: 'listed' }
export type InstanceFate = Gone | Hidden | { readonly kind: 'registered'; readonly instance: Instance }

const gone: Gone = { kind: 'gone' }
const hidden: Hidden = { kind: 'hidden', why: lessVisible }

/** What became of a partition that a listing lacks. `read` asks for it alone; `isThere` is null when that is no answer. */
export async function fateOfPartition(
  ask: Ask,
  read: Read,
  isThere: (body: unknown) => boolean | null,
): Promise<PartitionFate> {
  const answer = await decoded(ask.once, read, isThere)
  if (answer.kind === 'hidden') return answer
  if (answer.value) return { kind: 'listed' }
  return answer.isFiltered ? hidden : gone
}

/** A read that says which instances are registered. */
export type RegistryRead = Extract<Read, { readonly filter: string | null }>

/** What became of an instance that the answer to `read` lacks, which was filtered. */
export async function fateOfInstance(
  ask: Ask,
  read: RegistryRead,
  instance: Instance,
  prefix: string,
): Promise<InstanceFate> {
  const fate = await fateByService(ask, instance, prefix)
  if (fate.kind !== 'registered' || read.filter === null) return fate
  // it can be seen: the expression leaves it out, or `catalog/node` hides it by its id, of all things
  const has = (body: unknown) => hasInstance(read, body, instance, prefix)
  const whole = await decoded(ask.again, { ...read, filter: null }, has)
  if (whole.kind === 'hidden') return whole
  if (!whole.value) return fate
  const chosen = await decoded(ask.again, read, has)
  if (chosen.kind === 'hidden') return chosen
  return chosen.value ? fate : gone
}

/**
 * An instance is seen by who may read its service and its node. Rights may change between two reads: what is to be seen by
 * rights has left only if an answer lacks it that was asked for after that.
 */
async function fateByService(ask: Ask, { key, node: name, service }: Instance, prefix: string): Promise<InstanceFate> {
  const read: RegistryRead = { of: 'health/service', name: service, filter: null }
  const find = (body: unknown) => {
    const entries = decodeHealthEntries(body, prefix)
    return entries === null ? null : { instance: entries.find((entry) => entry.key === key) }
  }
  const first = await decoded(ask.once, read, find)
  if (first.kind === 'hidden') return first
  if (first.value.instance !== undefined) return { kind: 'registered', instance: first.value.instance }
  if (!first.isFiltered) return gone

  const node = await decoded(ask.once, { of: 'catalog/node', name, filter: null }, decodeNodeServices)
  if (node.kind === 'hidden') return node
  if (node.value === 'gone') return node.isFiltered ? hidden : gone
  // this list asks for no right to nodes
  const services = await decoded(ask.once, { of: 'catalog/services' }, decodeServices)
  if (services.kind === 'hidden') return services
  if (!services.value.has(service)) return hidden

  const second = await decoded(ask.again, read, find)
  if (second.kind === 'hidden') return second
  return second.value.instance === undefined ? gone : { kind: 'registered', instance: second.value.instance }
}

function hasInstance({ of }: RegistryRead, body: unknown, { id, key }: Instance, prefix: string): boolean | null {
  if (of === 'health/service') return decodeHealthEntries(body, prefix)?.some((entry) => entry.key === key) ?? null
  const node = decodeNodeServices(body)
  return node === null ? null : node !== 'gone' && node.services.has(id)
}

interface Decoded<T> {
  readonly kind: 'decoded'
  readonly value: T
  readonly isFiltered: boolean
}

async function decoded<T>(
  ask: Ask['once'],
  read: Read,
  decode: (body: unknown) => T | null,
): Promise<Decoded<T> | Hidden> {
  const answer = await ask(read)
  if (answer.kind === 'failed') return { kind: 'hidden', why: `${read.of}: ${answer.why}` }
  const value = decode(answer.body)
  if (value === null) return { kind: 'hidden', why: `${read.of}: expected another kind of document` }
  return { kind: 'decoded', value, isFiltered: answer.isFiltered }
}
