import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { renderCandidate, textsOf } from '../../src/render/config.ts'
import { readParts } from '../../src/render/parts.ts'
import { loadTemplates, type Templates } from '../../src/render/templates.ts'
import type { Candidate, Model, RenderSettings } from '../../src/types.ts'
import { haproxyBin } from '../support/haproxy.ts'
import { anyModel, backend, model, renderSettings, route, server } from '../support/models.ts'

let templates: Templates

beforeAll(async () => {
  const loaded = await loadTemplates(null)
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  templates = loaded.templates
})

function render(made: Model, settings: RenderSettings = renderSettings): Candidate {
  const rendering = renderCandidate(made, templates, settings)
  if (rendering.kind === 'failed') throw new Error(rendering.reason)
  return rendering.candidate
}

function config(candidate: Candidate): string {
  return textsOf(candidate).get('haproxy.cfg') ?? ''
}

/** What `haproxy -c` says of the files, warnings included; '' when it is content. */
async function check(candidate: Candidate): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'heddle-render-'))
  try {
    for (const [name, text] of textsOf(candidate)) await writeFile(join(folder, name), text)
    // -dW: a warning is an error
    const run = promisify(execFile)(haproxyBin, ['-dW', '-c', '-f', join(folder, 'haproxy.cfg')])
    return await run.then(
      ({ stderr }) => stderr,
      (error: unknown) => (error instanceof Error ? error.message : String(error)),
    )
  } finally {
    await rm(folder, { recursive: true })
  }
}

const shop = backend('shop', [server('10.2.1.2:8080'), server('10.2.2.2:8080', { weight: 3 })])
const api = backend('api', ['10.2.1.3:8080', server('10.2.1.4:8080', { backup: true })])
const users = backend(
  'users',
  [server('10.2.1.5:9000', { state: 'drain', weight: 5 }), server('10.2.1.6:9000', { state: 'maint' })],
  { balance: 'leastconn', sticky: 'SRV', maxconn: 100 },
)
const lookups = backend('lookups', ['10.2.3.9:50051'], { balance: 'source', proto: 'h2c' })
const gone = backend('gone', [])

const everything = model(
  [shop, api, users, lookups, gone],
  [
    route('shop.example.com', shop),
    route('shop.example.com/api', api, { strip: '/api', add: '/v1', timeout: 2_000 }),
    route('shop.example.com/api/ping$', shop),
    route('shop.example.com/old*', api, { rawpath: true }),
    route('*.example.com', users, { host: 'inner.example.com' }),
    route('lookups.example.com', lookups),
    route('gone.example.com', gone, {}, { lingersUntil: 1_800_000_000_000 }),
    route('/healthz', api),
    route('old.example.com', 'old', {
      redirect: {
        code: 301,
        location: [{ literal: 'https://' }, { variable: 'host' }, { variable: 'path' }, { variable: 'query' }],
      },
    }),
  ],
)

const everySetting: RenderSettings = {
  ...renderSettings,
  bind: [':80', '127.0.0.1:8080', '[::1]:80'],
  acceptProxy: ['10.9.0.0/24', 'fd00::/8'],
  trustedProxies: ['10.9.0.0/16', '2001:db8::/32'],
  monitor: ':34180/haproxy_status',
  maxconn: 20_000,
  hardStopAfter: 90_000,
  maxOldWorkers: 2,
  timeouts: { ...renderSettings.timeouts, connect: 1_500, tunnel: 90_000 },
  paths: 'strict',
  headerNames: 'reject',
  accessLog: false,
  log: '127.0.0.1:514',
  statsBind: '127.0.0.2:9404',
  statsSocket: '/run/a folder/stats.sock',
  socketGid: 0,
  user: 'root',
  group: 'root',
  chroot: '/',
}

describe('the bundled templates', () => {
  it.each([
    ['an empty catalog', 'empty', model([], []), renderSettings],
    ['a small shop', 'everything', everything, renderSettings],
    ['every setting', 'settings', model([shop], [route('/', shop)]), everySetting],
  ] as const)('render %s to files that haproxy takes without a warning', async (_what, name, made, settings) => {
    const candidate = render(made, settings)
    for (const [file, text] of textsOf(candidate)) {
      await expect(text).toMatchFileSnapshot(`../golden/${name}/${file}`)
    }
    expect(await check(candidate)).toBe('')
  })

  it.each(['keep', 'delete', 'reject'] as const)('have haproxy take headerNames: %s', async (headerNames) => {
    expect(await check(render(everything, { ...renderSettings, headerNames }))).toBe('')
  })

  it.each(['stdout', 'stderr', '/dev/log', '192.0.2.1:514'])('have haproxy take log: %s', async (log) => {
    expect(await check(render(everything, { ...renderSettings, log }))).toBe('')
  })

  it('let only heddle, or the group it names, at the socket', () => {
    expect(config(render(everything))).toContain('stats socket /run/haproxy/stats.sock mode 600 level admin\n')
    const shared = render(everything, { ...renderSettings, socketGid: 110 })
    expect(config(shared)).toContain('stats socket /run/haproxy/stats.sock gid 110 mode 660 level admin\n')
  })
})

describe('any model', () => {
  it('renders to files that haproxy takes, with a line for each of its parts', async () => {
    await fc.assert(
      fc.asyncProperty(anyModel, async (made) => {
        const candidate = render(made)
        expect(await check(candidate)).toBe('')
        const frame = config(render(model([], []))).split('\n').length
        const lines = [...made.backends.values()].map(
          ({ section: { balance, sticky }, servers }) =>
            2 + (balance === 'roundrobin' ? 0 : 1) + (balance === 'source' ? 1 : 0) + (sticky ? 2 : 0) + servers.length,
        )
        expect(config(candidate).split('\n').length).toBe(lines.reduce((sum, count) => sum + count, frame))
        for (const [file, entries] of candidate.maps) {
          expect(textsOf(candidate).get(file)?.split('\n').length).toBe(entries.size + 1)
        }
        for (const text of textsOf(candidate).values()) expect(text === '' || text.endsWith('\n')).toBe(true)
      }),
      { numRuns: 25 },
    )
  })

  it('renders to the same bytes, whatever order it was put together in', () => {
    fc.assert(
      fc.property(anyModel, fc.gen(), (made, gen) => {
        const backends = gen(fc.shuffledSubarray, [...made.backends], { minLength: made.backends.size })
        const routes = gen(fc.shuffledSubarray, [...made.routes], { minLength: made.routes.length })
        expect(render({ routes, backends: new Map(backends) })).toEqual(render(made))
      }),
    )
  })

  it('renders to the same bytes from equal objects that nothing is remembered of', () => {
    fc.assert(
      fc.property(anyModel, (made) => {
        expect(render(structuredClone(made))).toEqual(render(made))
      }),
    )
  })

  it('renders to what it is, whatever was rendered before it, changed in a few places from it or not', () => {
    const unrelated = model([shop, users], [route('/', users)])
    fc.assert(
      fc.property(anyModel, fc.infiniteStream(fc.integer({ min: 0, max: 4 })), (made, choices) => {
        // parts of the former model, as the objects they were, without some routes and backends
        const keeps = () => (choices.next().value ?? 0) > 0
        const backends = [...made.backends].filter(keeps)
        const left = { backends: new Map(backends), routes: made.routes.filter(keeps) }
        const sound = left.routes.filter(({ backend: id }) => id === null || left.backends.has(id))
        render(made)
        const after = render({ ...left, routes: sound })
        render(unrelated)
        const anew = render(structuredClone({ ...left, routes: sound }))
        expect({ ...after }).toEqual({ ...anew })
        expect([...after.maps].map(([name, map]) => [name, ...map])).toEqual(
          [...anew.maps].map(([name, map]) => [name, ...map]),
        )
      }),
    )
  })

  it('has its backends in byte order of their ids', () => {
    fc.assert(
      fc.property(anyModel, (made) => {
        const ids = [...config(render(made)).matchAll(/^backend ([^: ]\S*) from routed$/gm)].map(([, id]) => id)
        expect(ids).toEqual([...made.backends.keys()].sort())
      }),
    )
  })
})

/** Lines that only one of them has. */
function changedLines(before: Candidate, after: Candidate): readonly string[] {
  const [a, b] = [config(before).split('\n'), config(after).split('\n')]
  return [
    ...a.filter((line) => !b.includes(line)).map((line) => `- ${line.trim()}`),
    ...b.filter((line) => !a.includes(line)).map((line) => `+ ${line.trim()}`),
  ]
}

function withBackend(made: Model, changed: ReturnType<typeof backend>): Model {
  return { ...made, backends: new Map([...made.backends, [changed.id, changed]]) }
}

describe('one change', () => {
  const before = everything

  it('of a server changes its line alone, and not the structure', () => {
    const [was, now] = [render(before), render(withBackend(before, { ...shop, servers: shop.servers.slice(1) }))]
    expect(changedLines(was, now)).toEqual(['- server 10.2.1.2:8080 10.2.1.2:8080 weight 1'])
    expect(now.structure).toBe(was.structure)
    expect(now.parts).toEqual(was.parts)
    expect(now.maps.get('routes.map')).toBe(was.maps.get('routes.map'))
    expect(now.hash).not.toBe(was.hash)
    expect(now.routesHash).not.toBe(was.routesHash)
  })

  it('of a route changes map entries alone', () => {
    const [was, now] = [render(before), render(model([...before.backends.values()], before.routes.slice(1)))]
    expect(config(now)).toBe(config(was))
    expect(now.structure).toBe(was.structure)
    expect(now.routesHash).not.toBe(was.routesHash)
  })

  it('of section options changes the part of that backend alone', () => {
    const changed = { ...shop, section: { ...shop.section, balance: 'first' as const } }
    const [was, now] = [render(before), render(withBackend(before, changed))]
    expect(changedLines(was, now)).toEqual([
      `- description ${was.structure}`,
      `+ description ${now.structure}`,
      '+ balance first',
    ])
    const parts = [...now.parts].filter(([part, digest]) => was.parts.get(part) !== digest)
    expect(parts.map(([part]) => part)).toEqual(['shop'])
  })

  it('of a server limit, which server lines carry, leaves the structure as it is', () => {
    const changed = { ...shop, section: { ...shop.section, maxconn: 5 } }
    expect(render(withBackend(before, changed)).structure).toBe(render(before).structure)
  })

  it('of a setting changes the global part', () => {
    const [was, now] = [render(before), render(before, { ...renderSettings, maxconn: 5_000 })]
    expect(now.structure).not.toBe(was.structure)
    expect(now.parts.get(':global')).not.toBe(was.parts.get(':global'))
    expect(now.hash).not.toBe(was.hash)
    expect(now.routesHash).toBe(was.routesHash)
  })

  it('of a state that a file has no word for still makes another revision', () => {
    const drained = (weight: number) => backend('web', [server('10.2.1.1:80', { state: 'drain', weight })])
    const [was, now] = [render(model([drained(1)], [])), render(model([drained(2)], []))]
    expect(config(now)).toBe(config(was))
    expect(now.routesHash).not.toBe(was.routesHash)
  })
})

describe('a revision', () => {
  it('carries its hash in revision.map and its structure in the description', () => {
    const candidate = render(everything)
    expect(candidate.hash).toMatch(/^[0-9a-f]{12}$/)
    expect(candidate.routesHash).toMatch(/^[0-9a-f]{12}$/)
    expect(candidate.structure).toMatch(/^[0-9a-f]{12}$/)
    expect(textsOf(candidate).get('revision.map')).toBe(`revision ${candidate.hash}\n`)
    expect(config(candidate)).toContain(`\n  description ${candidate.structure}\n`)
  })

  it('is the same wherever files and sockets lie', () => {
    const elsewhere = render(everything, { ...renderSettings, statsSocket: '/tmp/x.sock', chroot: '/srv' })
    expect(elsewhere.hash).toBe(render(everything).hash)
    expect(elsewhere.structure).not.toBe(render(everything).structure)
  })

  it('does not depend on what HAProxy never sees', () => {
    const [moved, ...rest] = everything.routes
    if (moved === undefined) throw new Error('expected a route')
    const other = { ...everything, routes: [{ ...moved, from: { ...moved.from, text: 'x', createIndex: 9 } }, ...rest] }
    expect(render(other).hash).toBe(render(everything).hash)
    const renamed = shop.servers.map((one) => ({
      ...one,
      source: 'docker' as const,
      instance: { ...one.instance, id: 'z' },
    }))
    const same = [{ servers: renamed }, { drain: 5 }].map((change) => withBackend(everything, { ...shop, ...change }))
    for (const made of same) expect(render(made).hash).toBe(render(everything).hash)
  })

  it('tells the part of a service called global from what is outside of all sections', () => {
    const named = backend('global', ['10.2.1.1:80'])
    const plain = render(model([named], []))
    const sticky = render(model([{ ...named, section: { ...named.section, sticky: 'SRV' } }], []))
    expect(plain.parts.get('global')).not.toBe(sticky.parts.get('global'))
    expect(plain.parts.get(':global')).toBe(sticky.parts.get(':global'))
    expect(render(model([], [])).parts.get('global')).toBeUndefined()
  })

  it('has its parts beside it, for another life of heddle', () => {
    const candidate = render(everything)
    expect(readParts(textsOf(candidate).get('parts.txt') ?? '')).toEqual(candidate.parts)
  })
})

describe('spare sections', () => {
  const named = (candidate: Candidate) =>
    [...config(candidate).matchAll(/^backend (:s\S+) from routed$/gm)].map(([, id]) => id)

  it('are declared ahead of all others, empty, as many as is asked for', () => {
    const candidate = render(everything, { ...renderSettings, spares: 5 })
    expect(named(candidate)).toEqual([':spare1', ':spare2', ':spare3', ':spare4', ':spare5', ':sticky1', ':sticky2'])
    expect(config(candidate)).toMatch(
      /\nbackend :sticky2 from routed\n {2}cookie SRV .*\n.*\n\nbackend api from routed\n/,
    )
    expect([...candidate.parts.keys()].slice(0, 3)).toEqual([':global', ':spare1', ':spare2'])
    expect(textsOf(candidate).get('seats.map')).toBe('')
    expect(candidate.maps.has('seats.map')).toBe(false)
  })

  it('are as many as the number of backends wants, and none if so asked', () => {
    const many = Array.from({ length: 65 }, (_, at) => backend(`s${at}`, []))
    expect(named(render(model(many, []))).length).toBe(32 + 8)
    expect(named(render(model(many, []), { ...renderSettings, spares: 0 }))).toEqual([])
  })

  it('are no matter to what edges compare, and their number is one to the structure', () => {
    const [few, more] = [2, 3].map((spares) => render(everything, { ...renderSettings, spares }))
    expect(few?.routesHash).toBe(more?.routesHash)
    expect(few?.structure).not.toBe(more?.structure)
    expect(few?.parts.get(':global')).toBe(more?.parts.get(':global'))
  })

  it('are taken by haproxy when there are a thousand', async () => {
    expect(await check(render(everything, { ...renderSettings, spares: 1_000 }))).toBe('')
  })
})

describe('rendering again', () => {
  it('asks the templates only for backends that are other objects', () => {
    const asked: string[] = []
    const counting: Templates = {
      ...templates,
      backend(view) {
        asked.push(view.id)
        return templates.backend(view)
      },
    }
    renderCandidate(everything, counting, renderSettings)
    const ofServices = asked.filter((id) => !id.startsWith(':'))
    expect(ofServices).toEqual([...everything.backends.keys()].sort())
    asked.length = 0
    renderCandidate(withBackend(everything, { ...api, servers: [] }), counting, renderSettings)
    expect(asked).toEqual(['api'])
  })

  it('tells which template failed, on which line and for which backend', () => {
    const failing: Templates = {
      ...templates,
      backend: ({ id }) =>
        id === 'shop'
          ? { kind: 'threw', file: '/etc/heddle/backend.eta', line: 3, reason: 'no such thing' }
          : { kind: 'text', text: `backend ${id}\n\u0002servers\u0003\n` },
    }
    expect(renderCandidate(everything, failing, renderSettings)).toEqual({
      kind: 'failed',
      file: '/etc/heddle/backend.eta',
      line: 3,
      reason: 'no such thing (backend shop)',
    })
  })

  it('fails when a template forgets the servers of one backend only', () => {
    const forgetful: Templates = {
      ...templates,
      backend: (view) => (view.id === 'api' ? { kind: 'text', text: 'backend api\n' } : templates.backend(view)),
    }
    expect(renderCandidate(everything, forgetful, renderSettings)).toMatchObject({
      kind: 'failed',
      file: 'backend.eta',
      reason: 'it.servers is not printed (backend api)',
    })
  })

  it('fails at a route into a backend that is not there, which haproxy -c would let pass', () => {
    const astray = model([], [route('shop.example.com/api', shop)])
    expect(renderCandidate(astray, templates, renderSettings)).toMatchObject({
      kind: 'failed',
      file: 'routes.map',
      reason: expect.stringMatching(/^shop\.example\.com\/api leads to the backend shop/),
    })
  })

  it('throws at a model that no parsed input could have made', () => {
    const odd = { ...shop, id: 'a b' }
    expect(() => render({ routes: [], backends: new Map([['a b', odd]]) })).toThrow(/^expected the id of a backend/)
  })
})
