import type { Instance, Ms } from '../../types.ts'
import { failure } from './answer.ts'
import { filterJudge, followQuery, type Query, type Taken, type Told } from './blocking-query.ts'
import type { Read } from './client.ts'
import { decodeHealthEntries, decodeServices } from './decode.ts'
import { followListing, type Listing, type Scheme } from './scheme.ts'

/**
 * One blocking query per exposed service. The smallest answers and no needless wake-up, as long as few services are
 * exposed; every registration anywhere wakes the listing, so it is asked at most once a second.
 */

const listingInterval: Ms = 1000

const hiddenFrom = 'without a token and with a default of deny: the catalog is hidden'

export async function followServices(scheme: Scheme, exposeBy: 'tag' | 'all', signal: AbortSignal): Promise<void> {
  let followed: ReadonlySet<string> = new Set()
  const listing: Listing = {
    read: { of: 'catalog/services' },
    interval: listingInterval,
    // one that asks for nothing any more is followed on: that it is still registered is what tells it from one that has left
    names: ({ body }) => {
      const names = exposedServices(body, scheme.prefix, exposeBy, followed)
      if (names !== null) followed = new Set(names)
      return names
    },
    doubt: ({ isAnonymous }, names) => (isAnonymous && names.length === 0 ? `no service at all, ${hiddenFrom}` : null),
  }
  await followListing(scheme, listing, (name, life) => followService(scheme, name, life), signal)
}

/** Names of the services in `GET /v1/catalog/services` that are ours, or known already; null when it isn't that. */
export function exposedServices(
  body: unknown,
  prefix: string,
  exposeBy: 'tag' | 'all',
  known: ReadonlySet<string> = new Set(),
): readonly string[] | null {
  const services = decodeServices(body)
  if (services === null) return null
  const isOurs = (tag: string) => tag === prefix || tag.startsWith(`${prefix}.`)
  const isWanted = (name: string, tags: readonly string[]) => exposeBy === 'all' || known.has(name) || tags.some(isOurs)
  return [...services].filter(([name, tags]) => isWanted(name, tags)).map(([name]) => name)
}

async function followService(scheme: Scheme, name: string, signal: AbortSignal): Promise<void> {
  const { client, table, prefix, filter, random } = scheme
  const read: Read = { of: 'health/service', name, filter }
  const judge = filterJudge()
  let known: readonly Instance[] = []

  async function onAnswer({ answer, isResync, doubt }: Told): Promise<Taken> {
    // Consul answers a blocking query from a stream, without the header that tells what ACLs hide: what leaves is made sure of
    const isLoss = !isResync && hasLost(known, decodeHealthEntries(answer.body, prefix) ?? [])
    const sure = isLoss ? await client.read(read, { index: null, consistent: true }, signal) : answer
    if (sure.kind === 'failed') return sure
    const instances = decodeHealthEntries(sure.body, prefix)
    if (instances === null) return failure('expected a list, got something else', 200)
    // it is listed, so it has an instance; who has no token is not told when those are hidden
    const isHidden = instances.length === 0 && sure.isAnonymous && filter === null
    const why =
      doubt ?? (isResync || isLoss ? judge(sure) : null) ?? (isHidden ? `no instance at all, ${hiddenFrom}` : null)
    table.answered(name, read.of, instances, why)
    if (why !== null) return 'doubtful'
    known = instances
    return null
  }

  const query: Query = {
    read,
    from: null,
    interval: 0,
    judge: () => null,
    onAnswer,
    onFailure: (problem) => {
      table.failed(name, read.of, `${read.of}: ${problem.why}`)
      scheme.onFailure(problem)
    },
  }
  await followQuery(client, query, random, signal)
}

function hasLost(before: readonly Instance[], after: readonly Instance[]): boolean {
  const present = new Set(after.map(({ key }) => key))
  return before.some(({ key }) => !present.has(key))
}
