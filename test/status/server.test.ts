import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it, onTestFinished } from 'vitest'
import type { State } from '../../src/control/state.ts'
import { accessOf } from '../../src/status/access.ts'
import type { StatusServerSettings } from '../../src/status/server.ts'
import { instanceOf, routeOf, runningState, shopState, startingState, stateOf, wideState } from '../support/states.ts'
import { type StatusServer, statusServer } from '../support/status-server.ts'

const apps: StatusServer[] = []
afterEach(async () => {
  for (const app of apps.splice(0)) await app.close()
})

function serve(state: State, more: Partial<StatusServerSettings> = {}): StatusServer {
  const app = statusServer(() => state, more)
  apps.push(app)
  return app
}

const get = (app: StatusServer, url: string, headers: Record<string, string> = {}) =>
  app.inject({ method: 'GET', url, headers: { host: '127.0.0.1:8480', ...headers } })

describe('the status endpoint', () => {
  it('is alive whatever happens, and ready when a proved revision runs', async () => {
    expect((await get(serve(startingState()), '/livez')).statusCode).toBe(200)
    const waiting = await get(serve(startingState()), '/readyz')
    expect(waiting.statusCode).toBe(503)
    expect(waiting.json()).toMatchObject({ ready: false })
    expect((await get(serve(startingState()), '/api/v1/status')).json()).toMatchObject({ decided: false })
    expect((await get(serve(shopState()), '/readyz')).statusCode).toBe(200)
  })

  it('answers with the fields of the contract', async () => {
    const app = serve(shopState())
    const [first] = (await get(app, '/api/v1/routes')).json()
    expect(Object.keys(first)).toEqual(
      expect.arrayContaining(['host', 'path', 'match', 'service', 'options', 'instances']),
    )
    expect((await get(app, '/api/v1/status')).json()).toMatchObject({
      ready: true,
      decided: true,
      holds: [],
      haproxy: {},
      sources: {},
    })
    expect(Array.isArray((await get(app, '/api/v1/problems')).json())).toBe(true)
    expect(Array.isArray((await get(app, '/api/v1/services')).json())).toBe(true)
    expect(Array.isArray((await get(app, '/api/v1/revisions')).json())).toBe(true)
    expect((await get(app, '/api/v1/config')).json()).toEqual({ consul: { token: '(set)' } })
    const explained = await get(app, '/api/v1/explain?url=http%3A%2F%2Fa%2Fb&live=true')
    expect(explained.json()).toMatchObject({ answer: 404, path: '/b', live: { answers: false } })
    expect((await get(app, '/api/v1/openapi.json')).json()).toHaveProperty('paths')
    expect((await get(app, '/api/v1/nonsense')).statusCode).toBe(404)
    expect((await get(app, '/api/v1/revisions/999999')).statusCode).toBe(404)
  })

  it.each(['routes', 'services', 'problems'])('searches and pages %s, as the OpenAPI document says', async (list) => {
    const app = serve(shopState())
    const { paths } = (await get(app, '/api/v1/openapi.json')).json()
    const names = paths[`/api/v1/${list}`].get.parameters.map(({ name }: { name: string }) => name)
    expect(names).toEqual(expect.arrayContaining(['service', 'q', 'limit', 'offset']))
    const all = await get(app, `/api/v1/${list}?q=WEB`)
    const total = Number(all.headers['x-total-count'])
    expect(total).toBe(all.json().length)
    expect(total).toBeGreaterThan(0)
    const second = await get(app, `/api/v1/${list}?q=web&limit=1&offset=${total - 1}`)
    expect(second.json()).toEqual(all.json().slice(-1))
    expect(second.headers['x-total-count']).toBe(String(total))
    expect((await get(app, `/api/v1/${list}?q=${'x'.repeat(301)}`)).statusCode).toBe(400)
  })

  it.each(['POST', 'PUT', 'DELETE', 'PATCH'] as const)('changes nothing on %s', async (method) => {
    for (const url of ['/', '/metrics', '/api/v1/routes', '/api/v1/config']) {
      const answer = await serve(shopState()).inject({ method, url, headers: { host: 'localhost' } })
      expect([404, 405]).toContain(answer.statusCode)
    }
  })

  it('sends safe headers with everything and lets no other site read it', async () => {
    for (const url of ['/', '/page.css', '/page.js', '/icon.svg', '/metrics', '/api/v1/routes', '/nowhere']) {
      const { headers } = await get(serve(shopState()), url)
      expect(headers['x-content-type-options']).toBe('nosniff')
      expect(headers['content-security-policy']).toContain("default-src 'self'")
      expect(headers).not.toHaveProperty('access-control-allow-origin')
    }
  })

  it.each([
    ['127.0.0.1:8480', 200],
    ['localhost:8480', 200],
    ['[::1]:8480', 200],
    ['evil.example', 403],
    ['edge.example:8480', 200],
  ])('asked as %s answers %i', async (host, expected) => {
    const app = serve(shopState(), { access: { allowedHosts: ['edge.example'], token: () => null, isLoopback: true } })
    expect((await get(app, '/api/v1/routes', { host })).statusCode).toBe(expected)
  })

  it.each([
    ['10.0.0.5:8480', 200],
    ['[2001:db8::1]:8480', 200],
    ['evil.example', 403],
    ['localhost', 403],
  ])('elsewhere than on loopback, asked as %s with the token, answers %i', async (host, expected) => {
    const app = serve(shopState(), { access: { allowedHosts: [], token: () => 'token', isLoopback: false } })
    expect((await get(app, '/api/v1/routes', { host, authorization: 'Bearer token' })).statusCode).toBe(expected)
  })

  it('lets nobody in while its token file is empty or gone, and everybody who has it when it is back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hd-token-'))
    onTestFinished(() => rm(folder, { recursive: true }))
    const file = join(folder, 'token')
    const status = { listen: '0.0.0.0:8480', allowedHosts: [], token: null, tokenFile: file }
    const app = serve(shopState(), { access: accessOf(status) })
    const as = async (authorization: string) =>
      (await get(app, '/api/v1/routes', { host: '10.0.0.5', authorization })).statusCode
    const empty = `Basic ${Buffer.from('anybody:').toString('base64')}`
    expect([await as('Bearer token'), await as(empty)]).toEqual([401, 401])
    await writeFile(file, '\n')
    expect([await as('Bearer token'), await as(empty), await as('Bearer ')]).toEqual([401, 401, 401])
    await writeFile(file, 'token\n')
    expect([await as('Bearer token'), await as(empty)]).toEqual([200, 401])
  })

  it.each(['routes', 'services', 'problems', 'explain?url=a.test'])(
    'has no %s to show before anything was decided, and says what is waited for',
    async (what) => {
      const answer = await get(serve(startingState()), `/api/v1/${what}`)
      expect(answer.statusCode).toBe(503)
      expect(answer.json().error).toBe('nothing has been decided yet: waiting for consul')
    },
  )

  it.each([
    ['Bearer right-token', '/api/v1/routes', 200],
    ['Bearer wrong-token', '/api/v1/routes', 401],
    ['Bearer right-toke', '/api/v1/routes', 401],
    ['', '/api/v1/routes', 401],
    ['', '/api/v1/routes?token=right-token', 401],
    ['', '/livez', 200],
    ['', '/readyz', 200],
  ])('with the token "%s" %s answers %i', async (authorization, url, expected) => {
    const access = { allowedHosts: ['edge.example'], token: () => 'right-token', isLoopback: false }
    const headers = { host: 'edge.example', ...(authorization === '' ? {} : { authorization }) }
    expect((await get(serve(shopState(), { access }), url, headers)).statusCode).toBe(expected)
  })

  it('shows hostile names as data', async () => {
    const name = '<script>alert(1)</script>'
    const { decision } = shopState()
    if (decision === null) throw new Error('expected a decision')
    const routes = [routeOf(name, { host: 'a.example' })]
    const endpoints = new Map([[name, []]])
    const app = serve(stateOf({ decision: { ...decision, model: { routes, backends: new Map() }, endpoints } }))
    const answer = await get(app, '/api/v1/routes')
    expect(answer.headers['content-type']).toContain('application/json')
    expect((await get(app, '/')).body).not.toContain(name)
    expect(instanceOf(name).service).toBe(name)
  })
})

describe('metrics', () => {
  it('are lines of the exposition format, as many for 3,000 services as for a few but for one a backend', async () => {
    const linesOf = async (state: State) => (await get(serve(state), '/metrics')).body.split('\n')
    const { running } = runningState()
    const few = await linesOf({ ...wideState(3, 2), running })
    const many = await linesOf({ ...wideState(3000, 2, (index) => `we"b\n{${index}}`), running })
    const heddle = (lines: readonly string[]) => lines.filter((line) => line.startsWith('heddle_')).length
    expect(heddle(many) - heddle(few)).toBe(2997)
    for (const line of many) {
      expect(line).toMatch(
        /^(|# (HELP|TYPE) .*|[a-z_][a-z0-9_]*(\{([a-z_]+="([^"\\\n]|\\["\\n])*",?)+\})? [-+0-9.eInfNa]+)$/,
      )
    }
    for (const name of [
      'heddle_routes',
      'heddle_ready',
      'heddle_build_info',
      'heddle_reloads_total',
      'heddle_instances',
    ]) {
      expect(many.some((line) => line.startsWith(name))).toBe(true)
    }
  })
})
