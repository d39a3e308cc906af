import { z } from 'zod'
import type { Explanation } from '../model/explain.ts'
import { printMatch } from '../routes/grammar.ts'
import type { Decision, Running } from '../types.ts'
import { routeViewOf, sectionView, serverView } from './api.ts'
import { liveServerView, routeView, section } from './views.ts'

/** What the running HAProxy says about the same request, from its own maps and servers. */
export const liveView = z.object({
  answers: z.boolean().describe('HAProxy could be asked'),
  why: z.string().describe('why not, or what differs'),
  key: z.string().nullable().describe('the entry of routes.map that takes the request'),
  backend: z.string().nullable(),
  section,
  servers: z.array(z.object({ name: z.string(), ...liveServerView.shape })),
  differs: z.boolean().describe('from what heddle wants'),
})
export type LiveView = z.infer<typeof liveView>

export const explainView = z.object({
  answer: z.union([z.enum(['service', 'redirect']), z.literal([400, 404, 503])]),
  why: z.string(),
  service: z.string().nullable(),
  path: z.string().describe('as sent to the service, with the query'),
  host: z.string().nullable().describe('Host header as sent to the service'),
  location: z.string().nullable().describe('where a redirect leads'),
  backend: z.string().nullable(),
  section,
  route: routeView.nullable(),
  candidates: z.array(
    z.object({ route: z.string(), service: z.string(), reason: z.string() }).describe('in order, with why each lost'),
  ),
  instances: routeView.shape.instances,
  from: z.array(z.string()).describe('instances whose tags or meta put the route there'),
  createIndex: z.int().nullable().describe('of the oldest of them'),
  live: liveView.nullable(),
})
export type ExplainView = z.infer<typeof explainView>

/** The answer of `explain`, for the API and the command alike. */
export function explanationView(
  explanation: Explanation,
  decision: Decision,
  running: Running | null,
  live: LiveView | null,
): ExplainView {
  const { answer, why, service, path, host, location, route, candidates, servers } = explanation
  return {
    answer,
    why,
    service,
    path,
    host,
    location,
    backend: route?.backend ?? null,
    section: sectionView(route?.backend ?? null, running),
    route: route === null ? null : routeViewOf(route, decision, running),
    candidates: candidates.map(({ route: candidate, reason }) => {
      return { route: printMatch(candidate.match), service: candidate.service, reason }
    }),
    instances: servers.map(serverView),
    from: [...(route?.from.instances ?? [])],
    createIndex: route?.from.createIndex ?? null,
    live,
  }
}
