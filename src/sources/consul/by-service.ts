import type { Ms } from '../../types.ts'
import { failure } from './answer.ts'
import { filterJudge, followQuery, type Query } from './blocking-query.ts'
import { decodeHealthEntries, decodeServices } from './decode.ts'
import { followListing, type Listing, type Scheme } from './scheme.ts'

/**
 * One blocking query per exposed service. The smallest answers and no needless wake-up, as long as few services are
 * exposed; every registration anywhere wakes the listing, so it is asked at most once a second.
 */

const listingInterval: Ms = 1000

const hidden = 'no instance at all, without a token and with a default of deny: the catalog is hidden'

export async function followServices(scheme: Scheme, exposeBy: 'tag' | 'all', signal: AbortSignal): Promise<void> {
  const listing: Listing = {
    read: { of: 'catalog/services' },
    interval: listingInterval,
    names: ({ body }) => exposedServices(body, scheme.prefix, exposeBy),
    doubt: ({ body, isAnonymous }) =>
      isAnonymous && decodeServices(body)?.size === 0
        ? 'no service at all, without a token and with a default of deny: the catalog is hidden'
        : null,
  }
  await followListing(scheme, listing, (name, life) => followService(scheme, name, life), signal)
}

/** Names of the services in `GET /v1/catalog/services` that are ours; null when it isn't that. */
export function exposedServices(body: unknown, prefix: string, exposeBy: 'tag' | 'all'): readonly string[] | null {
  const services = decodeServices(body)
  if (services === null) return null
  const isOurs = (tag: string) => tag === prefix || tag.startsWith(`${prefix}.`)
  return [...services].filter(([, tags]) => exposeBy === 'all' || tags.some(isOurs)).map(([name]) => name)
}

async function followService(scheme: Scheme, name: string, signal: AbortSignal): Promise<void> {
  const { client, table, prefix, filter, random } = scheme
  const query: Query = {
    read: { of: 'health/service', name, filter },
    from: null,
    interval: 0,
    judge: filterJudge(),
    onAnswer: ({ answer, doubt }) => {
      const instances = decodeHealthEntries(answer.body, prefix)
      if (instances === null) return failure('expected a list, got something else', 200)
      // it is listed, so it has an instance; who has no token is not told when those are hidden
      const isHidden = instances.length === 0 && answer.isAnonymous && filter === null
      table.answered(name, 'health/service', instances, doubt ?? (isHidden ? hidden : null))
      return null
    },
    onFailure: (problem) => {
      table.failed(name, 'health/service', `health/service: ${problem.why}`)
      scheme.onFailure(problem)
    },
  }
  await followQuery(client, query, random, signal)
}
