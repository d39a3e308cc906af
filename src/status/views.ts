import { z } from 'zod'
import type { AddressSource, Evidence, Health, ReloadReason, RevisionAction, ServerState } from '../types.ts'

/**
 * The objects that API and commands answer with, as schemas: they are the types of the projections in api.ts, the
 * OpenAPI document, and what a command reads the control socket's answers with. Times are ISO 8601 in UTC.
 */

export const addressSources = [
  'catalog',
  'weave-address',
  'docker',
  'weave-report',
  'weave-ip',
  'node',
] as const satisfies readonly AddressSource[]
export const serverStates = ['ready', 'drain', 'maint'] as const satisfies readonly ServerState[]
/** Of an instance: those of its server, or why it has none. */
export const instanceStates = [...serverStates, 'dead', 'unresolved'] as const
const evidences = ['fresh', 'stale', 'doubtful'] as const satisfies readonly Evidence[]
const healths = ['passing', 'warning', 'critical', 'maintenance'] as const satisfies readonly Health[]
const actions = ['runtime', 'reload', 'held', 'rejected'] as const satisfies readonly RevisionAction[]
export const reloadReasonCodes = [
  'not-ours',
  'global',
  'new-backend',
  'section',
  'server',
  'refused',
  'in-spare',
  'gone-backend',
  'spares',
] as const satisfies readonly ReloadReason['code'][]

const time = z.string().meta({ format: 'date-time' })
const count = z.int().nonnegative()
const match = {
  host: z.string().describe('a name, `*.name`, or `*` for any host'),
  path: z.string().describe('without its mark'),
  match: z.enum(['prefix', 'exact', 'raw']),
}

/** Of a backend that sits in a spare section until the next reload. */
export const section = z
  .string()
  .nullable()
  .describe("what HAProxy's statistics and access log call the backend, where that is another name; null: it is not")

export const optionsView = z
  .object({
    strip: z.string().optional(),
    add: z.string().optional(),
    host: z.string().optional(),
    redirect: z.string().optional().describe('code and location, as in a tag'),
    timeout: z.string().optional().describe('with its unit: 30s'),
    rawpath: z.boolean().optional(),
    balance: z.string().optional(),
    sticky: z.string().optional().describe('name of the cookie'),
    maxconn: z.int().optional().describe('per server'),
    proto: z.string().optional(),
    priority: z.int().optional(),
  })
  .describe('what differs from the defaults')

export const routeView = z.object({
  ...match,
  service: z.string(),
  options: optionsView,
  instances: z
    .array(
      z.object({
        id: z.string(),
        node: z.string(),
        address: z.string(),
        port: z.int(),
        source: z.enum(addressSources).describe('what proved the address'),
        state: z.enum(serverStates),
        weight: z.int(),
        backup: z.boolean(),
      }),
    )
    .describe('those with a server in HAProxy'),
  up: count.describe('instances that take new requests'),
  all: count.describe('instances the service has in the catalog'),
  owner: z.string().describe('service that holds the match while others ask for it too'),
  backend: z.string().nullable().describe('of HAProxy; null: answered by a redirect'),
  section,
  redirect: z.string().nullable(),
  lingersUntil: time.nullable().describe('set when the service has no instance left'),
  isCurrent: z.boolean().describe('false: the last good version, what the catalog says now is not understood'),
  text: z.string().describe('as written in the catalog'),
  problems: count.describe('of the service'),
})
export type RouteView = z.infer<typeof routeView>

export const problemView = z.object({
  code: z.string(),
  service: z.string(),
  instance: z.string().nullable(),
  subject: z.string().describe('the text at fault'),
  reason: z.string(),
  hint: z.string(),
})
export type ProblemView = z.infer<typeof problemView>

/** What the running HAProxy has of an instance. In several backends: the state that lets the least through, and all sessions. */
export const liveServerView = z.object({
  state: z.enum(serverStates),
  weight: z.int(),
  sessions: count.nullable().describe('requests and tunnels that run on it now; null: not asked, or not told'),
  total: count.nullable().describe('all it has had since this worker started'),
  queue: count.nullable().describe('requests that wait for it'),
})
export type LiveServerView = z.infer<typeof liveServerView>

export const serviceView = z.object({
  name: z.string(),
  backends: z.array(z.object({ backend: z.string(), section })).describe('of HAProxy'),
  routes: z.array(z.object({ ...match, lingersUntil: time.nullable() })),
  instances: z.array(
    z.object({
      id: z.string(),
      node: z.string(),
      health: z.enum(healths),
      state: z.enum(instanceStates),
      address: z.string().nullable(),
      port: z.int().nullable(),
      source: z.enum(addressSources).nullable(),
      weight: z.int().nullable(),
      isCorrected: z.boolean().describe('Docker contradicted the catalog and was believed'),
      why: z.string().nullable().describe('why it takes no requests'),
      live: liveServerView.nullable().describe('null: HAProxy has no server for it, or does not answer'),
    }),
  ),
  problems: z.array(problemView),
})
export type ServiceView = z.infer<typeof serviceView>

export const sourceView = z.object({
  state: z.enum([...evidences, 'waiting']),
  ageSeconds: z.number().nullable().describe('since the last fresh answer of its worst partition'),
  error: z.string().nullable(),
  errors: count,
  partitions: z.object({ total: count, stale: count }),
  note: z.string().nullable().describe('what makes it slower than it could be, though it is no error'),
})

export const statusView = z.object({
  ready: z.boolean(),
  reason: z.string(),
  decided: z.boolean().describe('false: a source has not answered once, so that lists answer 503'),
  revision: z
    .object({ number: z.int(), hash: z.string(), routesHash: z.string(), provenAt: time })
    .nullable()
    .describe('read back from the running worker; null: none yet'),
  wanted: z.object({ hash: z.string(), routesHash: z.string() }).nullable(),
  pending: z
    .object({
      steps: count,
      leaving: count,
      reload: z.array(z.object({ code: z.enum(reloadReasonCodes), subject: z.string() })),
    })
    .nullable()
    .describe('what the running HAProxy still lacks'),
  sources: z.record(z.string(), sourceView),
  holds: z.array(z.unknown()).describe('instances kept against an answer that is not believed'),
  haproxy: z.object({
    process: z.enum(['attach', 'spawn']),
    isConnected: z.boolean(),
    version: z.string().nullable(),
    pid: z.int().nullable(),
    oldWorkers: count,
    spares: z.object({ free: count, taken: count }).describe('sections declared ahead for new services'),
    reloads: z.object({ success: count, failure: count }),
    error: z.string().nullable(),
  }),
  counts: z.object({
    services: count,
    routes: count,
    backends: count,
    instances: z.object({ up: count, all: count }),
    problems: count,
  }),
  notices: z.record(z.string(), z.string()).describe('new versions of settings or templates that were not taken'),
  version: z.string(),
  startedAt: time,
  at: time.describe('when this state was reached'),
})
export type StatusView = z.infer<typeof statusView>

/** The small form of the status that event streams carry. */
export const stateEvent = z.object({
  ready: z.boolean(),
  reason: z.string(),
  revision: z.object({ number: z.int(), hash: z.string() }).nullable(),
  sources: z.record(z.string(), sourceView.shape.state),
  counts: statusView.shape.counts,
})
export type StateEvent = z.infer<typeof stateEvent>

const change = z.object({ added: z.array(z.string()), removed: z.array(z.string()), changed: z.array(z.string()) })
const diffView = z.object({ routes: change, servers: change, backends: change })
const changeCounts = z.object({ added: count, removed: count, changed: count })

export const revisionView = z.object({
  number: z.int(),
  hash: z.string(),
  routesHash: z.string(),
  at: time,
  action: z.enum(actions),
  reasons: z.array(z.string()).describe('of the reload, or what refused it'),
  cause: z.string(),
  changes: z.object({ routes: changeCounts, servers: changeCounts, backends: changeCounts }),
  samples: z
    .array(z.string())
    .describe('a few of the changes, each with `+`, `-` or `~` before it; `/api/v1/revisions/N/diff` has them all'),
})
export type RevisionView = z.infer<typeof revisionView>

export const revisionDiffView = z.object({ number: z.int(), hash: z.string(), ...diffView.shape })
export type RevisionDiffView = z.infer<typeof revisionDiffView>

export const errorView = z.object({ error: z.string(), hint: z.string() })
export type ErrorView = z.infer<typeof errorView>
