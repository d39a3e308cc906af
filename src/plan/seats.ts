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
 * `parts` is what the running structure is made of, `changed` which of them are others in the wanted one.
 */
export function planSeats(
  { seats, servers }: Running,
  { backends }: Model,
  parts: Candidate['parts'] | null,
  changed: readonly string[],
): Seating {
  if (seats === null || parts === null) return nobody
  const found = new Map<BackendId, 'in-spare' | 'section'>()
  const steps: Step[] = []
  let free: string[] | null = null
  for (const id of changed) {
    const backend = backends.get(id)
    if (backend === undefined || parts.has(id)) continue
    const seat = seats.get(id)
    // what it asks for now may be something else than its seat has
    if (seat !== undefined) found.set(id, fits(seat, backend.section) ? 'in-spare' : 'section')
    else {
      free ??= freeSpares(parts, seats, servers)
      if (takeSeat(backend, free, steps)) found.set(id, 'in-spare')
    }
  }
  return { seats: found, steps }
}

function freeSpares(
  parts: Candidate['parts'],
  seats: NonNullable<Running['seats']>,
  servers: Running['servers'],
): string[] {
  const taken = new Set(seats.values())
  return [...parts.keys()].filter((id) => isSpare(id) && !taken.has(id) && !servers.has(id))
}

function takeSeat({ id, section }: Backend, free: string[], steps: Step[]): boolean {
  const at = free.findIndex((spare) => fits(spare, section))
  const [spare] = at === -1 ? [] : free.splice(at, 1)
  if (spare === undefined) return false
  steps.push({ do: 'seat', backend: id, spare })
  return true
}
