import { fits, isSpare } from '../render/spares.ts'
import type { Backend, BackendId, Candidate, Model, Running, Step } from '../types.ts'

export interface Seating {
  /** Backends that the running configuration has no section for and that sit, or can sit, in a spare one. */
  readonly seats: ReadonlyMap<BackendId, 'in-spare' | 'section'>
  readonly steps: readonly Step[]
}

const nobody: Seating = { seats: new Map(), steps: [] }

/**
 * Gives a spare section to each backend that has none, as long as there are some that fit. A spare is never given twice in the
 * life of a worker: its statistics and the requests that still run in it belong to who had it first.
 *
 * `parts` is what the running structure is made of, `wanted` what the wanted one is; null: there is nothing to seat.
 */
export function planSeats(
  { seats, servers }: Running,
  { backends }: Model,
  parts: Candidate['parts'] | null,
  wanted: Candidate['parts'] | null,
): Seating {
  if (seats === null || parts === null || wanted === null) return nobody
  const taken = new Set(seats.values())
  const free = [...parts.keys()].filter((id) => isSpare(id) && !taken.has(id) && !servers.has(id))
  const found = new Map<BackendId, 'in-spare' | 'section'>()
  const steps: Step[] = []
  for (const [id, backend] of backends) {
    // a service may be called `global`, which is the name of another part
    if (parts.has(id) && id !== 'global') continue
    const seat = seats.get(id)
    // what it asks for now may be something else than its seat has
    if (seat !== undefined) found.set(id, fits(seat, backend.section) ? 'in-spare' : 'section')
    else if (takeSeat(backend, free, steps)) found.set(id, 'in-spare')
  }
  return { seats: found, steps }
}

function takeSeat({ id, section }: Backend, free: string[], steps: Step[]): boolean {
  const at = free.findIndex((spare) => fits(spare, section))
  const [spare] = at === -1 ? [] : free.splice(at, 1)
  if (spare === undefined) return false
  steps.push({ do: 'seat', backend: id, spare })
  return true
}
