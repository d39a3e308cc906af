import type { Ms } from '../../types.ts'
import { type Answer, type Failure, failure } from './answer.ts'
import { followQuery, type Query } from './blocking-query.ts'
import type { Client, Read } from './client.ts'
import type { Listed, PartitionTable } from './partitions.ts'
import { type Ask, asker, type PartitionFate } from './visibility.ts'

/** What both ways of watching the catalog share: a listing that names the partitions, and a life for each of them. */

export interface Scheme {
  readonly client: Client
  readonly table: PartitionTable
  /** Prefix of our tags and meta keys. */
  readonly prefix: string
  readonly filter: string | null
  readonly random: () => number
  /** Told of every failure of a query, after the table. */
  readonly onFailure: (failure: Failure) => void
}

export interface Listing {
  readonly read: Read
  /** Shortest time from one request to the next. */
  readonly interval: Ms
  /** Names of the partitions, of which some are known already; null: not what was asked for. */
  readonly names: (answer: Answer, known: ReadonlySet<string>) => readonly string[] | null
  /** Why such a list is doubtful for its own sake. */
  readonly doubt: (answer: Answer, names: readonly string[]) => string | null
  /** What became of a partition that such a list lacks. */
  readonly fateOf: (name: string, ask: Ask) => Promise<PartitionFate>
}

/**
 * Keeps the listing going, and `follow` for each partition that it names. Resolves after `signal` was aborted and
 * everything begun here has ended.
 */
export async function followListing(
  scheme: Scheme,
  listing: Listing,
  follow: (name: string, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const lives = new Map<string, AbortController>()
  const ending = new Set<Promise<void>>()

  function begin(name: string): void {
    const life = new AbortController()
    lives.set(name, life)
    const end: Promise<void> = follow(name, life.signal).finally(() => ending.delete(end))
    ending.add(end)
  }

  function finish(name: string): void {
    lives.get(name)?.abort()
    lives.delete(name)
  }

  const finishAll = () => {
    for (const name of [...lives.keys()]) finish(name)
  }
  signal.addEventListener('abort', finishAll, { once: true })

  /** Makes sure of what is missing where ACLs may hide it, or where nothing is left. */
  async function settle(answer: Answer, names: readonly string[], missing: readonly string[]): Promise<Listed> {
    const listed = [...names]
    const hidden = new Set<string>()
    let doubt: string | null = null
    const ask = asker(scheme.client, signal)
    for (const name of answer.isFiltered || names.length === 0 ? missing : []) {
      const fate = await listing.fateOf(name, ask)
      if (fate.kind === 'listed') listed.push(name)
      if (fate.kind !== 'hidden') continue
      hidden.add(name)
      doubt ??= fate.why
    }
    return { names: listed, hidden, doubt }
  }

  const query: Query = {
    read: listing.read,
    from: null,
    interval: listing.interval,
    onAnswer: async ({ answer, relapse }) => {
      const known = scheme.table.names()
      const names = listing.names(answer, known)
      if (names === null) return failure(`expected a list from ${listing.read.of}, got something else`, 200)
      const present = new Set(names)
      const missing = [...known].filter((name) => !present.has(name))
      const doubt = relapse ?? listing.doubt(answer, names)
      const list = doubt === null ? await settle(answer, names, missing) : { names, hidden: new Set(missing), doubt }
      const { added, removed } = scheme.table.listed(list)
      removed.forEach(finish)
      added.forEach(begin)
      return list.doubt === null ? null : 'doubtful'
    },
    onFailure: (problem) => {
      scheme.table.listingFailed(`${listing.read.of}: ${problem.why}`)
      scheme.onFailure(problem)
    },
  }
  await followQuery(scheme.client, query, scheme.random, signal)
  await Promise.all(ending)
}
