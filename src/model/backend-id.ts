import { createHash } from 'node:crypto'
import type { Backend, BackendId, Model, SectionOptions } from '../types.ts'

const safeName = /^[A-Za-z0-9._-]{1,63}$/

function hex(text: string, digits: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, digits)
}

/**
 * The name of a service where HAProxy sees it: its own, or `x:` and 24 hexadecimal digits for one that HAProxy
 * could not carry or that could be taken for something else in a file, a map or a command. So many that nobody finds a
 * second name with the same ones.
 */
export function safeServiceName(service: string): string {
  return safeName.test(service) ? service : `x:${hex(service, 24)}`
}

/** 6 hexadecimal digits over the options of a section: two routes of one service that agree in them share a backend. */
export function sectionHash(section: SectionOptions): string {
  return hex(JSON.stringify([section.balance, section.sticky, section.maxconn, section.proto]), 6)
}

/**
 * Name of the backend section of a service; `hash` (see `sectionHash`) is null for the service's own options.
 * A `:` is outside the names that services keep, so no service can be given another one's section.
 */
export function backendIdOf(service: string, hash: string | null): BackendId {
  const name = safeServiceName(service)
  return hash === null ? name : `${name}:${hash}`
}

/** Backends of a model in byte order of their ids. */
export function inOrderOfIds({ backends }: Model): readonly Backend[] {
  const ids = [...backends.keys()]
  const isInOrder = ids.every((id, index) => index === 0 || (ids[index - 1] ?? '') < id)
  return isInOrder ? [...backends.values()] : ids.sort().flatMap((id) => backends.get(id) ?? [])
}
