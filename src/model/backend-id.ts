import { hash } from 'node:crypto'
import { byText } from '../order.ts'
import type { Backend, BackendId, Model, SectionOptions } from '../types.ts'

const safeName = /^[A-Za-z0-9._-]{1,63}$/

function hex(text: string, digits: number): string {
  return hash('sha256', text).slice(0, digits)
}

/**
 * The name of a service where HAProxy sees it: its own, or `x:` and 24 hexadecimal digits for one that HAProxy
 * could not carry or that could be taken for something else in a file, a map or a command. So many that nobody finds a
 * second name with the same ones.
 */
export function safeServiceName(service: string): string {
  return safeName.test(service) ? service : `x:${hex(service, 24)}`
}

/**
 * Name of the backend section of a service for a route with these options: 6 hexadecimal digits over them follow the name
 * where they are not the service's `own`, so two routes that agree in them share a backend. A `:` is outside the names that
 * services keep, so no service can be given another one's section.
 */
export function backendIdOf(service: string, section: SectionOptions, own: SectionOptions): BackendId {
  const name = safeServiceName(service)
  const text = sectionText(section)
  return text === sectionText(own) ? name : `${name}:${hex(text, 6)}`
}

/** Null: the id does not tell it, as it is a digest of the name, or no id of ours. */
export function serviceOfBackend(id: BackendId): string | null {
  const [, name = ''] = /^([^:]*)(?::[0-9a-f]{6})?$/.exec(id) ?? []
  return safeName.test(name) ? name : null
}

function sectionText({ balance, sticky, maxconn, proto }: SectionOptions): string {
  return JSON.stringify([balance, sticky, maxconn, proto])
}

/** Backends of a model in byte order of their ids. */
export function inOrderOfIds({ backends }: Model): readonly Backend[] {
  const all: Backend[] = []
  let isInOrder = true
  backends.forEach((backend, id) => {
    isInOrder &&= (all.at(-1)?.id ?? '') < id
    all.push(backend)
  })
  return isInOrder ? all : all.sort((a, b) => byText(a.id, b.id))
}
