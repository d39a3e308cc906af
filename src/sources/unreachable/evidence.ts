import { isPlace, type Probe } from './probe.ts'
import type { RisenServer } from './rises.ts'

/** What can be said of a server that HAProxy missed connections to. */
export type Verdict =
  | { readonly kind: 'answers' }
  | { readonly kind: 'unreachable'; readonly why: string }
  | {
      readonly kind: 'unknown'
      /** Others that HAProxy reaches do not answer heddle either: it may be heddle that is not on their network. */
      readonly isCutOff: boolean
    }

/** Others of a backend that are asked before heddle doubts its own network. */
const mostWitnesses = 3

/**
 * Probes one server of a backend, and where that fails another one that HAProxy reaches: only who gets a connection there can
 * say that the first is at fault. `isOut` says who has been found unreachable already. It takes no witness with all others out,
 * since then nobody is taken out any more, and HAProxy tries all of them again; nor, where there is none, for who refuses.
 */
export async function examine(
  name: string,
  servers: readonly RisenServer[],
  isOut: (name: string) => boolean,
  probe: Probe,
  signal: AbortSignal,
): Promise<Verdict> {
  const probed = await probe(name, signal)
  if (probed.kind === 'answers') return probed
  const failing = `HAProxy gets no connection, nor does heddle (${probed.why})`
  const others = servers.filter((server) => server.name !== name && (!server.isInMaintenance || isOut(server.name)))
  const witnesses = others
    .filter((server) => !server.hasRisen && !isOut(server.name) && isPlace(server.name))
    // who served most is surely reached
    .sort((a, b) => b.sessions - a.sessions)
    .slice(0, mostWitnesses)
  for (const witness of witnesses) {
    const { kind } = await probe(witness.name, signal)
    if (kind === 'answers') return { kind: 'unreachable', why: `${failing}, while ${witness.name} answers` }
  }
  if (witnesses.length === 0 && probed.kind === 'refuses') return { kind: 'unreachable', why: failing }
  const isLast = others.length > 0 && others.every((server) => isOut(server.name))
  if (isLast) return { kind: 'unreachable', why: `${failing}, and none of its backend answers` }
  return { kind: 'unknown', isCutOff: witnesses.length > 0 }
}
