import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { State } from '../../src/control/state.ts'
import { stateEventOf, statusView } from '../../src/status/api.ts'
import { openApiDocument } from '../../src/status/openapi.ts'
import { operationTable } from '../../src/status/operations.ts'
import { runningState, shopState, startingState, stateTime } from '../support/states.ts'
import { statusServer } from '../support/status-server.ts'

/** The OpenAPI document: that it is one, and that the endpoint answers as it says, no more and no less. */

const text = z.string().min(3)
const schema: z.ZodType = z.lazy(() =>
  z.union([
    z.strictObject({ $ref: z.string().startsWith('#/components/schemas/') }),
    z.strictObject({
      type: z
        .union([z.enum(['object', 'array', 'string', 'integer', 'number', 'boolean', 'null']), z.array(z.string())])
        .optional(),
      description: text.optional(),
      properties: z.record(z.string(), schema).optional(),
      required: z.array(z.string()).optional(),
      additionalProperties: schema.optional(),
      propertyNames: schema.optional(),
      items: schema.optional(),
      anyOf: z.array(schema).optional(),
      enum: z.array(z.unknown()).optional(),
      const: z.unknown().optional(),
      default: z.unknown().optional(),
      format: z.literal('date-time').optional(),
      pattern: z.string().optional(),
      minimum: z.number().optional(),
      maximum: z.number().optional(),
      minLength: z.int().optional(),
      maxLength: z.int().optional(),
    }),
  ]),
)
const content = z.record(z.string().regex(/^[a-z]+\/[a-z+-]+$/), z.strictObject({ schema }))
const response = z.strictObject({
  description: text,
  headers: z.record(z.string(), z.strictObject({ description: text, schema })).optional(),
  content,
})
const reference = z.strictObject({ $ref: z.string().startsWith('#/components/responses/') })
const operation = z.strictObject({
  operationId: z.string().regex(/^[a-zA-Z]+$/),
  summary: text,
  description: text.optional(),
  tags: z.array(z.string()).length(1),
  parameters: z.array(
    z.strictObject({
      name: z.string(),
      in: z.enum(['path', 'query']),
      required: z.boolean(),
      description: text,
      schema,
    }),
  ),
  responses: z.record(z.string().regex(/^[2-5][0-9]{2}$/), z.union([reference, response])),
  security: z.array(z.record(z.string(), z.tuple([]))),
  'x-events': z.record(z.string(), schema).optional(),
})
/** The parts of OpenAPI 3.1 that are in use; anything else is a mistake. */
const documentShape = z.strictObject({
  openapi: z.literal('3.1.0'),
  info: z.strictObject({
    title: text,
    version: z.string().min(1),
    description: text,
    license: z.strictObject({ name: text, identifier: text }),
  }),
  servers: z.array(z.strictObject({ url: z.url(), description: text })).min(1),
  tags: z.array(z.strictObject({ name: z.string(), description: text })),
  paths: z.record(z.string().startsWith('/'), z.strictObject({ get: operation })),
  components: z.strictObject({
    schemas: z.record(z.string().regex(/^[A-Za-z]+$/), schema),
    responses: z.record(z.string().regex(/^[A-Za-z]+$/), response),
    securitySchemes: z.record(
      z.string(),
      z.strictObject({ type: z.literal('http'), scheme: z.enum(['bearer', 'basic']), description: text }),
    ),
  }),
})

const raw = openApiDocument('0.1.0')
const document = documentShape.parse(raw)
const operations = Object.entries(document.paths).map(([path, { get }]) => ({ path, ...get }))

describe('the OpenAPI document', () => {
  it('describes every operation once, under its path and name', () => {
    expect(operations.map(({ operationId }) => operationId)).toEqual([...operationTable.keys()])
    expect(new Set(operations.map(({ operationId }) => operationId)).size).toBe(operations.length)
    const tags = document.tags.map(({ name }) => name)
    expect([...new Set(operations.flatMap((one) => one.tags))].sort()).toEqual([...tags].sort())
  })

  it('refers to nothing that it does not have, and has nothing that is not referred to', () => {
    const { schemas, responses } = document.components
    const targets = [...JSON.stringify(raw).matchAll(/"\$ref":"#\/components\/([^"]+)"/g)].map(([, target]) => target)
    const there = [
      ...Object.keys(schemas).map((name) => `schemas/${name}`),
      ...Object.keys(responses).map((name) => `responses/${name}`),
    ]
    expect([...new Set(targets)].sort()).toEqual(there.sort())
    const schemes = operations.flatMap(({ security }) => security.flatMap((one) => Object.keys(one)))
    expect([...new Set(schemes)].sort()).toEqual(Object.keys(document.components.securitySchemes).sort())
  })

  it('has a parameter for each part of a path in braces, and only there one that stands in the path', () => {
    for (const { path, parameters } of operations) {
      const braced = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
      const inPath = parameters.filter((one) => one.in === 'path')
      expect(inPath.map(({ name }) => name)).toEqual(braced)
      expect(inPath.every(({ required }) => required)).toBe(true)
    }
  })

  it('asks for no token at the probes alone, and knows the answers that refuse', () => {
    for (const { path, security, responses } of operations) {
      const isProbe = path === '/livez' || path === '/readyz'
      expect(security.length === 0).toBe(isProbe)
      expect(Object.keys(responses).includes('401')).toBe(!isProbe)
      expect(Object.keys(responses)).toEqual(expect.arrayContaining(['200', '403', '405', '414', '431', '500']))
    }
  })
})

const apps: { close: () => Promise<unknown> }[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})

function serve(state: State, token: string | null = null) {
  const access = { allowedHosts: [], token: () => token, isLoopback: true }
  const app = statusServer(() => state, { access })
  apps.push(app)
  return app
}

/** As it is in the document, but closed: a field that it does not describe is a mistake. */
function validatorOf(described: unknown): z.ZodType {
  const closed = JSON.stringify({ ...Object(described), $defs: document.components.schemas }, (_key, value) =>
    value?.properties !== undefined && value.type === 'object' && value.additionalProperties === undefined
      ? { ...value, additionalProperties: false }
      : value,
  )
  return z.fromJSONSchema(JSON.parse(closed.replaceAll('#/components/schemas/', '#/$defs/')))
}

/** The answer as the document has it for this path and status. */
function declared(path: string, status: number): z.infer<typeof response> {
  const found = document.paths[path]?.get.responses[String(status)]
  if (found === undefined) throw new Error(`the document has no ${status} of ${path}`)
  if (!('$ref' in found)) return found
  const shared = document.components.responses[String(found.$ref).split('/').at(-1) ?? '']
  if (shared === undefined) throw new Error(`no ${String(found.$ref)}`)
  return shared
}

const revision = '/api/v1/revisions/{number}'
/** Path of the document, what is asked, the status expected, and the state to ask in. */
const asked: readonly (readonly [string, string, number, (() => State)?])[] = [
  ...operations
    .filter(({ tags }) => tags.includes('page'))
    .map(({ path }): readonly [string, string, number] => [path, path, 200]),
  ['/livez', '/livez', 200],
  ['/readyz', '/readyz', 200],
  ['/readyz', '/readyz', 503, startingState],
  ['/metrics', '/metrics', 200],
  ['/api/v1/status', '/api/v1/status', 200],
  ['/api/v1/status', '/api/v1/status', 200, startingState],
  ...['routes', 'services', 'problems'].flatMap((name) => {
    const path = `/api/v1/${name}`
    return [
      [path, path, 200],
      [path, `${path}?limit=1&offset=1&service=web`, 200],
      [path, `${path}?limit=none`, 400],
      [path, path, 503, startingState],
    ] as const
  }),
  ['/api/v1/services', '/api/v1/services?live=true', 200, runningState],
  ['/api/v1/services', '/api/v1/services?live=perhaps', 400],
  ['/api/v1/revisions', '/api/v1/revisions?limit=2', 200],
  ['/api/v1/revisions', '/api/v1/revisions?limit=0', 400],
  [revision, '/api/v1/revisions/7', 200],
  [revision, '/api/v1/revisions/99', 404],
  [`${revision}/diff`, '/api/v1/revisions/7/diff', 200],
  [`${revision}/diff`, '/api/v1/revisions/99/diff', 404],
  ['/api/v1/explain', '/api/v1/explain?url=http://shop.example.com/api/x', 200],
  ['/api/v1/explain', '/api/v1/explain?url=http://shop.example.com/old', 200],
  ['/api/v1/explain', '/api/v1/explain?url=nowhere.example.com/&live=true', 200],
  ['/api/v1/explain', '/api/v1/explain', 400],
  ['/api/v1/explain', '/api/v1/explain?url=shop.example.com', 503, startingState],
  ['/api/v1/config', '/api/v1/config', 200],
  ['/api/v1/openapi.json', '/api/v1/openapi.json', 200],
]

describe('an answer is what the OpenAPI document says of it', () => {
  const cases = asked.map(([path, url, status, state = shopState]) => ({ path, url, status, state }))
  it.each(cases)('$path: $url gives $status', async ({ path, url, status, state }) => {
    const answer = await serve(state()).inject({ method: 'GET', url, headers: { host: '127.0.0.1:8480' } })
    expect(answer.statusCode).toBe(status)
    const { content: contents, headers = {} } = declared(path, status)
    const [type = ''] = String(answer.headers['content-type']).split(';')
    expect(Object.keys(contents)).toEqual([type])
    for (const [name, header] of Object.entries(headers)) {
      const isNumber = z.fromJSONSchema(Object(header.schema)).safeParse(1).success
      expect(answer.headers[name.toLowerCase()]).toMatch(isNumber ? /^\d+$/ : /^[ -~]+$/)
    }
    const value: unknown = type === 'application/json' ? answer.json() : answer.body
    expect(validatorOf(contents[type]?.schema).safeParse(value).error?.issues ?? []).toEqual([])
  })

  it('is asked for at least once for each operation that ends', () => {
    const paths = new Set(asked.map(([path]) => path))
    expect(operations.map(({ path }) => path).filter((path) => !paths.has(path))).toEqual(['/api/v1/events'])
  })

  it.each([
    ['NoToken', 401, { host: '127.0.0.1' }, 'GET', '/api/v1/status'],
    ['WrongHost', 403, { host: 'evil.example' }, 'GET', '/api/v1/status'],
    ['WrongMethod', 405, { host: '127.0.0.1' }, 'POST', '/api/v1/status'],
    ['LongUrl', 414, { host: '127.0.0.1' }, 'GET', `/api/v1/status?${'x'.repeat(5000)}`],
  ] as const)('also where it refuses: %s', async (name, status, headers, method, url) => {
    const answer = await serve(shopState(), 'token').inject({ method, url, headers })
    expect(answer.statusCode).toBe(status)
    const described = document.components.responses[name]?.content['application/json']?.schema
    expect(validatorOf(described).safeParse(answer.json()).success).toBe(true)
  })

  it('in the events of a stream too', () => {
    const events = document.paths['/api/v1/events']?.get['x-events'] ?? {}
    const carried = { status: statusView(shopState(), stateTime), state: stateEventOf(shopState()), ping: {} }
    expect(Object.keys(events)).toEqual(Object.keys(carried))
    for (const [name, value] of Object.entries(carried))
      expect(validatorOf(events[name]).safeParse(value).error?.issues ?? []).toEqual([])
  })

  it('which would be noticed: a field too many, one that is missing, one of another type', () => {
    const error = validatorOf({ $ref: '#/components/schemas/Error' })
    expect(error.safeParse({ error: 'no', hint: 'yes' }).success).toBe(true)
    for (const wrong of [{ error: 'no', hint: 'yes', more: 1 }, { error: 'no' }, { error: 'no', hint: 7 }])
      expect(error.safeParse(wrong).success).toBe(false)
  })
})
