import { z } from 'zod'
import { explainView, liveView } from './explanation.ts'
import { type Operation, operationTable, probes } from './operations.ts'
import {
  errorView,
  liveServerView,
  problemView,
  revisionDiffView,
  revisionView,
  routeView,
  serviceView,
  sourceView,
  stateEvent,
  statusView,
} from './views.ts'

type Json = Readonly<Record<string, unknown>>

const description = `What a running heddle shows of itself. Read-only: only GET and HEAD are answered.

On a loopback address it may be open; elsewhere a token is needed (\`status.token\`, \`status.tokenFile\`), but for \`/livez\` and
\`/readyz\`. Ask it by an address, or by a name that is in \`status.allowedHosts\`. Each error says in \`hint\` what to do instead.

Times are ISO 8601 in UTC. Fields may be added; those described here stay.`

const tags = {
  API: 'What heddle knows and why, as JSON.',
  watching: 'For load balancers, supervisors and Prometheus.',
  page: 'The status page for people.',
} as const

/** Objects that have a name in the document, and stand there once. */
const named: Readonly<Record<string, readonly [z.ZodObject, string]>> = {
  Error: [errorView, 'Why there is no other answer, and what to do.'],
  Explanation: [explainView, 'Which route takes a request, and why the others do not.'],
  Live: [liveView, 'What the running HAProxy says about the same request.'],
  LiveServer: [liveServerView, 'What the running HAProxy has of an instance.'],
  Problem: [problemView, 'A defect of the input that a person should see, while everything else is served.'],
  Revision: [revisionView, 'A line of the history: what was brought into HAProxy, or refused.'],
  RevisionDiff: [revisionDiffView, 'What a revision changed, as text.'],
  Route: [routeView, 'A match and where it leads.'],
  Service: [serviceView, 'An exposed service with every instance that the catalog has of it.'],
  Source: [sourceView, 'How a source of the input is doing.'],
  State: [stateEvent, 'The small form of the status that event streams carry.'],
  Status: [statusView, 'What runs, what is wanted, and how the sources and HAProxy are doing.'],
}
for (const [id, [schema, text]] of Object.entries(named)) schema.register(z.globalRegistry, { id, description: text })

/** Answers that any operation may give, by status. */
const refusals: ReadonlyMap<number, { readonly name: string; readonly description: string }> = new Map([
  [401, { name: 'NoToken', description: 'A token is needed, or the one that was sent is wrong' }],
  [403, { name: 'WrongHost', description: 'The Host header names another site, or a page of another site asks' }],
  [405, { name: 'WrongMethod', description: 'Only GET and HEAD are answered' }],
  [414, { name: 'LongUrl', description: 'The URL is too long' }],
  [431, { name: 'LongHeaders', description: 'Request line and header lines together are too long' }],
  [500, { name: 'Failure', description: 'A bug of heddle; its log says more' }],
])

/** The OpenAPI 3.1 document of the endpoint, made from the table of operations. */
export function openApiDocument(version: string): Json {
  const schemas = new Map<string, unknown>()
  const schemaOf = (schema: z.core.$ZodType) => hoist(schema, schemas)
  const paths = Object.fromEntries(
    [...operationTable].map(([name, operation]) => [
      operation.url.replace(/:([a-z]+)/g, '{$1}'),
      { get: describe(name, operation, schemaOf) },
    ]),
  )
  const responses = Object.fromEntries(
    [...refusals.values()].map((refusal) => [
      refusal.name,
      { description: refusal.description, content: { 'application/json': { schema: schemaOf(errorView) } } },
    ]),
  )
  return {
    openapi: '3.1.0',
    info: { title: 'heddle status endpoint', version, description, license: { name: 'MIT', identifier: 'MIT' } },
    servers: [{ url: 'http://127.0.0.1:8480', description: 'the default of `status.listen`' }],
    tags: Object.entries(tags).map(([name, text]) => ({ name, description: text })),
    paths,
    components: {
      schemas: Object.fromEntries([...schemas].sort(([a], [b]) => (a < b ? -1 : 1))),
      responses,
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'the value of status.token' },
        password: { type: 'http', scheme: 'basic', description: 'any user, the token as password: for browsers' },
      },
    },
  }
}

type SchemaOf = (schema: z.core.$ZodType) => unknown

function describe(name: string, operation: Operation, schemaOf: SchemaOf): Json {
  const { summary, query, params, answers, events } = operation
  const isProbe = probes.some((probe) => probe === name)
  const refused = [...refusals].filter(([status]) => !isProbe || status !== 401)
  return {
    operationId: name,
    summary,
    ...(operation.description !== undefined && { description: operation.description }),
    tags: [tagOf(operation, isProbe)],
    parameters: [...parametersOf('path', params), ...parametersOf('query', query)],
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, responseOf(answer, schemaOf)])),
      ...Object.fromEntries(
        refused.map(([status, refusal]) => [status, { $ref: `#/components/responses/${refusal.name}` }]),
      ),
    },
    security: isProbe ? [] : [{ token: [] }, { password: [] }, {}],
    ...(events !== undefined && {
      'x-events': Object.fromEntries(Object.entries(events).map(([event, schema]) => [event, schemaOf(schema)])),
    }),
  }
}

function tagOf({ url }: Operation, isProbe: boolean): keyof typeof tags {
  if (url.startsWith('/api/')) return 'API'
  return isProbe || url === '/metrics' ? 'watching' : 'page'
}

function responseOf({ description, type, schema, headers }: Operation['answers'][number], schemaOf: SchemaOf): Json {
  const named = Object.entries(headers ?? {}).map(([name, header]) => [
    name,
    { description: header.description, schema: { type: header.type } },
  ])
  return {
    description,
    ...(named.length > 0 && { headers: Object.fromEntries(named) }),
    content: { [type]: { schema: schemaOf(schema) } },
  }
}

function parametersOf(place: 'path' | 'query', schema: z.ZodObject | undefined): readonly Json[] {
  const { properties = {}, required = [] } = z.toJSONSchema(schema ?? z.object({}), { io: 'input' })
  return Object.entries(properties).map(([name, value]) => {
    const { description = '', ...rest } = typeof value === 'object' ? value : {}
    return { name, in: place, required: required.includes(name), description, schema: rest }
  })
}

/** A schema whose named parts stand among the components. `input`: what may be added to an object is left open. */
function hoist(schema: z.core.$ZodType, schemas: Map<string, unknown>): unknown {
  const { $schema: _, $defs = {}, ...rest } = z.toJSONSchema(schema, { io: 'input' })
  for (const [name, part] of Object.entries($defs)) schemas.set(name, withReferences(part))
  return withReferences(rest)
}

function withReferences(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value).replaceAll('"#/$defs/', '"#/components/schemas/'))
}
