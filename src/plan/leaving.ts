import type { Decision, Model, Ms, Plan, Running, Server, Step } from '../types.ts'

/** A server that takes its leave of the running HAProxy. Instants are monotonic. */
export interface Farewell {
  /** As it was while it was wanted; null: not known. */
  readonly server: Server | null
  readonly service: string
  /** What still runs on it is ended then. */
  readonly cutFrom: Ms
  readonly isCut: boolean
  /** How often it was tried to delete it. */
  readonly tries: number
  readonly nextTry: Ms
}

/** By backend and server name. */
export type Farewells = ReadonlyMap<string, Farewell>

export interface LeaveTaking {
  readonly farewells: Farewells
  /** What is due now. */
  readonly steps: readonly Step[]
  /** When something is due next; null: nobody leaves. */
  readonly nextAt: Ms | null
}

/** Where the option says nothing else. */
const defaultDrain: Ms = 30_000
const firstTry: Ms = 1_000
const longestPause: Ms = 5_000
/** How soon after its last requests were ended. */
const afterCut: Ms = 100

/**
 * Ends the servers that nobody wants any more: no new request comes to them (that is in the plan), those that run may finish for as
 * long as the service's `drain`, then they are ended. A server is deleted when nothing runs on it, which only HAProxy knows, so it
 * is asked to from time to time. Where the container is known to be gone, the requests are ended at once: its address may be
 * given to somebody else. `applied` is the model that the running servers were made from.
 */
export function takeLeave(
  before: Farewells,
  { leaving }: Plan,
  { servers }: Running,
  about: { readonly applied: Model | null; readonly endpoints: Decision['endpoints']; readonly now: Ms },
): LeaveTaking {
  const { applied, endpoints, now } = about
  const farewells = new Map<string, Farewell>()
  const steps: Step[] = []
  let nextAt: Ms | null = null
  for (const place of leaving) {
    const key = `${place.backend} ${place.server}`
    let farewell = before.get(key) ?? beginning(place, applied, now)
    if (!farewell.isCut && (now >= farewell.cutFrom || isGone(farewell, endpoints))) {
      steps.push({ do: 'shutdown', ...place })
      farewell = { ...farewell, isCut: true, nextTry: now + afterCut }
    }
    // one that is not in maintenance yet can't be deleted
    if (now >= farewell.nextTry && servers.get(place.backend)?.get(place.server)?.state === 'maint') {
      steps.push({ do: 'delete', ...place })
      const tries = farewell.tries + 1
      farewell = { ...farewell, tries, nextTry: now + Math.min(longestPause, firstTry * tries) }
    }
    farewells.set(key, farewell)
    const due = farewell.isCut ? farewell.nextTry : Math.min(farewell.nextTry, farewell.cutFrom)
    nextAt = Math.min(nextAt ?? due, due)
  }
  return { farewells, steps, nextAt }
}

function beginning({ backend, server }: Plan['leaving'][number], applied: Model | null, now: Ms): Farewell {
  const known = applied?.backends.get(backend)
  return {
    server: known?.servers.find(({ name }) => name === server) ?? null,
    service: known?.service ?? '',
    cutFrom: now + (known?.drain ?? defaultDrain),
    isCut: false,
    tries: 0,
    nextTry: now + firstTry,
  }
}

const losses: ReadonlySet<string> = new Set(['address-reused', 'container-gone'])

function isGone({ server, service }: Farewell, endpoints: Decision['endpoints']): boolean {
  if (server === null) return false
  const endpoint = endpoints.get(service)?.find(({ instance }) => instance.key === server.instance.key)
  return endpoint?.kind === 'dead' || (endpoint?.kind === 'unresolved' && losses.has(endpoint.problem.code))
}
