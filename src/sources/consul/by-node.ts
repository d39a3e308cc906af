import { pause } from '../../backoff.ts'
import type { Instance, Ms } from '../../types.ts'
import { type Answer, type Failure, failure } from './answer.ts'
import { followQuery, type Query, type Told } from './blocking-query.ts'
import type { Client, Read } from './client.ts'
import {
  type Checks,
  decodeCheck,
  decodeNodeServices,
  decodeNodes,
  decodeRegistration,
  isSameChecks,
  joinNode,
  type Registered,
  registeredOf,
  sumOfChecks,
} from './decode.ts'
import { longListReader } from './long-list.ts'
import { type PartitionView, partitionView } from './partition-view.ts'
import { followListing, type Listing, type Scheme } from './scheme.ts'
import { fateOfPartition, type RegistryRead } from './visibility.ts'

/**
 * Two blocking queries per node: what is registered there, and its checks. The cost of a change does not grow with
 * the catalog, and a node that fails is one wake-up.
 *
 * The two answers are of different moments, and a service without checks counts as passing. So they are published in
 * pairs: where what has come tells of services or of lost checks that the other answer may be too old for, that is waited for
 * a moment, since most often it is just coming, else read once more; and a pair in which the later answer shows that the earlier
 * one is out of date is completed by reading that again. Most changes need no such reading.
 */

export async function followNodes(scheme: Scheme, signal: AbortSignal): Promise<void> {
  const listing: Listing = {
    read: { of: 'catalog/nodes' },
    interval: 0,
    names: ({ body }) => decodeNodes(body),
    // a catalog always has the node of its server
    doubt: (_, names) => (names.length === 0 ? 'no node at all: the catalog is hidden' : null),
    fateOf: (name, ask) =>
      fateOfPartition(ask, { of: 'catalog/node', name, filter: null }, (body) => {
        const services = decodeNodeServices(body)
        return services === null ? null : services !== 'gone'
      }),
  }
  await followListing(scheme, listing, (name, life) => followNode(scheme, name, life), signal)
}

/** A decoded answer with its place in the order of answers. */
interface Taken<T> {
  readonly kind: 'taken'
  readonly value: T
  readonly index: bigint | null
  readonly isFiltered: boolean
}

/** `gone`: Consul does not know the node, which counts when `catalog/nodes` says so too. */
type Nothing = { readonly kind: 'gone' } | Failure
type Half<T> = Taken<T> | Nothing
/** `relapsed`: nothing of the answer is taken. `known`: it tells nothing new. */
type Outcome = Pair | Nothing | { readonly kind: 'relapsed'; readonly why: string } | { readonly kind: 'known' }

interface Endpoint<T> {
  readonly read: Read
  readonly take: (answer: Answer) => Half<T>
  /** Reads it once, without blocking. */
  readonly once: (consistent: boolean) => Promise<Half<T>>
}

interface Pair {
  readonly kind: 'pair'
  readonly services: Taken<Registered>
  readonly checks: Taken<Checks>
}

/** That the answer of the other query is waited for. */
const longestApart: Ms = 50
/** After so many rereads a pair is taken as it is: the next wake-up completes it. */
const mostRereads = 4

async function followNode(scheme: Scheme, name: string, signal: AbortSignal): Promise<void> {
  const { client, table, prefix, filter, random } = scheme
  const registry: RegistryRead = { of: 'catalog/node', name, filter }
  const view = partitionView(scheme, registry, signal)
  let known: Pair | null = null
  const readServices = longListReader('Services', (raw, of) => decodeRegistration(raw, of, prefix))
  const readChecks = longListReader(null, decodeCheck)
  const decodeServices = (body: Buffer) => {
    const { rest, entries } = readServices(body)
    const found = decodeNodeServices(rest)
    if (found === null || found === 'gone') return found
    const instances = entries.filter((instance) => instance !== null)
    return registeredOf(instances, known?.services.value)
  }
  const decodeChecks = (body: Buffer) => {
    const { rest, entries } = readChecks(body)
    return Array.isArray(rest) ? sumOfChecks(entries) : null
  }
  const services = endpoint(client, registry, decodeServices, signal)
  const checks = endpoint(client, { of: 'health/node', name }, decodeChecks, signal)
  const inTurn = sequence()
  const [servicesTold, checksTold] = [bell(), bell()]
  let checksFollowed: Promise<void> | null = null

  async function onServices(told: Told): Promise<Outcome> {
    const taken = services.take(told.answer)
    if (taken.kind !== 'taken') return taken
    if (known !== null && view.isWhole()) {
      if (tellsNothing(taken, known.services, told, (a, b) => a === b)) return { kind: 'known' }
      const pair: Pair = { kind: 'pair', services: taken, checks: known.checks }
      if (isComplete(pair, told) && !lacksChecks(known, pair)) return pair
    }
    const found = await checks.once(told.isResync)
    if (found.kind !== 'taken') return found
    const first: Pair = { kind: 'pair', services: taken, checks: found }
    return settle(services, checks, known, first, null, told.isResync)
  }

  async function onChecks(told: Told): Promise<Outcome> {
    const taken = checks.take(told.answer)
    if (taken.kind !== 'taken') return taken
    if (known === null) return { kind: 'known' }
    if (view.isWhole()) {
      if (tellsNothing(taken, known.checks, told, isSameChecks)) return { kind: 'known' }
      const pair: Pair = { kind: 'pair', services: known.services, checks: taken }
      if (isComplete(pair, told) && !hasLostChecks(known, pair)) return pair
    }
    const found = await services.once(told.isResync)
    if (found.kind !== 'taken') return found
    const first: Pair = { kind: 'pair', services: found, checks: taken }
    return settle(services, checks, known, first, known.services, told.isResync)
  }

  async function publish(query: string, outcome: Outcome): Promise<Failure | 'doubtful' | null> {
    switch (outcome.kind) {
      case 'known':
        table.confirmed(name, query)
        return null
      case 'failed':
        return outcome
      case 'gone':
        return failure('the node is listed, but not known', 200)
      case 'relapsed':
        return view.doubt(query, outcome.why)
      case 'pair': {
        const before = known
        known = outcome
        const { services, checks } = outcome
        const shown = joinNode(services.value, checks.value).filter(isShown(checks, before, view))
        return view.show(query, shown, services.isFiltered || checks.isFiltered)
      }
    }
  }

  /** Checks come and leave together with their service, and then the other query is just being answered. */
  async function awaitOther(query: Read['of'], { answer, relapse }: Told): Promise<void> {
    if (known === null || relapse !== null) return
    if (query === 'health/node') {
      const taken = checks.take(answer)
      if (taken.kind !== 'taken' || !hasLostChecks(known, { ...known, checks: taken })) return
      await servicesTold.next(longestApart, signal)
    } else if (known.checks.value.ofServices.size > 0) {
      const taken = services.take(answer)
      if (taken.kind !== 'taken' || !lacksChecks(known, { ...known, services: taken })) return
      await checksTold.next(longestApart, signal)
    }
  }

  function query<T>(of: Endpoint<T>, from: bigint | null, onAnswer: (told: Told) => Promise<Outcome>): Query {
    return {
      read: of.read,
      isRaw: true,
      from,
      interval: 0,
      onAnswer: async (told) => {
        await awaitOther(of.read.of, told)
        const taken = await inTurn(async () => {
          const { relapse } = told
          return publish(of.read.of, relapse === null ? await onAnswer(told) : { kind: 'relapsed', why: relapse })
        })
        if (of.read.of === 'catalog/node') servicesTold.ring()
        else checksTold.ring()
        return taken
      },
      onFailure: (problem) => {
        table.failed(name, of.read.of, `${of.read.of}: ${problem.why}`)
        scheme.onFailure(problem)
      },
    }
  }

  const servicesQuery = query(services, null, async (told) => {
    const outcome = await onServices(told)
    if (outcome.kind === 'pair' && checksFollowed === null) {
      // the first answer of the other query has just been read
      checksFollowed = followQuery(client, query(checks, outcome.checks.index, onChecks), random, signal)
    }
    return outcome
  })
  await followQuery(client, servicesQuery, random, signal)
  await checksFollowed
}

/**
 * Completes a pair until its later half no longer shows that the earlier one is out of date. `before`: what was
 * registered when the checks were read; null when the checks are the later half.
 */
async function settle(
  services: Endpoint<Registered>,
  checks: Endpoint<Checks>,
  known: Pair | null,
  first: Pair,
  before: Taken<Registered> | null,
  isResync: boolean,
): Promise<Pair | Nothing> {
  let next = first
  let earlier = before
  for (let rereads = 0; rereads < mostRereads; rereads += 1) {
    if (earlier === null) {
      if (!hasLostChecks(known, next)) break
      const again = await services.once(isResync)
      if (again.kind !== 'taken') return again
      earlier = next.services
      next = { ...next, services: again }
    } else {
      if (!hasNewService(earlier, next.services)) break
      const again = await checks.once(isResync)
      if (again.kind !== 'taken') return again
      earlier = null
      next = { ...next, checks: again }
    }
  }
  return next
}

function endpoint<T>(
  client: Client,
  read: Read,
  decode: (body: Buffer) => T | 'gone' | null,
  signal: AbortSignal,
): Endpoint<T> {
  const taken = new WeakMap<Answer, Half<T>>()
  const halfOf: (answer: Answer) => Half<T> = ({ body, index, isFiltered }) => {
    const value = Buffer.isBuffer(body) ? decode(body) : null
    if (value === null) return failure('expected another kind of document', 200)
    return value === 'gone' ? { kind: 'gone' } : { kind: 'taken', value, index, isFiltered }
  }
  const take: Endpoint<T>['take'] = (answer) => {
    const half = taken.get(answer) ?? halfOf(answer)
    taken.set(answer, half)
    return half
  }
  return {
    read,
    take,
    once: async (consistent) => {
      const answer = await client.read(read, { index: null, consistent, isRaw: true }, signal)
      return answer.kind === 'failed' ? answer : take(answer)
    },
  }
}

/** Lets others wait for the next time that something happens, but not longer than so long. */
function bell(): {
  readonly ring: () => void
  readonly next: (longest: Ms, signal: AbortSignal) => Promise<unknown>
} {
  let waiting: (() => void)[] = []
  return {
    ring: () => {
      for (const resolve of waiting) resolve()
      waiting = []
    },
    next: (longest, signal) =>
      Promise.race([new Promise<void>((resolve) => waiting.push(resolve)), pause(longest, signal)]),
  }
}

/** Runs what it is given one after the other. */
function sequence(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const result = last.then(work)
    last = result.catch(() => {})
    return result
  }
}

/** The answer is what is known, or was overtaken by a later one while it waited for its turn. */
function tellsNothing<T>(taken: Taken<T>, known: Taken<T>, told: Told, isSame: (a: T, b: T) => boolean): boolean {
  const isOvertaken = taken.index !== null && known.index !== null && taken.index < known.index
  return (isOvertaken && !told.isResync) || isSame(taken.value, known.value)
}

/** Nothing of it is hidden, or has to be made sure of. */
function isComplete({ services, checks }: Pair, told: Told): boolean {
  return !services.isFiltered && !checks.isFiltered && !told.isResync
}

/** A service is new, and the checks are of a moment before it was registered. */
function lacksChecks(known: Pair, { services, checks }: Pair): boolean {
  const isAsNew = services.index !== null && checks.index !== null && checks.index >= services.index
  return !isAsNew && hasNewService(known.services, services)
}

/** False for what would pass only because ACLs hide its checks: they go by the service's name, the services by their ids. */
function isShown(checks: Taken<Checks>, before: Pair | null, view: PartitionView): (instance: Instance) => boolean {
  return ({ id, key }) => {
    const hadChecks = before?.checks.value.ofServices.has(id) === true || view.isHidden(key)
    return !checks.isFiltered || !hadChecks || checks.value.ofServices.has(id)
  }
}

/** A service is still listed, but its checks have gone: it may have been deregistered in between. */
function hasLostChecks(known: Pair | null, next: Pair): boolean {
  if (known === null) return false
  const { ofServices } = next.checks.value
  const services = next.services.value
  return [...known.checks.value.ofServices.keys()].some((id) => !ofServices.has(id) && services.has(id))
}

/** A service was registered in between: the earlier answer may lack its checks. */
function hasNewService(earlier: Taken<Registered>, later: Taken<Registered>): boolean {
  return [...later.value].some(([id, { createIndex }]) => earlier.value.get(id)?.createIndex !== createIndex)
}
