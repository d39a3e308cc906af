import { askLive } from '../haproxy/live.ts'
import type { HaproxySockets } from '../haproxy/worker.ts'
import type { Explanation, Question } from '../model/explain.ts'
import { hostName } from '../model/match.ts'
import type { RunningServer, Server } from '../types.ts'
import type { LiveView } from './explanation.ts'

const nothing = { key: null, backend: null, section: null, servers: [], differs: false }

/** Asks the running HAProxy about the same request, and says where it differs from what the model says. */
export async function compareLive(
  sockets: HaproxySockets,
  question: Question,
  explanation: Explanation,
): Promise<LiveView> {
  const name = question.host === null ? null : hostName(question.host)
  if (name === null || explanation.answer === 400) {
    return { ...nothing, answers: false, why: 'the request is refused before any route is looked for' }
  }
  const live = await askLive(sockets, name, question.path)
  if (live.kind === 'failed') return { ...nothing, answers: false, why: live.why }
  const servers = [...live.servers].map(([server, { state, weight }]) => {
    const { sessions = null, total = null, queue = null } = live.loads.get(server) ?? {}
    return { name: server, state, weight, sessions, total, queue }
  })
  const wanted = wantedBackend(explanation)
  const difference =
    live.backend !== wanted
      ? `HAProxy routes it to ${live.backend ?? 'nothing'}, wanted is ${wanted ?? 'nothing'}`
      : serverDifference(live.servers, explanation.servers)
  return {
    answers: true,
    why: difference ?? 'HAProxy does the same',
    key: live.key,
    backend: live.backend,
    section: live.section === live.backend ? null : live.section,
    servers,
    differs: difference !== null,
  }
}

/** Backends of our own stand for routes that no service answers. */
function wantedBackend({ route }: Explanation): string | null {
  if (route === null) return null
  return route.backend ?? (route.lingersUntil === null ? ':redirect' : ':none')
}

function serverDifference(running: ReadonlyMap<string, RunningServer>, wanted: readonly Server[]): string | null {
  for (const { name, state, weight } of wanted) {
    const server = running.get(name)
    if (server === undefined) return `HAProxy has no server ${name}`
    // a file has no word for draining: there it is a weight of 0
    const isSame = state === 'drain' ? server.state === 'drain' || server.weight === 0 : server.state === state
    if (!isSame) return `${name} is ${server.state} in HAProxy, wanted is ${state}`
    if (state === 'ready' && server.weight !== weight) return `${name} has weight ${server.weight}, wanted is ${weight}`
  }
  const extra = [...running.keys()].find((name) => !wanted.some((server) => server.name === name))
  return extra === undefined ? null : `HAProxy still has the server ${extra}`
}
