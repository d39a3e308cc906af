import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { explain } from '../../src/commands/explain.ts'
import { routes as listRoutes } from '../../src/commands/routes.ts'
import { loadReader } from '../../src/haproxy/loads.ts'
import { explainRequest } from '../../src/status/explain.ts'
import { routeView, serviceView } from '../../src/status/views.ts'
import type { Instance } from '../../src/types.ts'
import { type Edge, startEdge } from '../support/edge.ts'
import { atEnd, request, until } from '../support/haproxy.ts'
import { type HeldServer, heldServer } from '../support/held-server.ts'
import { type StatusServer, statusServer } from '../support/status-server.ts'
import { instance } from '../support/worlds.ts'

/** What heddle says of the HAProxy that runs, while requests are under way in it. */

const registered = (service: string, place: HeldServer, more: Partial<Instance> = {}) =>
  instance(service, `${service}-${place.port}`, {
    address: place.address,
    port: place.port,
    tags: [`heddle.route=${service.replace(/[^a-z]/g, '')}.example`],
    ...more,
    meta: {},
  })

describe('while requests run', () => {
  let edge: Edge
  let app: StatusServer
  let [web1, web2, api]: HeldServer[] = []

  const ask = async (path: string) => {
    const answer = await app.inject({ method: 'GET', url: path, headers: { host: '127.0.0.1' } })
    expect(answer.statusCode).toBe(200)
    return { live: answer.headers['x-live'], body: answer.json<unknown>() }
  }
  const services = async (query: string) => {
    const { live, body } = await ask(`/api/v1/services?${query}`)
    return { live, services: z.array(serviceView).parse(body) }
  }
  const liveOf = async (service: string, query = 'limit=10') => {
    const found = await services(`service=${service}&${query}`)
    return found.services[0]?.instances.map(({ live }) => live) ?? []
  }
  const explained = (url: string) => {
    const { decision, running } = edge.state()
    if (decision === null) throw new Error('expected a decision')
    return explainRequest({ decision, running }, { ...edge.folder, paths: 'auto' }, { url, method: 'GET', live: true })
  }
  /** Answers them once there are as many. */
  const answerAll = async (count: number) => {
    const all = Object.values(places())
    await until(() => all.reduce((sum, held) => sum + held.holds(), 0) === count)
    for (const held of all) held.answer()
  }
  const places = () => {
    if (web1 === undefined || web2 === undefined || api === undefined) throw new Error('expected servers')
    return { web1, web2, api }
  }

  beforeAll(async () => {
    ;[web1, web2, api] = [await heldServer(), await heldServer(), await heldServer()]
    const web = [registered('web', web1), registered('web', web2, { weights: { passing: 7, warning: 1 } })]
    // no reload for tidiness: what sits in a spare stays there
    edge = await startEdge(web, { settings: { tidy: { quiet: 600_000, longest: 600_000 } } })
    await edge.settled()
    edge.show([...web, registered('api', api)])
    await edge.settled()
    app = statusServer(edge.state, { loads: loadReader(() => edge.folder, { shared: 0 }) }, edge.folder)
    atEnd(() => app.close())
  })

  it('each instance has its state, weight and sessions in HAProxy', async () => {
    const answers = [1, 2, 3].map(() => request(edge.folder, { host: 'web.example' }))
    const busy = await until(async () => {
      const live = await liveOf('web')
      return live.reduce((sum, one) => sum + (one?.sessions ?? 0), 0) === 3 && live
    })
    expect(busy.map((live) => live?.state)).toEqual(['ready', 'ready'])
    expect(busy.map((live) => live?.weight).sort()).toEqual([1, 7])
    expect(busy.map((live) => live?.queue)).toEqual([0, 0])
    await answerAll(3)
    for (const { status } of await Promise.all(answers)) expect(status).toBe(200)
    await until(async () => (await liveOf('web')).every((live) => live?.sessions === 0))
    expect((await liveOf('web')).reduce((sum, live) => sum + (live?.total ?? 0), 0)).toBe(3)
  })

  it('a service in a spare section is found there, by its own name', async () => {
    const answer = request(edge.folder, { host: 'api.example' })
    await until(async () => (await liveOf('api'))[0]?.sessions === 1)
    const { section } = (await services('service=api&limit=1')).services[0]?.backends[0] ?? {}
    expect(section).toMatch(/^:spare\d+$/)
    const routes = z.array(routeView).parse((await ask('/api/v1/routes')).body)
    expect(routes.map((route) => [route.backend, route.section])).toEqual([
      ['api', section],
      ['web', null],
    ])
    const printed: string[] = []
    const io = { isColoured: false, stdout: (text: string) => printed.push(text), stderr: () => {} }
    await listRoutes({ routes: async () => routes }, { json: false }, io)
    expect(printed.join('')).toMatch(/^api\.example .* \[in :spare\d+ until the next reload\]$/m)
    const { live, ...wanted } = await explained('http://api.example/x')
    expect(wanted).toMatchObject({ backend: 'api', section })
    expect(live).toMatchObject({ backend: 'api', section, differs: false, servers: [{ sessions: 1, weight: 1 }] })
    const metrics = await app.inject({ method: 'GET', url: '/metrics', headers: { host: '127.0.0.1' } })
    const names = metrics.body.split('\n').filter((line) => line.startsWith('heddle_backend_info{'))
    expect(names.sort()).toEqual([
      `heddle_backend_info{backend="${section}",service="api"} 1`,
      'heddle_backend_info{backend="web",service="web"} 1',
    ])
    await answerAll(1)
    expect((await answer).status).toBe(200)
  })

  it('the command says where a backend sits, what its servers have, and what differs', async () => {
    const name = `${places().api.address}:${places().api.port}`
    const print = async () => {
      const printed: string[] = []
      const options = { url: 'http://api.example/', method: 'GET', live: true, json: false }
      await explain({ explain: explained }, options, { isColoured: false, stdout: (text) => printed.push(text) })
      return printed.join('')
    }
    const text = await print()
    expect(text).toMatch(/^backend {3}api, in the spare section :spare\d+ until the next reload$/m)
    expect(text).toContain('live: HAProxy does the same')
    expect(text).toMatch(/IN HAPROXY +STATE +WEIGHT +SESSIONS +QUEUE +TOTAL\n\S+ +ready +1 +0 +0 +\d+\n/)
    const { section } = await explained('http://api.example/')
    // heddle sets it right, sooner or later
    await until(async () => {
      await edge.meddle(`set server ${section}/${name} weight 9`)
      return (await print()).includes(`live: ${name} has weight 9, wanted is 1`)
    })
  })

  it('sessions are asked for where that is cheap, or where it is said', async () => {
    const sessionsOf = async (query: string) => {
      const found = await services(query)
      return [
        found.live,
        found.services.flatMap(({ instances }) => instances.map(({ live }) => live?.sessions ?? null)),
      ]
    }
    expect(await sessionsOf('limit=2')).toEqual(['asked', [0, 0, 0]])
    expect(await sessionsOf('live=true')).toEqual(['asked', [0, 0, 0]])
    expect(await sessionsOf('limit=2&live=false')).toEqual(['not asked: use limit, or live=true', [null, null, null]])
    expect(await sessionsOf('')).toEqual(['not asked: use limit, or live=true', [null, null, null]])
    expect((await liveOf('web', ''))[0]).toMatchObject({ state: 'ready', total: null })
  })

  it('an instance that leaves keeps its sessions until they have ended', async () => {
    const answer = request(edge.folder, { host: 'web.example' })
    const [first, second] = [places().web1, places().web2]
    await until(() => first.holds() + second.holds() === 1)
    const [leaving, staying] = first.holds() === 1 ? [first, second] : [second, first]
    edge.show(edge.shown().map((one) => (one.port === leaving.port ? { ...one, health: 'critical' } : one)))
    const found = await until(async () => {
      const { instances = [] } = (await services('service=web&limit=1')).services[0] ?? {}
      return instances.some(({ live }) => live?.state === 'maint') && instances
    })
    const instanceOf = (place: HeldServer) => found.find(({ port }) => port === place.port)
    expect(instanceOf(leaving)).toMatchObject({ why: 'critical', live: { state: 'maint', sessions: 1 } })
    expect(instanceOf(staying)).toMatchObject({ state: 'ready', live: { state: 'ready', sessions: 0 } })
    await answerAll(1)
    expect((await answer).status).toBe(200)
  })

  it('a HAProxy that hangs takes no answer away, and says why there are no sessions', async () => {
    const { pid } = await edge.readBack()
    process.kill(pid, 'SIGSTOP')
    try {
      const started = performance.now()
      const { live, services: found } = await services('limit=10')
      expect(performance.now() - started).toBeLessThan(4_000)
      expect(live).toMatch(/^failed: \S/)
      const [first] = found.flatMap(({ instances }) => instances)
      expect(first?.live).toMatchObject({ state: expect.any(String), sessions: null })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await until(async () => (await services('limit=10')).live === 'asked')
  })
})
