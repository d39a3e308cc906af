import type { Backend, SectionOptions } from '../types.ts'

/**
 * Spare backends: sections without servers that are declared ahead, so that a new service needs no reload
 * (docs/decisions/010). Which one a backend has taken stands in seats.map of the running worker. A spare serves one backend in
 * the life of a worker; the next reload gives the backend a section of its own.
 */

/** What a section prints; the rest of its options travels with each server, so any spare of that kind will do. */
type Kind = Pick<SectionOptions, 'balance' | 'sticky'>

interface Shelf {
  readonly prefix: string
  readonly kind: Kind
  /** Of all spares, one in so many. */
  readonly share: number
}

const shelves: readonly Shelf[] = [
  { prefix: ':spare', kind: { balance: 'roundrobin', sticky: null }, share: 1 },
  { prefix: ':sticky', kind: { balance: 'roundrobin', sticky: 'SRV' }, share: 4 },
]

const [fewest, most] = [16, 256]
const spareName = /^(:spare|:sticky)[1-9]\d{0,3}$/

export function isSpare(section: string): boolean {
  return spareName.test(section)
}

/** True when a backend with these options can sit in that spare. */
export function fits(spare: string, { balance, sticky }: SectionOptions): boolean {
  const prefix = spareName.exec(spare)?.[1]
  const kind = shelves.find((shelf) => shelf.prefix === prefix)?.kind
  return kind?.balance === balance && kind.sticky === sticky
}

/**
 * How many spares there are beside so many backends: one for every four, in powers of two, so that the number and with it the
 * structure seldom changes.
 */
export function spareCount(backends: number): number {
  return Math.min(most, Math.max(fewest, 2 ** Math.ceil(Math.log2(Math.max(1, backends / 4)))))
}

const made = new Map<number, readonly Backend[]>()

/** Sections for so many spares, and some sticky ones. The same number gives the same objects. */
export function sparesOf(count: number): readonly Backend[] {
  const known = made.get(count)
  if (known !== undefined) return known
  const spares = shelves.flatMap(({ prefix, kind, share }) =>
    Array.from({ length: Math.ceil(count / share) }, (_, index): Backend => {
      const section = { ...kind, maxconn: null, proto: 'http' } as const
      return { id: `${prefix}${index + 1}`, service: '', section, servers: [], drain: 0 }
    }),
  )
  made.set(count, spares)
  return spares
}
