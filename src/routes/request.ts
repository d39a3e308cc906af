import { isDeepStrictEqual } from 'node:util'
import { nearest } from '../nearest.ts'
import { byText } from '../order.ts'
import { type ProblemCode, problem } from '../problems.ts'
import { sameEntries, sameItems } from '../same.ts'
import type { Instance, Match, MatchKey, ModelSettings, Problem, Rewrite, RouteSpec, SectionOptions } from '../types.ts'
import { parseMatch, printMatch } from './grammar.ts'
import type { Option, OptionLevel, Options } from './options/option.ts'
import { optionTable } from './options/table.ts'

/** A route as it is written, whoever wrote it. */
export type WrittenRoute = Omit<RouteSpec, 'createIndex'>

/** What one text asks for. Where only the match was understood, the route's last good version can stay. */
export type RouteRequest =
  | { readonly kind: 'understood'; readonly spec: WrittenRoute }
  | { readonly kind: 'bad-option'; readonly id: string; readonly key: MatchKey }
  | { readonly kind: 'bad-match' /** Null: nothing says which route it was. */; readonly id: string | null }

/** What one instance asks for by its tags and meta. */
export interface InstanceRequest {
  /** False: it carries nothing of ours, so nothing of it is our business. */
  readonly isExposed: boolean
  /** At most one understood request for each match. */
  readonly routes: readonly RouteRequest[]
  /** Service options by key; null where the text was not understood. */
  readonly service: ReadonlyMap<string, { readonly text: string; readonly options: Options | null }>
  readonly weight: number | null
  readonly backup: boolean
  readonly problems: readonly Problem[]
  /** Equal for instances that ask for the same routes and service options. */
  readonly signature: string
}

type Expose = ModelSettings['expose']

/** An instance with more texts of ours than this is cut off: a tag list has no limit of its own in Consul. */
const mostTexts = 128
const longestText = 2048

/** One tag or meta pair of ours. */
interface Written {
  /** As it stands in the catalog, for problems. */
  readonly subject: string
  /** `route`, or an option's key as written; null: the bare tag. */
  readonly key: string | null
  /** Null: no `=` was written. */
  readonly text: string | null
  /** Of `PREFIX-route-NAME`. */
  readonly name: string | null
}

let newest: { readonly instance: Instance; readonly expose: Expose; readonly request: InstanceRequest } | null = null

/**
 * Reads the tags and meta of an instance; the order they come in makes no difference. Instances of a service that say the same
 * get the same object, if they are read one after the other: most do.
 */
export function readInstance(instance: Instance, expose: Expose): InstanceRequest {
  const isLikeNewest = newest?.expose === expose && saysTheSame(instance, newest.instance)
  // a problem names its instance
  if (isLikeNewest && (newest?.instance === instance || newest?.request.problems.length === 0)) return newest.request
  const request = read(instance, expose)
  newest = { instance, expose, request }
  return request
}

function saysTheSame(a: Instance, b: Instance): boolean {
  return a.service === b.service && sameItems(a.tags, b.tags) && sameEntries(a.meta, b.meta)
}

const nothing: InstanceRequest = {
  isExposed: false,
  routes: [],
  service: new Map(),
  weight: null,
  backup: false,
  problems: [],
  signature: '',
}

function read(instance: Instance, expose: Expose): InstanceRequest {
  const written = writtenTexts(instance, expose.prefix)
  if (written.length === 0 && expose.by === 'tag') return nothing
  const problems: Problem[] = []
  const report = (code: ProblemCode, subject: string, reason: string, hint?: string) => {
    const about = { service: instance.service, instance: instance.key, subject, reason }
    problems.push(problem(code, hint === undefined ? about : { ...about, hint }))
  }
  if (written.length > mostTexts) {
    const reason = `the instance has ${written.length} tags and meta keys of ours; the first ${mostTexts} are read`
    report('too-many-routes', instance.key, reason)
  }
  const routes: RouteRequest[] = []
  const service = new Map<string, { text: string; options: Options | null }>()
  let own: Options = {}
  const seen = new Set<MatchKey>()
  const addRoute = (request: RouteRequest, subject: string) => {
    if (request.kind === 'understood') {
      const key = printMatch(request.spec.match)
      if (seen.has(key)) return report('duplicate-route', subject, `the instance asks for ${key} twice`)
      seen.add(key)
    }
    routes.push(request)
  }

  for (const one of written.slice(0, mostTexts)) {
    if (one.key === null) continue
    if (one.key === 'route') {
      addRoute(readRoute(one, report), one.subject)
    } else {
      const option = findOption(one.key, ['service', 'instance'], expose.prefix)
      if (typeof option === 'string')
        report('unknown-option', one.subject, option, guessOption(one.key, ['route', ...optionTable.keys()]))
      else if (service.has(one.key)) report('duplicate-option', one.subject, `${one.key} is set twice`)
      else {
        const parsed = readValue(option, one, report)
        if (option.levels.includes('instance')) own = { ...parsed, ...own }
        else service.set(one.key, { text: one.text ?? '', options: parsed })
      }
    }
  }
  if (expose.by === 'all' || written.some((one) => one.key === null)) {
    const request = defaultRoute(instance, expose, report)
    // a route that is written out says more than the default one
    const isWrittenOut = request.kind === 'understood' && seen.has(request.spec.id)
    if (!isWrittenOut) routes.push(request)
  }
  return {
    isExposed: true,
    routes,
    service,
    weight: own.weight ?? null,
    backup: own.backup ?? false,
    problems,
    signature: signatureOf(written),
  }
}

type Report = (code: ProblemCode, subject: string, reason: string, hint?: string) => void

function defaultRoute(instance: Instance, expose: Expose, report: Report): RouteRequest {
  if (expose.domain === null) {
    const reason = 'no domain is set, so the service has no default host'
    const hint = `set expose.domain, or give the service a route of its own: ${expose.prefix}.route=HOST/PATH`
    report('no-domain', instance.service, reason, hint)
    return { kind: 'bad-match', id: null }
  }
  const text = `${instance.service}.${expose.domain}`
  const match = instance.service.includes('/') ? null : parseMatch(text)
  if (match?.kind !== 'parsed' || match.value.host.startsWith('*')) {
    report('bad-host', text, 'the name of the service makes no host name')
    return { kind: 'bad-match', id: null }
  }
  return { kind: 'understood', spec: specOf(match.value, {}, printMatch(match.value), text) }
}

/**
 * A route of a memory file, if it is still what its own text asks for: no text that was on a disk gets into a file without
 * passing the grammar again, and what an older version understood otherwise is no last good version.
 */
export function rereadRoute(spec: RouteSpec): RouteSpec | null {
  const one = { subject: spec.text, key: 'route', text: spec.text, name: null }
  const read = readRoute(one, () => {})
  if (read.kind !== 'understood') return null
  const { id, createIndex } = spec
  return isDeepStrictEqual({ ...read.spec, id, createIndex }, spec) ? spec : null
}

function readRoute(one: Written, report: Report): RouteRequest {
  const named = one.name === null ? null : `#${one.name}`
  const text = one.text ?? ''
  if (text.length > longestText) {
    report('bad-option', one.subject, `the route is longer than ${longestText} characters`)
    return { kind: 'bad-match', id: named }
  }
  const [matchText = '', ...words] = text.split(' ').filter((word) => word !== '')
  const match = parseMatch(matchText)
  if (match.kind === 'wrong') {
    report(match.code, one.subject, match.reason, match.hint)
    return { kind: 'bad-match', id: named }
  }
  const key = printMatch(match.value)
  const id = named ?? key
  let options: Options = {}
  const seen = new Set<string>()
  for (const word of words) {
    const equals = word.indexOf('=')
    const name = equals === -1 ? word : word.slice(0, equals)
    const option = findOption(name, ['route'], '')
    const fault = typeof option === 'string' ? option : seen.has(name) ? `${name} is set twice` : null
    if (fault !== null || typeof option === 'string') {
      if (typeof option === 'string')
        report('unknown-option', one.subject, option, guessOption(name, optionTable.keys()))
      else report('duplicate-option', one.subject, fault ?? name)
      return { kind: 'bad-option', id, key }
    }
    seen.add(name)
    const parsed = option.parse(equals === -1 ? null : word.slice(equals + 1), match.value)
    if (parsed.kind === 'wrong') {
      report('bad-option', one.subject, `${name}: ${parsed.reason}`, `write ${option.usage}`)
      return { kind: 'bad-option', id, key }
    }
    options = { ...options, ...parsed.value }
  }
  return { kind: 'understood', spec: specOf(match.value, options, id, text) }
}

/** The option of that key at one of these levels, or why there is none. */
function findOption(key: string, levels: readonly OptionLevel[], prefix: string): Option | string {
  const option = optionTable.get(key)
  if (option === undefined) return key === '' ? 'no option is named' : `${key} is no option`
  if (option.levels.some((level) => levels.includes(level))) return option
  return option.levels.includes('route')
    ? `${key} belongs on a route: ${prefix}.route=HOST/PATH ${option.usage}`
    : `${key} is an option of an instance, not of a route`
}

/** What to write instead of a name that no option has, where that can be guessed. */
function guessOption(key: string, names: Iterable<string>): string | undefined {
  const perhaps = optionTable.has(key) ? null : nearest(key, [...names])
  return perhaps === null ? undefined : `did you mean ${perhaps}? docs/routes.md has all options`
}

function readValue(option: Option, one: Written, report: Report): Options | null {
  const parsed = option.parse(one.text, null)
  if (parsed.kind === 'value') return parsed.value
  report('bad-option', one.subject, `${option.key}: ${parsed.reason}`, `write ${option.usage}`)
  return null
}

function specOf(match: Match, options: Options, id: string, text: string): WrittenRoute {
  const rewrite: Rewrite = {
    strip: options.strip ?? null,
    add: options.add ?? null,
    host: options.host ?? null,
    timeout: options.timeout ?? null,
    rawpath: options.rawpath ?? false,
    redirect: options.redirect ?? null,
  }
  const section: Partial<SectionOptions> = {
    ...(options.balance === undefined ? {} : { balance: options.balance }),
    ...(options.sticky === undefined ? {} : { sticky: options.sticky }),
    ...(options.maxconn === undefined ? {} : { maxconn: options.maxconn }),
    ...(options.proto === undefined ? {} : { proto: options.proto }),
  }
  return {
    id,
    match,
    rewrite,
    section,
    priority: options.priority ?? 0,
    drain: options.drain ?? null,
    linger: options.linger ?? null,
    text,
  }
}

/** Everything of ours on an instance, in byte order, so that the order of tags decides nothing. */
function writtenTexts(instance: Instance, prefix: string): readonly Written[] {
  const found: Written[] = []
  for (const tag of instance.tags) {
    if (tag === prefix) found.push({ subject: tag, key: null, text: null, name: null })
    if (!tag.startsWith(`${prefix}.`)) continue
    const rest = tag.slice(prefix.length + 1)
    const equals = rest.indexOf('=')
    const key = equals === -1 ? rest : rest.slice(0, equals)
    found.push({ subject: tag, key, text: equals === -1 ? null : rest.slice(equals + 1), name: null })
  }
  for (const [metaKey, text] of instance.meta) {
    if (!metaKey.startsWith(`${prefix}-`)) continue
    const rest = metaKey.slice(prefix.length + 1)
    // read by the address chain
    if (rest === 'address') continue
    const subject = `${metaKey} = ${text}`
    if (rest === 'route') found.push({ subject, key: 'route', text, name: null })
    else if (rest.startsWith('route-')) found.push({ subject, key: 'route', text, name: rest.slice('route-'.length) })
    // a meta value can't be left out, so these spell an option without one
    else found.push({ subject, key: rest, text: text === '' || text === 'true' ? null : text, name: null })
  }
  return found.sort(
    (a, b) =>
      byText(a.key ?? '', b.key ?? '') || byText(a.text ?? '', b.text ?? '') || byText(a.name ?? '', b.name ?? ''),
  )
}

function signatureOf(written: readonly Written[]): string {
  const shared = written.filter((one) => optionTable.get(one.key ?? '')?.levels.includes('instance') !== true)
  return JSON.stringify(shared.map((one) => [one.key, one.text, one.name]))
}
