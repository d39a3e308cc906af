import { escapeUnprintable } from '../printable.ts'
import type { ExplainView, LiveView } from '../status/explanation.ts'
import { type ExitCode, exitCodes, type Io } from './context.ts'
import { painter, table } from './table.ts'
import type { View } from './view.ts'

export interface ExplainOptions {
  readonly url: string
  readonly method: string
  readonly live: boolean
  readonly json: boolean
}

/** Shows which route takes a request, and why. */
export async function explain(
  view: Pick<View, 'explain'>,
  options: ExplainOptions,
  io: Pick<Io, 'stdout' | 'isColoured'>,
): Promise<ExitCode> {
  const explained = await view.explain(options.url, options.method, options.live)
  io.stdout(options.json ? `${JSON.stringify(explained, null, 2)}\n` : printExplanation(explained, io))
  return exitCodes.done
}

function printExplanation(explained: ExplainView, io: Pick<Io, 'isColoured'>): string {
  const paint = painter(io.isColoured)
  const { answer, why, service, route, candidates, instances, live } = explained
  const good = answer === 'service' || answer === 'redirect'
  const facts: [string, string][] = []
  if (service !== null) facts.push(['service', service])
  if (route !== null) facts.push(['route', `${route.text}${route.isCurrent ? '' : '   (last good version)'}`])
  if (explained.from.length > 0) {
    facts.push(['asked by', `${explained.from.join(', ')} (CreateIndex ${explained.createIndex})`])
  }
  if (explained.location !== null) facts.push(['location', explained.location])
  if (answer === 'service' || answer === 503) facts.push(['sent as', `${explained.host ?? ''}${explained.path}`])
  if (explained.backend !== null) facts.push(['backend', placeOf(explained.backend, sectionOf(explained))])
  const lines = facts.map(([name, fact]) => `${name.padEnd(10)}${escapeUnprintable(fact)}\n`)
  let text = `${paint(String(answer), good ? 'green' : 'red')}: ${escapeUnprintable(why)}\n${lines.join('')}`
  if (instances.length > 0) {
    const rows = instances.map(({ address, port, state, weight, source, node, id }) => {
      return [`${address}:${port}`, state, String(weight), source, node, id]
    })
    text += `\n${table(['SERVER', 'STATE', 'WEIGHT', 'PROVED BY', 'NODE', 'INSTANCE'], rows)}`
  }
  if (candidates.length > 0) {
    const rows = candidates.map((one) => [one.route, one.service, one.reason])
    text += `\n${table(['CANDIDATE', 'SERVICE', 'WHY'], rows)}`
  }
  if (live !== null) text += printLive(live, io)
  return text
}

/** HAProxy itself knows best. */
function sectionOf({ backend, section, live }: ExplainView): string | null {
  return live?.answers === true && live.backend === backend ? live.section : section
}

function placeOf(backend: string, section: string | null): string {
  return section === null ? backend : `${backend}, in the spare section ${section} until the next reload`
}

function printLive({ answers, differs, why, servers }: LiveView, io: Pick<Io, 'isColoured'>): string {
  const paint = painter(io.isColoured)
  const verdict = `\n${paint('live', differs ? 'red' : answers ? 'green' : 'yellow')}: ${escapeUnprintable(why)}\n`
  if (servers.length === 0) return verdict
  const rows = servers.map(({ name, state, weight, ...load }) => {
    const counts = [load.sessions, load.queue, load.total].map((count) => (count === null ? '-' : String(count)))
    return [name, state, String(weight), ...counts]
  })
  return `${verdict}\n${table(['IN HAPROXY', 'STATE', 'WEIGHT', 'SESSIONS', 'QUEUE', 'TOTAL'], rows)}`
}
