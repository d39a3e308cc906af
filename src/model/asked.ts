import { byText } from '../order.ts'
import { problem } from '../problems.ts'
import { printMatch } from '../routes/grammar.ts'
import type { Options } from '../routes/options/option.ts'
import { optionTable } from '../routes/options/table.ts'
import { type InstanceRequest, readInstance, type WrittenRoute } from '../routes/request.ts'
import type {
  Endpoint,
  Instance,
  MatchKey,
  ModelSettings,
  Ms,
  Problem,
  RouteSpec,
  SectionOptions,
  ServiceMemory,
} from '../types.ts'

/** What the instances of a service ask for together, with the gaps filled from what is remembered. */

const mostRoutes = 64
const defaultDrain: Ms = 30_000
const defaultLinger: Ms = 24 * 3_600_000

/** By instance key. */
export type Requests = ReadonlyMap<string, InstanceRequest>

export function readRequests(instances: readonly Instance[], expose: ModelSettings['expose']): Requests {
  const requests = new Map<string, InstanceRequest>()
  for (const instance of instances) requests.set(instance.key, readInstance(instance, expose))
  return requests
}

/** Whose word counts first: serving instances before others, newer registrations before older ones. */
export function rankInstances(instances: readonly Instance[], endpoints: readonly Endpoint[]): readonly Instance[] {
  const serving = new Set<Instance>()
  for (const { kind, instance } of endpoints) if (kind === 'reachable' && isServing(instance)) serving.add(instance)
  const rank = (instance: Instance) => (serving.has(instance) ? 1 : 0)
  return [...instances].sort((a, b) => rank(b) - rank(a) || b.createIndex - a.createIndex || byText(a.key, b.key))
}

function isServing(instance: Instance): boolean {
  return instance.health === 'passing' || instance.health === 'warning'
}

/** A route of a service. */
export interface Asked {
  readonly spec: RouteSpec
  /** Keys of the instances that ask for it, in byte order; none of a last good version. */
  readonly instances: readonly string[]
  /** `live`: asked for now. `left`: it only stays while no live service claims the match. */
  readonly standing: 'live' | 'left'
  /** False: it is a last good version. */
  readonly isCurrent: boolean
}

/** The union of what the instances ask for, gaps filled with last good versions. In byte order of match keys. */
export function collectRoutes(
  service: string,
  ranked: readonly Instance[],
  requests: Requests,
  memory: ServiceMemory,
): { readonly routes: readonly Asked[]; readonly problems: readonly Problem[] } {
  const found = new Map<MatchKey, { spec: WrittenRoute; createIndex: number; instances: string[] }>()
  const broken = new Set<string>()
  let isUnreadable = false
  for (const instance of ranked) {
    for (const request of requests.get(instance.key)?.routes ?? []) {
      if (request.kind === 'bad-option') broken.add(request.id)
      else if (request.kind === 'bad-match') {
        if (request.id === null) isUnreadable = true
        else broken.add(request.id)
      } else {
        const key = printMatch(request.spec.match)
        const known = found.get(key)
        if (known === undefined) {
          found.set(key, { spec: request.spec, createIndex: instance.createIndex, instances: [instance.key] })
        } else {
          known.instances.push(instance.key)
          known.createIndex = Math.min(known.createIndex, instance.createIndex)
        }
      }
    }
  }
  const understood = new Set([...found.values()].map(({ spec }) => spec.id))
  const current = [...found].map(([key, { spec, createIndex, instances }]): readonly [MatchKey, Asked] => [
    key,
    { spec: { ...spec, createIndex }, instances: instances.sort(), standing: 'live', isCurrent: true },
  ])
  const former: [MatchKey, Asked][] = []
  for (const [key, spec] of memory.routes) {
    if (found.has(key)) continue
    if (broken.has(spec.id) && !understood.has(spec.id)) {
      former.push([key, { spec, instances: [], standing: 'live', isCurrent: false }])
    } else if (isUnreadable) {
      former.push([key, { spec, instances: [], standing: 'left', isCurrent: false }])
    }
  }
  const beyond = current.sort(byMatch).slice(mostRoutes)
  const problems = beyond.slice(0, 1).map(([subject]) => {
    const reason = `the service asks for more than ${mostRoutes} routes; those from ${subject} on are set aside`
    return problem('too-many-routes', { service, subject, reason })
  })
  // former ones where there is room, so that a text which can't be read takes no place from what is asked for
  const routes = [...current, ...former.sort(byMatch)].slice(0, mostRoutes).sort(byMatch)
  return { routes: routes.map(([, asked]) => asked), problems }
}

function byMatch([a]: readonly [MatchKey, unknown], [b]: readonly [MatchKey, unknown]): number {
  return byText(a, b)
}

export interface EffectiveOptions {
  readonly section: SectionOptions
  readonly timeout: Ms | null
  readonly drain: Ms
  readonly linger: Ms
  /** As written, by key, of those that are set: what to remember. */
  readonly texts: ReadonlyMap<string, string>
}

const flagText = ''

/** Service options of the first-ranked instance; one that is not understood keeps its last good value. */
export function chooseServiceOptions(
  ranked: readonly Instance[],
  requests: Requests,
  memory: ServiceMemory,
): EffectiveOptions {
  const reference = ranked[0]
  const written = reference === undefined ? undefined : requests.get(reference.key)?.service
  const texts = new Map<string, string>()
  for (const [key, { text, options }] of written ?? []) {
    const known = memory.options.get(key)
    if (options !== null) texts.set(key, text)
    else if (known !== undefined) texts.set(key, known)
  }
  return effectiveOptions(texts)
}

/** `texts` come from the catalog or from a memory file: what can't be read is left out. */
export function effectiveOptions(texts: ReadonlyMap<string, string>): EffectiveOptions {
  let options: Options = {}
  for (const [key, text] of texts) {
    const parsed = optionTable.get(key)?.parse(text === flagText ? null : text, null)
    if (parsed?.kind === 'value') options = { ...options, ...parsed.value }
  }
  return {
    section: {
      balance: options.balance ?? 'roundrobin',
      sticky: options.sticky ?? null,
      maxconn: options.maxconn ?? null,
      proto: options.proto ?? 'http',
    },
    timeout: options.timeout ?? null,
    drain: options.drain ?? defaultDrain,
    linger: options.linger ?? defaultLinger,
    texts,
  }
}
