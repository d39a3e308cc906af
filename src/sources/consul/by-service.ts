import type { Ms } from '../../types.ts'
import { failure } from './answer.ts'
import { followQuery, type Query, type Taken, type Told } from './blocking-query.ts'
import { decodeHealthEntries, decodeServices } from './decode.ts'
import { missing, partitionView } from './partition-view.ts'
import { followListing, type Listing, type Scheme } from './scheme.ts'
import { fateOfPartition, type RegistryRead } from './visibility.ts'

/**
 * One blocking query per exposed service. The smallest answers and no needless wake-up, as long as few services are
 * exposed; every registration anywhere wakes the listing, so it is asked at most once a second.
 */

const listingInterval: Ms = 1000

const hiddenFrom = 'without a token and with a default of deny: the catalog is hidden'

export async function followServices(scheme: Scheme, exposeBy: 'tag' | 'all', signal: AbortSignal): Promise<void> {
  const listing: Listing = {
    read: { of: 'catalog/services' },
    interval: listingInterval,
    // one that asks for nothing any more is followed on: that it is still registered is what tells it from one that has left
    names: ({ body }, known) => exposedServices(body, scheme.prefix, exposeBy, known),
    doubt: ({ isAnonymous }, names) => (isAnonymous && names.length === 0 ? `no service at all, ${hiddenFrom}` : null),
    fateOf: (name, ask) =>
      fateOfPartition(ask, { of: 'health/service', name, filter: null }, (body) => {
        const instances = decodeHealthEntries(body, scheme.prefix)
        return instances === null ? null : instances.length > 0
      }),
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
  const read: RegistryRead = { of: 'health/service', name, filter }
  const view = partitionView(scheme, read, signal)

  async function onAnswer({ answer, isResync, relapse }: Told): Promise<Taken> {
    if (relapse !== null) return view.doubt(read.of, relapse)
    // Consul answers a blocking query from a stream, without the header that tells what ACLs hide: what leaves is made sure of
    const isLoss = !isResync && missing(view.instances(), decodeHealthEntries(answer.body, prefix) ?? []).length > 0
    const sure = isLoss ? await client.read(read, { index: null, consistent: true }, signal) : answer
    if (sure.kind === 'failed') return sure
    const instances = decodeHealthEntries(sure.body, prefix)
    if (instances === null) return failure('expected a list, got something else', 200)
    // it is listed, so it has an instance; who has no token is not told when those are hidden
    const isHidden = instances.length === 0 && sure.isAnonymous && filter === null
    if (isHidden) return view.doubt(read.of, `no instance at all, ${hiddenFrom}`)
    return view.show(read.of, instances, sure.isFiltered)
  }

  const query: Query = {
    read,
    from: null,
    interval: 0,
    onAnswer,
    onFailure: (problem) => {
      table.failed(name, read.of, `${read.of}: ${problem.why}`)
      scheme.onFailure(problem)
    },
  }
  await followQuery(client, query, random, signal)
}
