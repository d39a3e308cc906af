import { byText } from '../order.ts'
import { patched } from '../patched.ts'
import { changedKeys, sameItems } from '../same.ts'
import type {
  Catalog,
  CatalogObservation,
  Engine,
  Instance,
  Observation,
  PartitionObservation,
  WeaveReport,
  World,
} from '../types.ts'

/**
 * Decides what of the newest observations may be believed. Pure. A stale one changes nothing: what was admitted before
 * stays. A doubtful one takes nothing away that it may only hide, and all else of it counts: health, addresses, arrivals.
 * Rules for large removals belong here too.
 */

export const emptyCatalog: Catalog = { services: new Map() }

type Partitions = ReadonlyMap<string, readonly Instance[]>

/** How an admitted catalog was cut when it was made, and from what: derived, so it may be forgotten at any time. */
interface Cut {
  readonly observation: CatalogObservation
  readonly partitions: Partitions
}
const cuts = new WeakMap<Catalog, Cut>()

/**
 * The catalog to go on with. A partition that is gone from the observation has left. Costs as much as has changed:
 * `before` itself is returned when nothing has.
 */
export function admitCatalog(before: Catalog, observation: CatalogObservation): Catalog {
  const known = cuts.get(before)
  const cut = known?.observation.by === observation.by ? known : null
  const prior = cut?.partitions ?? partitionsOf(before, observation.by)
  const touched = new Map<string, readonly Instance[]>()
  // an observation that was admitted once tells nothing new the second time
  const seen = cut === null ? unseen : cut.observation.partitions
  for (const name of changedKeys(seen, observation.partitions)) {
    const partition = observation.partitions.get(name)
    const had = prior.get(name)
    const believed = partition === undefined ? [] : had === undefined ? partition.value : believe(had, partition)
    if (believed !== had) touched.set(name, believed)
  }
  if (cut === null) for (const name of prior.keys()) if (!observation.partitions.has(name)) touched.set(name, [])
  const catalog = touched.size === 0 ? before : { services: regroup(before, prior, touched, observation.by) }
  cuts.set(catalog, { observation, partitions: withTouched(prior, touched, observation) })
  return catalog
}

const unseen: CatalogObservation['partitions'] = new Map()

function withTouched(prior: Partitions, touched: Partitions, { partitions }: CatalogObservation): Partitions {
  if (touched.size === 0) return prior
  const next = new Map(prior)
  for (const [name, believed] of touched) {
    if (partitions.has(name)) next.set(name, believed)
    else next.delete(name)
  }
  return next
}

/** `known` itself when that is what there still is. */
function believe(known: readonly Instance[], { evidence, value, hidden }: PartitionObservation): readonly Instance[] {
  switch (evidence) {
    case 'fresh':
      return value
    case 'stale':
      return known
    case 'doubtful': {
      const shown = new Set(value.map(({ key }) => key))
      const kept = known.filter(({ key }) => !shown.has(key) && hidden?.has(key) !== false)
      if (kept.length === 0) return value
      const all = [...value, ...kept].sort(byKey)
      return sameItems(known, all) ? known : all
    }
  }
}

function partitionsOf(catalog: Catalog, by: CatalogObservation['by']): Partitions {
  const partitions = new Map<string, Instance[]>()
  for (const instances of catalog.services.values()) {
    for (const instance of instances) {
      const name = instance[by]
      const partition = partitions.get(name)
      if (partition === undefined) partitions.set(name, [instance])
      else partition.push(instance)
    }
  }
  return partitions
}

/** Rebuilds the services that the touched partitions have or had; the others keep their arrays. */
function regroup(
  before: Catalog,
  prior: Partitions,
  touched: Partitions,
  by: CatalogObservation['by'],
): Catalog['services'] {
  const arrivals = new Map<string, Instance[]>()
  for (const [name, instances] of touched) {
    const known = prior.get(name) ?? []
    for (const service of servicesThatDiffer(known, instances)) if (!arrivals.has(service)) arrivals.set(service, [])
  }
  for (const [name, instances] of touched) {
    for (const instance of instances) if (instance[by] === name) arrivals.get(instance.service)?.push(instance)
  }
  const changes = new Map<string, readonly Instance[] | null>()
  for (const [service, arrived] of arrivals) {
    const known = before.services.get(service) ?? []
    const instances = [...known.filter((instance) => !touched.has(instance[by])), ...arrived].sort(byKey)
    if (!sameItems(known, instances)) changes.set(service, instances.length === 0 ? null : instances)
  }
  return patched(before.services, changes)
}

function servicesThatDiffer(before: readonly Instance[], after: readonly Instance[]): ReadonlySet<string> {
  const known = new Set(before)
  const services = new Set<string>()
  for (const instance of after) if (!known.delete(instance)) services.add(instance.service)
  for (const instance of known) services.add(instance.service)
  return services
}

function byKey(a: Instance, b: Instance): number {
  return byText(a.key, b.key)
}

/**
 * Containers by node. The last value of an engine that is not fresh still counts, with deaths seen since; one that
 * never answered keeps what was admitted of it in an earlier life; one no longer asked goes.
 */
export function admitEngines(
  before: ReadonlyMap<string, Engine>,
  observed: World['engines'],
): ReadonlyMap<string, Engine> {
  if (observed === 'unknown') return before
  const next = new Map<string, Engine>()
  for (const [node, engine] of observed) {
    const hasSpoken = engine.evidence === 'fresh' || engine.value.size > 0
    next.set(node, hasSpoken ? engine.value : (before.get(node) ?? engine.value))
  }
  const isSame = next.size === before.size && [...next].every(([node, engine]) => before.get(node) === engine)
  return isSame ? before : next
}

export function admitWeave(before: WeaveReport | null, observed: Observation<WeaveReport> | null): WeaveReport | null {
  if (observed === null) return null
  return observed.evidence === 'fresh' ? observed.value : (before ?? observed.value)
}
