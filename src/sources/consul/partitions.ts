import { isDeepStrictEqual } from 'node:util'
import { pause } from '../../backoff.ts'
import type { CatalogObservation, Evidence, Instance, Ms, PartitionObservation } from '../../types.ts'
import type { Report, SourceStatus } from '../source.ts'
import { keepUnchanged } from './decode.ts'

/**
 * What was last learned of each partition and of the listing that names them, and the one place that reports it.
 * Queries tell it what became of them; it decides when that is worth a report.
 */

export interface PartitionTable {
  /** The listing answered. Returns the names that are new and those that have left. */
  readonly listed: (list: Listed) => { readonly added: readonly string[]; readonly removed: readonly string[] }
  readonly listingFailed: (why: string) => void
  /** A query answered, so that the partition is now `instances`, and what is hidden. */
  readonly answered: (name: string, query: string, instances: readonly Instance[], doubt: Doubt | null) => void
  /** A query answered what can't be believed: the partition keeps its value, in doubt. */
  readonly doubted: (name: string, query: string, why: string) => void
  /** A query answered that nothing has changed. */
  readonly confirmed: (name: string, query: string) => void
  /** A query failed: the partition keeps its value. */
  readonly failed: (name: string, query: string, why: string) => void
  readonly names: () => ReadonlySet<string>
}

/** What a listing tells: all other partitions than these have left. */
export interface Listed {
  readonly names: readonly string[]
  /** Those that it lacks, and that stay in doubt. */
  readonly hidden: ReadonlySet<string>
  readonly doubt: string | null
}

export interface Doubt {
  readonly why: string
  /** Keys of the instances that may be there all the same; null: any. */
  readonly hidden: ReadonlySet<string> | null
}

/** Of a partition, or of the listing. */
interface Track {
  value: readonly Instance[]
  /** When it was last fresh. */
  at: Ms | null
  /** It has answered or failed, and: it has answered. */
  hasSpoken: boolean
  hasAnswered: boolean
  /** By query; with a number that tells which is the newest. */
  readonly failures: Map<string, { readonly why: string; readonly order: number }>
  doubt: Doubt | null
  /** Missing from a doubtful listing, or (of the listing) that it is one. */
  listingDoubt: string | null
  observation: PartitionObservation | null
}

export interface TableContext {
  readonly by: CatalogObservation['by']
  readonly report: (report: Report<CatalogObservation>) => void
  readonly now: () => Ms
  /** Failed requests since the start of the source. */
  readonly errors: () => number
  readonly note: () => string | null
  /** How long partitions that can't be read hold up the first report. */
  readonly patience: Ms
  readonly signal: AbortSignal
}

/** Reports that tell nothing but a newer time of confirmation, or one more error of the same kind, are this far apart. */
const confirmationEvery: Ms = 10_000
const errorsEvery: Ms = 1000

export function partitionTable(context: TableContext): PartitionTable {
  const { now } = context
  const listing = newTrack()
  const tracks = new Map<string, Track>()
  const plan = createReporter(context, listing, tracks)
  let failures = 0

  function fail(track: Track, query: string, why: string): void {
    failures += 1
    track.failures.set(query, { why, order: failures })
    track.hasSpoken = true
    plan()
  }

  function settle(track: Track, query: string): void {
    track.failures.delete(query)
    track.hasSpoken = true
    track.hasAnswered = true
    if (evidenceOf(track) === 'fresh') track.at = now()
    plan()
  }

  return {
    listed: ({ names, hidden, doubt }) => {
      const present = new Set(names)
      const added = [...present].filter((name) => !tracks.has(name))
      const removed = [...tracks.keys()].filter((name) => !present.has(name) && !hidden.has(name))
      for (const name of added) tracks.set(name, newTrack())
      for (const name of removed) tracks.delete(name)
      for (const [name, track] of tracks) track.listingDoubt = present.has(name) ? null : doubt
      listing.listingDoubt = doubt
      settle(listing, 'listing')
      return { added, removed }
    },
    listingFailed: (why) => fail(listing, 'listing', why),
    answered: (name, query, instances, doubt) => {
      const track = tracks.get(name)
      if (track === undefined) return
      track.value = keepUnchanged(track.value, instances)
      track.doubt = isDeepStrictEqual(track.doubt, doubt) ? track.doubt : doubt
      settle(track, query)
    },
    doubted: (name, query, why) => {
      const track = tracks.get(name)
      if (track === undefined) return
      track.doubt = { why, hidden: null }
      settle(track, query)
    },
    confirmed: (name, query) => {
      const track = tracks.get(name)
      if (track !== undefined) settle(track, query)
    },
    failed: (name, query, why) => {
      const track = tracks.get(name)
      if (track !== undefined) fail(track, query, why)
    },
    names: () => new Set(tracks.keys()),
  }
}

function newTrack(): Track {
  return {
    value: [],
    at: null,
    hasSpoken: false,
    hasAnswered: false,
    failures: new Map(),
    doubt: null,
    listingDoubt: null,
    observation: null,
  }
}

/** Returns what plans a report: many changes of one turn of the event loop make one. */
function createReporter(context: TableContext, listing: Track, tracks: ReadonlyMap<string, Track>): () => void {
  const { signal, patience } = context
  let isPatient = true
  let value: CatalogObservation | null = null
  let last: SourceStatus | null = null
  let reportedAt = Number.NEGATIVE_INFINITY
  let isPlanned = false

  /** Enough is known for a first value. What can't be read at all (its name, say) holds it up for a while only. */
  function isComplete(): boolean {
    const all = [...tracks.values()]
    const isReadable = all.length === 0 || all.some((track) => track.hasAnswered)
    return (
      listing.at !== null && isReadable && all.every((track) => track.hasAnswered || (!isPatient && track.hasSpoken))
    )
  }

  function observe(): CatalogObservation | null {
    if (value === null && !isComplete()) return null
    const partitions = new Map<string, PartitionObservation>()
    for (const [name, track] of tracks) {
      if (!track.hasSpoken) continue
      track.observation = keepObservation(track.observation, observationOf(track))
      partitions.set(name, track.observation)
    }
    const before: CatalogObservation | null = value
    const isSame =
      before !== null &&
      before.partitions.size === partitions.size &&
      [...partitions].every(([name, observation]) => before.partitions.get(name) === observation)
    return isSame ? before : { by: context.by, partitions }
  }

  function flush(): void {
    isPlanned = false
    if (signal.aborted) return
    const observed = observe()
    const status = statusOf(context, observed, listing, tracks)
    const elapsed = performance.now() - reportedAt
    const isDue =
      observed !== value ||
      last === null ||
      changesState(last, status) ||
      (elapsed >= errorsEvery && (last.errors !== status.errors || last.error !== status.error)) ||
      (elapsed >= confirmationEvery && last.at !== status.at)
    if (!isDue) return
    value = observed
    last = status
    reportedAt = performance.now()
    context.report({ value, status })
  }

  function plan(): void {
    if (isPlanned || signal.aborted) return
    isPlanned = true
    setImmediate(flush)
  }

  void pause(patience, signal).then(() => {
    isPatient = false
    plan()
  })
  return plan
}

function changesState(before: SourceStatus, after: SourceStatus): boolean {
  return (
    before.state !== after.state ||
    before.note !== after.note ||
    (before.error === null) !== (after.error === null) ||
    before.partitions.total !== after.partitions.total ||
    before.partitions.stale !== after.partitions.stale
  )
}

function keepObservation(before: PartitionObservation | null, after: PartitionObservation): PartitionObservation {
  const isSame =
    before !== null &&
    before.value === after.value &&
    before.evidence === after.evidence &&
    before.why === after.why &&
    before.hidden === after.hidden
  return isSame ? before : after
}

function newestFailure(tracks: Iterable<Track>): string | null {
  let newest = { why: '', order: 0 }
  for (const track of tracks) {
    for (const failure of track.failures.values()) if (failure.order > newest.order) newest = failure
  }
  return newest.order === 0 ? null : newest.why
}

function doubtOf(track: Track): string | null {
  return track.doubt?.why ?? track.listingDoubt
}

function evidenceOf(track: Track): Evidence {
  if (track.failures.size > 0) return 'stale'
  return doubtOf(track) === null ? 'fresh' : 'doubtful'
}

const nothing: ReadonlySet<string> = new Set()

function observationOf(track: Track): PartitionObservation {
  const evidence = evidenceOf(track)
  const why = evidence === 'stale' ? newestFailure([track]) : evidence === 'doubtful' ? doubtOf(track) : null
  // what was never fresh was never confirmed: the epoch
  const observation = { value: track.value, evidence, why, at: track.at ?? 0 }
  // a doubt of the listing is none of what the partition has
  const hidden = track.doubt === null ? nothing : track.doubt.hidden
  return evidence !== 'doubtful' || hidden === null ? observation : { ...observation, hidden }
}

function statusOf(
  context: TableContext,
  value: CatalogObservation | null,
  listing: Track,
  tracks: ReadonlyMap<string, Track>,
): SourceStatus {
  const all = [listing, ...tracks.values()]
  const isStale = all.some((track) => evidenceOf(track) === 'stale')
  const doubt = all.map(doubtOf).find((why) => why !== null) ?? null
  // what was never read (Consul refuses its very name, say) would else hide how old all others are
  const times = all.flatMap(({ at }) => (at === null ? [] : [at]))
  return {
    state: value === null ? 'waiting' : isStale ? 'stale' : doubt === null ? 'fresh' : 'doubtful',
    at: listing.at === null ? null : Math.min(...times),
    error: newestFailure(all) ?? doubt,
    errors: context.errors(),
    partitions: {
      total: tracks.size,
      stale: [...tracks.values()].filter((track) => evidenceOf(track) === 'stale').length,
    },
    note: context.note(),
  }
}
