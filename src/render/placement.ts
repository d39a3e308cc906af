import type { BackendId, RenderSettings, SectionOptions } from '../types.ts'
import { mapFiles } from './maps.ts'
import {
  type BackendView,
  backendView,
  type ConfigView,
  configView,
  placeholders,
  type Template,
  type TemplateProblem,
} from './views.ts'

/** What a template did not put where it has to be. `expression` is what its source has, or should have, for it. */
export interface Misplaced {
  readonly kind: 'misplaced'
  readonly expression: string
  readonly reason: string
  readonly hint: string
}

/** Text around the line of a placeholder; `before` ends with a newline, `after` too unless it is empty. */
export interface Placed {
  readonly kind: 'placed'
  readonly before: string
  readonly after: string
}

const sectionHeader =
  /^[ \t]*(?:backend|frontend|listen|defaults|global|userlist|peers|resolvers|mailers|cache|http-errors|ring|program|fcgi-app)\b.*$/gm
const ownServer = /^[ \t]*(?:server|default-server|server-template)\b.*$/m

/** Cuts a printed backend at its server lines, or says what is wrong with it. */
export function placeServers(text: string, id: BackendId): Placed | Misplaced {
  const expression = 'it.servers'
  const placed = placeLine(text, placeholders.servers, expression)
  if (placed.kind === 'misplaced') return placed
  const headers = [...text.matchAll(sectionHeader)].map(([line]) => line.trim())
  if (headers.length !== 1 || !/^backend\s/.test(headers[0] ?? '') || headers[0]?.split(/\s+/)[1] !== id) {
    const reason = `it prints ${headers.length === 0 ? 'no section' : headers.map((line) => `"${line}"`).join(', ')}`
    return misplaced('it.id', reason, 'begin with one line "backend <%= it.id %> from routed", and no other section')
  }
  if (!placed.before.includes(headers[0] ?? '')) {
    return misplaced(expression, 'it.servers comes before the line of the backend', 'move it to the end of the section')
  }
  const server = ownServer.exec(text)?.[0].trim()
  if (server !== undefined) {
    const hint = 'remove it: it.servers has them all, made so that they can be added while HAProxy runs'
    return misplaced(server.split(' ')[0] ?? 'server', `it has a line "${server}" of its own`, hint)
  }
  return placed
}

/** Cuts a printed haproxy.cfg at the backends of services, or says what is wrong with it. */
export function placeBackends(text: string): Placed | Misplaced {
  if (text.split(placeholders.structure).length !== 2) {
    const reason = 'it.structure has to be printed exactly once'
    return misplaced('it.structure', reason, 'write "description <%= it.structure %>" in global')
  }
  return placeLine(text, placeholders.backends, 'it.backends')
}

function placeLine(text: string, placeholder: string, expression: string): Placed | Misplaced {
  const hint = `write <%= ${expression} %> once, on a line of its own`
  const lines = text.split('\n')
  const at = lines.findIndex((line) => line.includes(placeholder))
  if (at === -1) return misplaced(expression, `${expression} is not printed`, hint)
  if (lines[at]?.trim() !== placeholder) return misplaced(expression, `${expression} shares its line`, hint)
  const before = lines.slice(0, at)
  const after = lines.slice(at + 1)
  if (after.some((line) => line.includes(placeholder))) return misplaced(expression, `${expression} comes twice`, hint)
  if (after.at(-1) !== '' && after.length > 0) after.push('')
  return { kind: 'placed', before: before.map((line) => `${line}\n`).join(''), after: after.join('\n') }
}

function misplaced(expression: string, reason: string, hint: string): Misplaced {
  return { kind: 'misplaced', expression, reason, hint }
}

/** A line that has to be in what a template prints: without it `-c` would be content and something else would fail. */
interface Needed {
  readonly line: RegExp
  readonly expression: string
  readonly reason: string
  readonly hint: string
}

const plainSettings: RenderSettings = {
  bind: ['192.0.2.1:80'],
  acceptProxy: [],
  trustedProxies: [],
  monitor: null,
  maxconn: null,
  timeouts: {
    connect: 2_000,
    client: 60_000,
    server: 60_000,
    httpRequest: 10_000,
    httpKeepAlive: 75_000,
    queue: 10_000,
    tunnel: 3_600_000,
    clientFin: 10_000,
  },
  hardStopAfter: 900_000,
  maxOldWorkers: 4,
  spares: null,
  paths: 'auto',
  headerNames: 'keep',
  accessLog: true,
  log: 'stdout',
  statsBind: '127.0.0.1:8404',
  statsSocket: '/run/sample/stats.sock',
  socketGid: null,
  user: null,
  group: null,
  chroot: null,
}

const fullSettings: RenderSettings = {
  ...plainSettings,
  bind: ['192.0.2.1:80', '192.0.2.2:80'],
  acceptProxy: ['192.0.2.0/24'],
  trustedProxies: ['192.0.2.0/24'],
  monitor: ':34180/status',
  maxconn: 1_000,
  headerNames: 'reject',
  accessLog: false,
  log: '192.0.2.3:514',
  socketGid: 1_000,
  user: 'haproxy',
  group: 'haproxy',
  chroot: '/var/lib/haproxy',
}

function neededInConfig(settings: RenderSettings): readonly Needed[] {
  const needed: Needed[] = [
    {
      line: new RegExp(`^description ${placeholders.structure}$`),
      expression: 'it.structure',
      reason: 'heddle could not read back which structure runs',
      hint: 'write "description <%= it.structure %>" in global',
    },
    {
      line: /^default-path config$/,
      expression: 'default-path',
      reason: 'a candidate would be checked with the maps of another',
      hint: 'write "default-path config" in global',
    },
    {
      line: /^stats socket (?:unix@)?["']?\/run\/sample\/stats\.sock["']?\s(?:.*\s)?level admin(?:\s|$)/,
      expression: 'stats socket',
      reason: 'heddle could change nothing while HAProxy runs',
      hint: 'write "stats socket <%= it.word(it.settings.statsSocket) %> level admin" in global',
    },
    ...settings.bind.map((address) => ({
      line: new RegExp(`^bind ${address}(?:\\s|$)`),
      expression: 'settings.bind',
      reason: 'HAProxy would not listen where haproxy.bind says',
      hint: 'write a "bind" line for each of it.settings.bind',
    })),
    lookup('map_beg', mapFiles.routes, 'requests would not find their routes'),
    lookup('map', mapFiles.hosts, 'haproxy.paths would have no effect'),
    lookup('map', mapFiles.revision, 'heddle could not read back which revision runs'),
    section(':none', 'routes of services that have left lead to it'),
    section(':redirect', 'routes with redirect lead to it'),
  ]
  if (settings.monitor !== null) needed.push(lookup('map', mapFiles.state, 'the monitor would not know of routes'))
  return needed
}

function lookup(converter: string, file: string, reason: string): Needed {
  const line = new RegExp(`\\b${converter}\\(${file.replace('.', '\\.')}\\)`)
  return { line, expression: file, reason, hint: `look it up by "${converter}(${file})"` }
}

function section(name: string, reason: string): Needed {
  return {
    line: new RegExp(`^backend ${name}(?:\\s|$)`),
    expression: name,
    reason,
    hint: `write a section "backend ${name} from common"; the bundled template has one`,
  }
}

function neededInBackend(options: SectionOptions): readonly Needed[] {
  const needed: Needed[] = []
  const need = (line: RegExp, expression: string, reason: string, hint: string) =>
    needed.push({ line, expression, reason, hint })
  if (options.balance !== 'roundrobin') {
    const hint = 'write "balance <%= it.section.balance %>"'
    need(new RegExp(`^balance ${options.balance}(?:\\s|$)`), 'it.section.balance', 'balance would have no effect', hint)
  }
  if (options.balance === 'source') {
    const reason = 'no server could be added while HAProxy runs'
    need(
      /^hash-type consistent(?:\s|$)/,
      'it.section.balance',
      reason,
      'with balance source write "hash-type consistent"',
    )
  }
  if (options.sticky !== null) {
    const hint = 'write "cookie <%= it.section.sticky %> insert indirect nocache httponly dynamic"'
    const line = new RegExp(`^cookie ${options.sticky}\\s(?:.*\\s)?dynamic(?:\\s|$)`)
    need(line, 'it.section.sticky', 'users would not stick to servers added while HAProxy runs', hint)
    const key = 'users would move when another edge answers them'
    need(/^dynamic-cookie-key heddle$/, 'dynamic-cookie-key', key, 'with cookie write "dynamic-cookie-key heddle"')
  }
  return needed
}

/** Problems of a haproxy.cfg.eta, by printing it with few and with many settings. */
export function misplacedInConfig(template: Template<ConfigView>): readonly TemplateProblem[] {
  return firstProblems([plainSettings, fullSettings], (settings) =>
    examine(template, configView(settings), placeBackends, neededInConfig(settings)),
  )
}

/** Problems of a backend.eta, by printing it with each kind of section options. */
export function misplacedInBackend(template: Template<BackendView>): readonly TemplateProblem[] {
  const id = 'sample:a1b2c3'
  const samples: readonly SectionOptions[] = [
    { balance: 'roundrobin', sticky: null, maxconn: null, proto: 'http' },
    { balance: 'leastconn', sticky: 'SERVER', maxconn: 10, proto: 'h2c' },
    { balance: 'source', sticky: null, maxconn: null, proto: 'http' },
    { balance: 'first', sticky: null, maxconn: 10, proto: 'http' },
  ]
  return firstProblems(samples, (options) =>
    examine(template, backendView(id, options), (text) => placeServers(text, id), neededInBackend(options)),
  )
}

/** Of the first sample that shows any: the others would mostly repeat them. */
function firstProblems<Sample>(
  samples: readonly Sample[],
  examineSample: (sample: Sample) => readonly TemplateProblem[],
): readonly TemplateProblem[] {
  for (const sample of samples) {
    const problems = examineSample(sample)
    if (problems.length > 0) return problems
  }
  return []
}

function examine<View>(
  template: Template<View>,
  view: View,
  place: (text: string) => Placed | Misplaced,
  needed: readonly Needed[],
): readonly TemplateProblem[] {
  const { file, source } = template
  const printed = template.print(view)
  if (printed.kind === 'threw') {
    const hint = 'it was tried with a sample: look at what `it` holds'
    return [{ file, line: printed.line, reason: `it throws: ${printed.reason}`, hint }]
  }
  const problems: TemplateProblem[] = []
  const found = place(printed.text)
  if (found.kind === 'misplaced') {
    problems.push({ file, line: lineOf(found.expression, source), reason: found.reason, hint: found.hint })
  }
  const lines = printed.text.split('\n').map((line) => line.trim())
  for (const { line, expression, reason, hint } of needed) {
    if (lines.some((candidate) => !candidate.startsWith('#') && line.test(candidate))) continue
    if (expression === (found.kind === 'misplaced' ? found.expression : null)) continue
    problems.push({ file, line: lineOf(expression, source), reason, hint })
  }
  return problems
}

/**
 * The last line that mentions it: comments that explain a template stand at its head. Where none does, the end, since
 * that is where it is missing.
 */
function lineOf(expression: string, source: string): number {
  const lines = source.trimEnd().split('\n')
  const index = lines.findLastIndex((line) => line.includes(expression))
  return index === -1 ? lines.length : index + 1
}
