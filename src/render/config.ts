import { printMatch } from '../routes/grammar.ts'
import type { Backend, BackendId, Candidate, Model, RenderSettings, Route } from '../types.ts'
import { hostEntries, mapFiles, mapText, routeEntries, stateEntries } from './maps.ts'
import { type Misplaced, type Placed, placeBackends, placeServers } from './placement.ts'
import { digest, settingsDigest } from './revision.ts'
import { checkedBackendId, checkedSection, serverLine } from './server-line.ts'
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
 * All files of a revision. The same model, templates and settings give the same bytes, in whatever order the model was put
 * together. Throws only on a model that nothing could have made from parsed input.
 *
 * Cheap where little has changed: text and digests of a backend are kept with the `Backend` object, map entries with the
 * `Route`, the rest of the file with the `RenderSettings`; what remains is joining and hashing.
 */
export function renderCandidate(model: Model, templates: Templates, settings: RenderSettings): Rendering {
  const frame = frameOf(templates, settings)
  if (frame.kind === 'failed') return frame
  const astray = model.routes.find(({ backend }) => backend !== null && !model.backends.has(backend))
  if (astray !== undefined) return noBackend(astray)
  const sections: Section[] = []
  for (const id of [...model.backends.keys()].sort()) {
    const backend = model.backends.get(id)
    if (backend === undefined) continue
    const section = sectionOf(templates, backend)
    if (section.kind === 'failed') return section
    sections.push(section)
  }

  const structure = digest([frame.digest, ...sections.map((section) => section.digest)])
  const routes = routeEntries(model)
  const hosts = hostEntries(model, settings.paths)
  const state = stateEntries(model)
  const routesText = mapText(routes)
  const routesHash = digest([routesText, ...sections.map((section) => section.members)])
  const hash = digest([routesHash, templates.hash, frame.settings])
  const revision = new Map([['revision', hash]])

  const maps = new Map<string, ReadonlyMap<string, string>>([
    [mapFiles.routes, routes],
    [mapFiles.hosts, hosts],
    [mapFiles.state, state],
    [mapFiles.revision, revision],
  ])
  const text = [frame.before, ...sections.map((section) => section.text), frame.after].join('')
  const files = new Map<string, string>([
    [configFile, text.replace(placeholders.structure, structure)],
    [mapFiles.routes, routesText],
    [mapFiles.hosts, mapText(hosts)],
    [mapFiles.state, mapText(state)],
    [mapFiles.revision, mapText(revision)],
  ])
  return { kind: 'rendered', candidate: { hash, routesHash, structure, parts: partsOf(frame, sections), maps, files } }
}

const configFile = 'haproxy.cfg'

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
  /** Of its options and servers, as HAProxy gets them. */
  readonly members: string
}

const frames = new WeakMap<Templates, WeakMap<RenderSettings, Frame | RenderingFailure>>()
const sections = new WeakMap<Templates, WeakMap<Backend, Section | RenderingFailure>>()

function frameOf(templates: Templates, settings: RenderSettings): Frame | RenderingFailure {
  return remember(frames, templates, settings, () => {
    const placed = place('haproxy.cfg.eta', templates.config(configView(settings)), placeBackends)
    if (placed.kind === 'failed') return placed
    return { ...placed, digest: digest([placed.before, placed.after]), settings: settingsDigest(settings) }
  })
}

function sectionOf(templates: Templates, backend: Backend): Section | RenderingFailure {
  return remember(sections, templates, backend, () => {
    const id = checkedBackendId(backend.id)
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
      members: digest([members]),
    }
  })
}

function remember<Key extends object, Value>(
  memory: WeakMap<Templates, WeakMap<Key, Value>>,
  templates: Templates,
  key: Key,
  make: () => Value,
): Value {
  const ofTemplates = memory.get(templates) ?? new WeakMap<Key, Value>()
  memory.set(templates, ofTemplates)
  const known = ofTemplates.get(key)
  if (known !== undefined) return known
  const value = make()
  ofTemplates.set(key, value)
  return value
}

function place(file: string, printed: Printed, cut: (text: string) => Placed | Misplaced): Placed | RenderingFailure {
  if (printed.kind === 'threw') return { ...printed, kind: 'failed' }
  const placed = cut(printed.text)
  return placed.kind === 'placed' ? placed : { kind: 'failed', file, line: null, reason: placed.reason }
}

function partsOf(frame: Frame, rendered: readonly Section[]): ReadonlyMap<string, string> {
  const parts = new Map([['global', frame.digest]])
  for (const { id, digest: own } of rendered) {
    const taken = parts.get(id)
    // A service may be called `global`; then both are told by one digest.
    parts.set(id, taken === undefined ? own : digest([taken, own]))
  }
  return parts
}
