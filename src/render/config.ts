import { inOrderOfIds } from '../model/backend-id.ts'
import { printMatch } from '../routes/grammar.ts'
import type { Backend, BackendId, Candidate, Model, RenderSettings, Route, SectionOptions } from '../types.ts'
import { hostEntries, mapDigest, mapFiles, mapText, routeEntries, stateEntries } from './maps.ts'
import { framePart, partsFile, partsText } from './parts.ts'
import { type Misplaced, type Placed, placeBackends, placeServers } from './placement.ts'
import { digest, settingsDigest } from './revision.ts'
import { checkedSection, checkedSectionName, serverLine } from './server-line.ts'
import { spareCount, sparesOf } from './spares.ts'
import type { Templates } from './templates.ts'
import { backendView, configView, type Printed, placeholders } from './views.ts'

export type Rendering = { readonly kind: 'rendered'; readonly candidate: Candidate } | RenderingFailure

/** A template failed on this very input, though it did well with the samples, or what it refers to is not there. */
export interface RenderingFailure {
  readonly kind: 'failed'
  readonly file: string
  readonly line: number | null
  readonly reason: string
}

/**
 * All of a revision. The same model, templates and settings give the same bytes, in whatever order the model was put
 * together. Throws only on a model that nothing could have made from parsed input.
 *
 * Cheap where little has changed: text and digests of a backend are kept with the `Backend` object, map entries with the
 * `Route`, the rest of the file with the `RenderSettings`; what remains is hashing. The files are put together when they
 * are first asked for.
 */
export function renderCandidate(model: Model, templates: Templates, settings: RenderSettings): Rendering {
  const frame = frameOf(templates, settings)
  if (frame.kind === 'failed') return frame
  const spares = sparesOf(settings.spares ?? spareCount(model.backends.size))
  const rendered = sectionsOf(templates, [...spares, ...inOrderOfIds(model)])
  if (rendered.kind === 'failed') return rendered
  const { sections } = rendered
  const routes = routeEntries(model)
  const routesHash = digest([mapDigest(routes), ...sections.slice(spares.length).map(({ members }) => members)])
  const hash = digest([routesHash, templates.hash, frame.settings])
  const { parts, shapes, structure } = structureOf(frame, sections)
  const astray = findAstray(model, structure)
  if (astray !== null) return noBackend(astray)
  const maps = new Map<string, ReadonlyMap<string, string>>([
    [mapFiles.routes, routes],
    [mapFiles.hosts, hostEntries(model, settings.paths)],
    [mapFiles.state, stateEntries(model)],
    [mapFiles.revision, new Map([['revision', hash]])],
  ])
  let files: Candidate['files'] | null = null
  const candidate: Candidate = {
    hash,
    routesHash,
    structure,
    parts,
    shapes,
    maps,
    get files() {
      files ??= new Map([
        [configFile, configOf(frame, sections, structure)],
        ...[...maps].map(([name, map]) => [name, [mapText(map)]] as const),
        // nobody sits in a spare of a new worker
        [mapFiles.seats, []],
        [partsFile, [partsText(parts)]],
      ])
      return files
    },
  }
  return { kind: 'rendered', candidate }
}

function configOf({ before, after }: Frame, sections: readonly Section[], structure: string): readonly string[] {
  const name = (text: string) => text.replace(placeholders.structure, structure)
  return [name(before), ...sections.map(({ text }) => text), name(after)]
}

const configFile = 'haproxy.cfg'

/** The files as they will be on disk, by name. */
export function textsOf({ files }: Pick<Candidate, 'files'>): ReadonlyMap<string, string> {
  return new Map([...files].map(([name, pieces]) => [name, pieces.join('')]))
}

let newestSound: { readonly routes: readonly Route[]; readonly structure: string } | null = null

/** A route to a backend that is not there, or null. Routes that were sound with the same sections still are. */
function findAstray({ routes, backends }: Model, structure: string): Route | null {
  const sound = newestSound?.structure === structure ? newestSound.routes : []
  if (sound === routes) return null
  for (const [at, route] of routes.entries()) {
    if (route !== sound[at] && route.backend !== null && !backends.has(route.backend)) return route
  }
  newestSound = { routes, structure }
  return null
}

/** `haproxy -c` does not look into maps: such a route would be answered as if it had no instance. */
function noBackend({ match, backend }: Route): RenderingFailure {
  const reason = `${printMatch(match)} leads to the backend ${backend}, which is not there`
  return { kind: 'failed', file: mapFiles.routes, line: null, reason }
}

/** haproxy.cfg without the backends of services. */
interface Frame extends Placed {
  /** Of its text, the structure hash left out. */
  readonly digest: string
  readonly settings: string
}

interface Section {
  readonly kind: 'placed'
  readonly id: BackendId
  readonly text: string
  /** Of its text, server lines left out. */
  readonly digest: string
  /** Equal for two sections that differ in nothing but their names. */
  readonly shape: string
  /** Of its options and servers, as HAProxy gets them. */
  readonly members: string
}

const frames = new WeakMap<Templates, WeakMap<RenderSettings, Frame | RenderingFailure>>()
const sections = new WeakMap<Templates, WeakMap<Backend, Section | RenderingFailure>>()

function frameOf(templates: Templates, settings: RenderSettings): Frame | RenderingFailure {
  return remember(ofTemplates(frames, templates), settings, () => {
    const placed = place('haproxy.cfg.eta', templates.config(configView(settings)), placeBackends)
    if (placed.kind === 'failed') return placed
    return { ...placed, digest: digest([placed.before, placed.after]), settings: settingsDigest(settings) }
  })
}

interface Rendered {
  readonly kind: 'rendered'
  readonly backends: readonly Backend[]
  readonly sections: readonly Section[]
}
const newestRendered = new WeakMap<Templates, Rendered>()

/** Sections of backends, in their order. Those of the backends that are where they were the last time need no looking up. */
function sectionsOf(templates: Templates, backends: readonly Backend[]): Rendered | RenderingFailure {
  const before = newestRendered.get(templates)
  const known = ofTemplates(sections, templates)
  const all: Section[] = []
  for (const [at, backend] of backends.entries()) {
    const same = before?.backends[at] === backend ? before.sections[at] : undefined
    const section = same ?? remember(known, backend, () => sectionOf(templates, backend))
    if (section.kind === 'failed') return section
    all.push(section)
  }
  const rendered: Rendered = { kind: 'rendered', backends, sections: all }
  newestRendered.set(templates, rendered)
  return rendered
}

function sectionOf(templates: Templates, backend: Backend): Section | RenderingFailure {
  const id = checkedSectionName(backend.id)
  const options = checkedSection(backend.section)
  const placed = place('backend.eta', templates.backend(backendView(id, options)), (text) => placeServers(text, id))
  if (placed.kind === 'failed') return { ...placed, reason: `${placed.reason} (backend ${id})` }
  const text = [placed.before]
  // A file can't say everything the runtime API can (drain), so a server's own words count as well.
  let members = `${id} ${JSON.stringify([options.balance, options.sticky, options.maxconn, options.proto])}\n`
  for (const server of backend.servers) {
    const line = serverLine(server, options)
    text.push('  ', line, '\n')
    members += `${line} ${server.state} ${server.weight}\n`
  }
  return {
    kind: 'placed',
    id,
    // One flat string: concatenation would leave a tree of small ones to walk at every rendering.
    text: [...text, placed.after].join(''),
    digest: digest([placed.before, placed.after]),
    shape: shapeOf(templates, id, options, placed),
    members: digest([members]),
  }
}

const prototypeId = ':prototype'
const prototypes = new WeakMap<Templates, Map<string, Placed | null>>()

/** What HAProxy accepts of one section it accepts of all others of its shape. */
function shapeOf(templates: Templates, id: BackendId, options: SectionOptions, { before, after }: Placed): string {
  const known = remember(prototypes, templates, () => new Map<string, Placed | null>())
  const key = JSON.stringify([options.balance, options.sticky, options.maxconn, options.proto])
  let prototype = known.get(key)
  if (prototype === undefined) {
    const printed = templates.backend(backendView(prototypeId, options))
    const placed = place('backend.eta', printed, (text) => placeServers(text, prototypeId))
    prototype = placed.kind === 'placed' ? placed : null
    known.set(key, prototype)
  }
  const isAlike =
    prototype !== null &&
    prototype.before.replaceAll(prototypeId, id) === before &&
    prototype.after.replaceAll(prototypeId, id) === after
  const shape = isAlike && prototype !== null ? prototype : { before, after }
  return digest([shape.before, shape.after])
}

function ofTemplates<Key extends object, Value>(
  memory: WeakMap<Templates, WeakMap<Key, Value>>,
  templates: Templates,
): WeakMap<Key, Value> {
  return remember(memory, templates, () => new WeakMap<Key, Value>())
}

function remember<Key extends object, Value>(memory: WeakMap<Key, Value>, key: Key, make: () => Value): Value {
  const known = memory.get(key)
  if (known !== undefined) return known
  const value = make()
  memory.set(key, value)
  return value
}

function place(file: string, printed: Printed, cut: (text: string) => Placed | Misplaced): Placed | RenderingFailure {
  if (printed.kind === 'threw') return { ...printed, kind: 'failed' }
  const placed = cut(printed.text)
  return placed.kind === 'placed' ? placed : { kind: 'failed', file, line: null, reason: placed.reason }
}

type Structure = Pick<Candidate, 'structure' | 'parts' | 'shapes'>
let newest: (Structure & { readonly frame: Frame; readonly rendered: readonly Section[] }) | null = null

/** Most changes are of members, and leave the structure as it is. */
function structureOf(frame: Frame, rendered: readonly Section[]): Structure {
  const known = newest
  const isSame =
    known?.frame === frame &&
    known.rendered.length === rendered.length &&
    rendered.every((section, index) => isSameStructure(section, known.rendered[index]))
  const structure = isSame ? known.structure : digest([frame.digest, ...rendered.map((section) => section.digest)])
  const parts = isSame ? known.parts : partsOf(frame, rendered)
  const shapes = isSame ? known.shapes : new Set([frame.digest, ...rendered.map(({ shape }) => shape)])
  newest = { structure, parts, shapes, frame, rendered }
  return newest
}

function isSameStructure(a: Section, b: Section | undefined): boolean {
  return a === b || (a.id === b?.id && a.digest === b.digest)
}

function partsOf(frame: Frame, rendered: readonly Section[]): ReadonlyMap<string, string> {
  return new Map([[framePart, frame.digest], ...rendered.map(({ id, digest: own }) => [id, own] as const)])
}
