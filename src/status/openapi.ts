import { z } from 'zod'
import { type Operation, operationTable } from './operations.ts'
import { errorView } from './views.ts'

type Json = Readonly<Record<string, unknown>>

/** The OpenAPI 3.1 document of the endpoint, made from the table of operations. */
export function openApiDocument(version: string): Json {
  return {
    openapi: '3.1.0',
    info: {
      title: 'heddle status endpoint',
      version,
      description: 'Read-only. Fields may be added; those described here stay.',
    },
    paths: Object.fromEntries(
      [...operationTable].map(([name, operation]) => [
        operation.url.replace(/:([a-z]+)/g, '{$1}'),
        { get: describe(name, operation) },
      ]),
    ),
    components: {
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer' },
        password: { type: 'http', scheme: 'basic', description: 'any user, the token as password: for browsers' },
      },
      responses: {
        Refused: { description: 'Refused, with what to do instead', content: contentOf('application/json', errorView) },
      },
    },
  }
}

function describe(name: string, { summary, query, params, answers }: Operation): Json {
  const isProbe = name === 'livez' || name === 'readyz'
  const refused = { $ref: '#/components/responses/Refused' }
  return {
    operationId: name,
    summary,
    parameters: [...parametersOf('path', params), ...parametersOf('query', query)],
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, { description, type, schema }]) => [
          status,
          { description, content: contentOf(type, schema) },
        ]),
      ),
      ...(!isProbe && { 401: refused }),
      403: refused,
      405: refused,
      414: refused,
      431: refused,
      500: refused,
    },
    security: isProbe ? [] : [{ token: [] }, { password: [] }, {}],
  }
}

function parametersOf(place: 'path' | 'query', schema: z.ZodObject | undefined): readonly Json[] {
  const wanted = Object.entries(schema?.shape ?? {})
  return wanted.map(([name, value]) => ({
    name,
    in: place,
    required: !z.safeParse(value, undefined).success,
    schema: schemaOf(value),
  }))
}

function contentOf(type: string, schema: z.ZodType): Json {
  return { [type]: { schema: schemaOf(schema) } }
}

/** `input`: what may be added to an object is left open. */
function schemaOf(schema: z.core.$ZodType): Json {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input' })
  return rest
}
