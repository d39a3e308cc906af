import type { State } from '../control/state.ts'
import { sectionsOf } from '../haproxy/seats.ts'
import { serviceOfBackend } from '../model/backend-id.ts'
import { escapeUnprintable } from '../printable.ts'

/** A backend by the name of its section, and the service it is of. */
export interface BackendName {
  readonly backend: string
  readonly service: string
}

/**
 * Of the running worker, one for each section. What somebody else may have put into it (seats.map takes any text) is named by no
 * more than what is wanted or can be a backend of ours.
 */
export function backendsOf({ running, decision }: Pick<State, 'running' | 'decision'>): readonly BackendName[] {
  if (running === null) return []
  const wanted = decision?.model.backends ?? new Map<string, { readonly service: string }>()
  const sectionOf = sectionsOf(running.seats)
  const ids = new Set([...wanted.keys(), ...running.servers.keys(), ...(running.seats?.keys() ?? [])])
  const names = new Map<string, string>()
  for (const id of ids) {
    const service = wanted.get(id)?.service ?? serviceOfBackend(id)
    const section = sectionOf(id)
    if (service !== null && !names.has(section)) names.set(section, escapeUnprintable(service))
  }
  return [...names].map(([backend, service]) => ({ backend, service }))
}
