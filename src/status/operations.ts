import { z } from 'zod'
import { explainView } from './explanation.ts'
import {
  errorView,
  problemView,
  revisionDiffView,
  revisionView,
  routeView,
  serviceView,
  stateEvent,
  statusView,
} from './views.ts'

/** Everything that can be asked over HTTP, in one table: the server answers it, the OpenAPI document describes it. */

const mostItems = 10_000
/** Of a URL to explain. */
export const longestUrl = 2048
export const methodPattern = /^[A-Z][A-Z-]{0,19}$/
const page = {
  limit: z.coerce
    .number()
    .int()
    .min(1)
    .max(mostItems)
    .optional()
    .describe('longest list wanted; X-Total-Count has all'),
  offset: z.coerce.number().int().min(0).max(10_000_000).optional().describe('how many to leave out at the beginning'),
}
const text = z.string().max(300).optional()
const live = z
  .enum(['true', 'false', '1', '0', ''])
  .transform((value) => value !== 'false' && value !== '0')
  .optional()

export const routesQuery = z.object({
  host: text.describe('exactly this host, as the route has it'),
  service: text.describe('exactly this service'),
  q: text.describe('text in host and path, service, or an instance'),
  ...page,
})
export const servicesQuery = z.object({
  service: text.describe('exactly this service'),
  q: text.describe('text in the name, a host and path, or an instance'),
  live: live.describe('ask the running HAProxy for sessions, or do not; without it: with a limit, up to 200 backends'),
  ...page,
})
export const problemsQuery = z.object({
  service: text.describe('exactly this service'),
  code: text.describe('exactly this code'),
  q: text.describe('text in code, service, instance, subject or reason'),
  ...page,
})
export const revisionsQuery = z.object({
  limit: page.limit.describe('only the newest ones'),
})
export const revisionParams = z.object({
  number: z
    .string()
    .regex(/^[0-9]{1,9}$/)
    .describe('of the revision, as the history and the journal have it'),
})
export const explainQuery = z.object({
  url: z.string().min(1).max(longestUrl).describe('http://HOST/PATH?QUERY or HOST/PATH'),
  method: z.string().regex(methodPattern).default('GET').describe('of the request'),
  live: live.describe('also ask the running HAProxy'),
})

interface Header {
  readonly type: 'integer' | 'string'
  readonly description: string
}

interface Answer {
  readonly description: string
  readonly type:
    | 'application/json'
    | 'text/html'
    | 'text/css'
    | 'text/javascript'
    | 'image/svg+xml'
    | 'text/plain'
    | 'text/event-stream'
  readonly schema: z.ZodType
  /** What each header says that not every answer has. */
  readonly headers?: Readonly<Record<string, Header>>
}

export interface Operation {
  readonly url: string
  readonly summary: string
  /** What the summary has no room for. */
  readonly description?: string
  /** Of a stream: what the events of each name carry. */
  readonly events?: Readonly<Record<string, z.ZodType>>
  readonly query?: z.ZodObject
  readonly params?: z.ZodObject
  /** By status. Those of every operation (401, 403, 405, 414, 431, 500) are not repeated. */
  readonly answers: Readonly<Record<number, Answer>>
}

const integer = (description: string): Header => ({ type: 'integer', description })
const json = (description: string, schema: z.ZodType): Answer => ({ description, type: 'application/json', schema })
const list = (description: string, items: z.ZodType): Answer => ({
  ...json(description, z.array(items)),
  headers: { 'X-Total-Count': integer('how many there are in all, whatever limit and offset left out') },
})
const services = list('Services', serviceView)
const asked: Header = {
  type: 'string',
  description: 'whether HAProxy was asked for sessions: `asked`, `not asked: ...` or `failed: ...` with the reason',
}
const file = (description: string, type: Answer['type']): Answer => ({ description, type, schema: z.string() })
const wrongQuery = json('A query parameter is wrong', errorView)
const undecided = json('Nothing has been decided yet: a source has not answered once', errorView)
const noSuchRevision = json('The history has no such revision, or not any more', errorView)

export const operations = {
  page: { url: '/', summary: 'Page for people, live', answers: { 200: file('HTML', 'text/html') } },
  pageStyle: { url: '/page.css', summary: 'Style of the page', answers: { 200: file('CSS', 'text/css') } },
  pageScript: {
    url: '/page.js',
    summary: 'Script of the page',
    answers: { 200: file('JavaScript', 'text/javascript') },
  },
  pageIcon: { url: '/icon.svg', summary: 'Icon of the page', answers: { 200: file('SVG', 'image/svg+xml') } },
  livez: {
    url: '/livez',
    summary: 'Whether the process answers; needs no token',
    answers: { 200: json('It does', z.object({ live: z.literal(true) })) },
  },
  readyz: {
    url: '/readyz',
    summary: 'Whether a proved revision runs in HAProxy; needs no token',
    answers: {
      200: json('One runs', z.object({ ready: z.literal(true), reason: z.string() })),
      503: json('None runs', z.object({ ready: z.literal(false), reason: z.string() })),
    },
  },
  metrics: { url: '/metrics', summary: 'Prometheus metrics', answers: { 200: file('Metrics', 'text/plain') } },
  status: {
    url: '/api/v1/status',
    summary: 'Readiness, revision, sources, HAProxy',
    answers: { 200: json('The status', statusView) },
  },
  routes: {
    url: '/api/v1/routes',
    summary: 'The route table, in byte order of matches',
    query: routesQuery,
    answers: { 200: list('Routes', routeView), 400: wrongQuery, 503: undecided },
  },
  services: {
    url: '/api/v1/services',
    summary: 'Exposed services with every instance and what became of it',
    description:
      'State and weight of a server in HAProxy are as last read back. Its sessions are asked for when the request comes, of each ' +
      'backend in the list, for 2 s at most; several clients share an answer for a second. A whole list has them only with ' +
      '`live=true`, and so has one of more than 200 backends.',
    query: servicesQuery,
    answers: {
      200: { ...services, headers: { ...services.headers, 'X-Live': asked } },
      400: wrongQuery,
      503: undecided,
    },
  },
  problems: {
    url: '/api/v1/problems',
    summary: 'Problems of the input, in order of service and code',
    query: problemsQuery,
    answers: { 200: list('Problems', problemView), 400: wrongQuery, 503: undecided },
  },
  revisions: {
    url: '/api/v1/revisions',
    summary: 'The newest part of the history, oldest first',
    query: revisionsQuery,
    answers: { 200: list('Revisions', revisionView), 400: wrongQuery },
  },
  revision: {
    url: '/api/v1/revisions/:number',
    summary: 'One revision',
    params: revisionParams,
    answers: { 200: json('The revision', revisionView), 404: noSuchRevision },
  },
  revisionDiff: {
    url: '/api/v1/revisions/:number/diff',
    summary: 'What a revision changed',
    params: revisionParams,
    answers: { 200: json('The difference', revisionDiffView), 404: noSuchRevision },
  },
  explain: {
    url: '/api/v1/explain',
    summary: 'Which route takes a request, and why',
    description:
      'The same as `heddle explain`. Nothing is sent to the service; with `live` the running HAProxy is asked what it has.',
    query: explainQuery,
    answers: {
      200: json('The explanation', explainView),
      400: wrongQuery,
      503: undecided,
      504: json('HAProxy did not answer in time', errorView),
    },
  },
  config: {
    url: '/api/v1/config',
    summary: 'Settings in force, secrets left out',
    answers: { 200: json('Settings', z.looseObject({})) },
  },
  events: {
    url: '/api/v1/events',
    summary: 'The status at once, and then each change, as server-sent events',
    description:
      'An event `status` comes at once, `state` with each change, `ping` every 15 s. What changed is fetched from the ' +
      'other paths. A client that reads too slowly is cut off; it may come back after the `retry` that the stream says.',
    events: { status: statusView, state: stateEvent, ping: z.object({}) },
    answers: {
      200: { description: 'Events without end', type: 'text/event-stream', schema: z.string() },
      503: {
        ...json('Too many streams are open', errorView),
        headers: { 'Retry-After': integer('seconds until it makes sense to try again') },
      },
    },
  },
  openapi: {
    url: '/api/v1/openapi.json',
    summary: 'This document',
    answers: { 200: json('An OpenAPI 3.1 document', z.looseObject({})) },
  },
} as const satisfies Record<string, Operation>

/** A probe is answered to anybody. */
export const probes: readonly OperationName[] = ['livez', 'readyz']
export type OperationName = keyof typeof operations
/** What operations are seen as where only their common shape counts. */
export const operationTable: ReadonlyMap<string, Operation> = new Map(Object.entries<Operation>(operations))
