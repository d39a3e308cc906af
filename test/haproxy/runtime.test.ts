import { rm } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { connectRuntime } from '../../src/haproxy/cli.ts'
import { openSession, type Taken } from '../../src/haproxy/runtime.ts'
import type { EntryChange, Running, Step } from '../../src/types.ts'
import { httpServer, request, type TestServer, until, type WorkFolder } from '../support/haproxy.ts'
import { backend, model, ownSection, route, server } from '../support/models.ts'
import { readBack, renderedSite, wordless } from '../support/rendered.ts'

/** Two containers, the first of them serves web at `/`. */
async function site({ delay = 0, sticky = null }: { delay?: number; sticky?: string | null } = {}) {
  const [one, two] = [await httpServer({ name: 'one', delay }), await httpServer({ name: 'two' })]
  const web = backend('web', [one.name], { sticky })
  const rendered = await renderedSite(model([web], [route('/', web)]))
  return { ...rendered, one, two, place: { backend: web.id, server: one.name }, web }
}

async function take(folder: WorkFolder, running: Running, steps: readonly Step[]): Promise<Taken> {
  const opened = await openSession(folder, running)
  if (opened.kind === 'failed') return opened
  return opened.session.take(running, steps).finally(() => opened.session.close())
}

/** What runs after these steps, which are all taken; it is what a whole reading says. */
async function taken(folder: WorkFolder, running: Running, steps: readonly Step[]): Promise<Running> {
  const result = await take(folder, running, steps)
  if (result.kind !== 'taken') throw new Error(result.why)
  expect(result.waiting).toEqual([])
  expect(wordless(result.running)).toEqual(await readBack(folder))
  return result.running
}

/** What somebody else does. */
async function command(folder: WorkFolder, ...commands: string[]): Promise<readonly string[]> {
  const connection = await connectRuntime(folder.statsSocket)
  if (!connection.ok) throw new Error(connection.why)
  const answers = await Promise.all(commands.map((text) => connection.runtime.ask(text)))
  connection.runtime.close()
  return answers.map((answer) => (answer.ok ? answer.answer : answer.why))
}

/** Who answers, or with which status nobody does. */
async function answering(folder: WorkFolder, path = '/', headers: Record<string, string> = {}) {
  const { status, body } = await request(folder, { path, headers })
  return status === 200 ? body.split('\n')[0] : status
}

const addition = (to: string, { name }: TestServer, section = ownSection): Step => {
  return { do: 'add', backend: to, section, server: server(name) }
}

const entries = (file: string, changes: Readonly<Record<string, readonly [string | null, string | null]>>): Step => {
  const all = Object.entries(changes).map(([key, [from, to]]): [string, EntryChange] => [key, { from, to }])
  return { do: 'map', file, changes: new Map(all) }
}

describe('a running HAProxy', () => {
  it('gets a server, and knows the options that it came with', async () => {
    const { folder, running, two, place } = await site()
    const limited = { ...ownSection, maxconn: 5 }
    const after = await taken(folder, running, [
      addition('web', two, limited),
      { do: 'state', ...place, state: 'maint' },
    ])
    expect(after.servers.get('web')?.get(two.name)).toEqual({
      weight: 1,
      state: 'ready',
      address: two.name,
      words: 'maxconn 5',
    })
    expect(await answering(folder)).toBe('two')
  })

  it('has servers in whatever state and weight is wanted, and back', async () => {
    const { folder, running, place } = await site()
    let now = running
    for (const state of ['maint', 'drain', 'ready'] as const) {
      now = await taken(folder, now, [{ do: 'state', ...place, state }])
      expect([state, await answering(folder)]).toEqual([state, state === 'ready' ? 'one' : 503])
      expect(now.servers.get('web')?.get(place.server)?.state).toBe(state)
    }
    now = await taken(folder, now, [{ do: 'weigh', ...place, weight: 0 }])
    expect(await answering(folder)).toBe(503)
    now = await taken(folder, now, [{ do: 'weigh', ...place, weight: 256 }])
    expect(await answering(folder)).toBe('one')
  })

  it('takes a server back that somebody has declared down', async () => {
    const { folder, running, place } = await site()
    await command(folder, `set server web/${place.server} health down`)
    expect((await readBack(folder)).servers.get('web')?.get(place.server)?.state).toBe('maint')
    expect(await answering(folder)).toBe(503)
    await taken(folder, running, [{ do: 'state', ...place, state: 'ready' }])
    expect(await answering(folder)).toBe('one')
  })

  it('limits a server, and lifts the limit', async () => {
    const { folder, running, place } = await site()
    const limit = async () => {
      const [answer = ''] = await command(folder, 'show stat -1 4 -1')
      const [head = '', ...rows] = answer.split('\n')
      const at = head.replace(/^# /, '').split(',').indexOf('slim')
      return rows.find((row) => row.startsWith(`web,${place.server},`))?.split(',')[at]
    }
    const step = { do: 'limit', ...place } as const
    const limited = await taken(folder, running, [{ ...step, maxconn: 7, words: 'maxconn 7' }])
    expect([await limit(), limited.servers.get('web')?.get(place.server)?.words]).toEqual(['7', 'maxconn 7'])
    const lifted = await taken(folder, limited, [{ ...step, maxconn: null, words: '' }])
    expect([(await limit()) || '0', lifted.servers.get('web')?.get(place.server)?.words]).toEqual(['0', ''])
  })

  it('brings a server back to its address', async () => {
    const { folder, two, place } = await site()
    await command(folder, `set server web/${place.server} addr ${two.address} port ${two.port}`)
    expect(await answering(folder)).toBe('two')
    const meddled = await readBack(folder)
    expect(meddled.servers.get('web')?.get(place.server)?.address).toBe(two.name)
    const step = { do: 'readdress', ...place } as const
    expect(await take(folder, meddled, [step])).toMatchObject({ kind: 'taken' })
    // 3.x does it after it has answered
    const after = await until(async () => {
      const now = await readBack(folder)
      return now.servers.get('web')?.get(place.server)?.address === place.server && now
    })
    expect(await answering(folder)).toBe('one')
    expect(await taken(folder, after, [step])).toEqual(after)
  })

  it('deletes a server that nothing runs on; the others stay', async () => {
    const { folder, running, two, place } = await site()
    const both = await taken(folder, running, [addition('web', two)])
    const away = await taken(folder, both, [
      { do: 'state', ...place, state: 'maint' },
      { do: 'delete', ...place },
    ])
    expect([...(away.servers.get('web')?.keys() ?? [])]).toEqual([two.name])
    const last = { backend: 'web', server: two.name }
    const empty = await taken(folder, away, [
      { do: 'state', ...last, state: 'maint' },
      { do: 'delete', ...last },
    ])
    expect(empty.servers.has('web')).toBe(false)
  })

  it('keeps a server until its requests have ended', async () => {
    const { folder, running, one, place } = await site({ delay: 600 })
    const asked = request(folder)
    await until(() => one.asked() > 0)
    const remove = { do: 'delete', ...place } as const
    const first = await take(folder, running, [{ do: 'state', ...place, state: 'maint' }, remove])
    expect(first).toMatchObject({ kind: 'taken', waiting: [remove] })
    if (first.kind !== 'taken') return
    expect(first.running.servers.get('web')?.get(one.name)?.state).toBe('maint')
    expect((await asked).status).toBe(200)
    // 2.6 keeps a connection that became idle in maintenance for another 15 s
    await one.close()
    await until(async () => {
      const again = await take(folder, first.running, [remove])
      return again.kind === 'taken' && again.waiting.length === 0
    })
    expect((await readBack(folder)).servers.has('web')).toBe(false)
  })

  it('ends what runs on a server when it is told to', async () => {
    const { folder, running, one, place } = await site({ delay: 5_000 })
    // 3.x ends it without an answer
    const ended = request(folder).then(
      ({ status }) => status,
      () => null,
    )
    await until(() => one.asked() > 0)
    const from = performance.now()
    await taken(folder, running, [
      { do: 'state', ...place, state: 'maint' },
      { do: 'shutdown', ...place },
    ])
    expect(await ended).not.toBe(200)
    expect(performance.now() - from).toBeLessThan(4_000)
  })

  it('gives a sticky server that is added the cookie of one that was loaded from a file', async () => {
    const [loaded, added] = [await site({ sticky: 'SRV' }), await site({ sticky: 'SRV' })]
    const { web } = added
    await taken(added.folder, added.running, [
      { do: 'add', backend: web.id, section: web.section, server: server(loaded.one.name) },
      { do: 'state', ...added.place, state: 'maint' },
    ])
    const [one, other] = await Promise.all([loaded, added].map(({ folder }) => request(folder)))
    expect(one?.headers['set-cookie']?.[0]).toMatch(/^SRV=[0-9a-f]{16};/)
    expect(other?.headers['set-cookie']).toEqual(one?.headers['set-cookie'])
  })
})

describe('a spare section', () => {
  it.each([
    ['plain', ':spare2', ownSection],
    ['sticky', ':sticky1', { ...ownSection, sticky: 'SRV' }],
  ])('becomes that of a new service, %s, which goes by its own name', async (_what, spare, section) => {
    const { folder, running, two } = await site()
    const after = await taken(folder, running, [
      { do: 'seat', backend: 'api', spare },
      addition('api', two, section),
      entries('routes.map', { '*/api/': [null, 'api|api||/api'], '*/': ['web|web', 'api|api'] }),
    ])
    expect(after.seats).toEqual(new Map([['api', spare]]))
    expect(after.servers.get('api')?.get(two.name)).toMatchObject({ state: 'ready', words: '' })
    expect([after.maps.get('routes.map')?.get('*/api/'), after.maps.get('routes.map')?.get('*/')]).toEqual([
      'api|api||/api',
      'api|api',
    ])
    const { body, headers } = await request(folder, { path: '/api/x' })
    expect(body.split('\n').slice(0, 2)).toEqual(['two', '/x'])
    expect(headers['set-cookie'] !== undefined).toBe(section.sticky !== null)
    expect(await answering(folder)).toBe('two')

    const place = { backend: 'api', server: two.name }
    const left = await taken(folder, after, [{ do: 'state', ...place, state: 'maint' }])
    expect(await answering(folder)).toBe(503)
    const gone = await taken(folder, left, [{ do: 'delete', ...place }])
    expect([gone.servers.has('api'), gone.seats?.get('api')]).toEqual([false, spare])
  })

  it('that is not there is refused, and so is what follows from it', async () => {
    const { folder, running, two } = await site()
    const steps = [{ do: 'seat', backend: 'api', spare: ':spare999' } as const, addition('api', two)]
    expect(await take(folder, running, steps)).toMatchObject({
      kind: 'refused',
      why: expect.stringMatching(/^add server/),
    })
  })
})

describe('maps of a running HAProxy', () => {
  it('are changed as told, and read back, though a shorter key takes the place of a longer one', async () => {
    const { folder, running } = await site()
    const added = await taken(folder, running, [entries('routes.map', { '*/x/': [null, 'web|web||/x'] })])
    expect((await request(folder, { path: '/x/y' })).body.split('\n')[1]).toBe('/y')
    const removed = await taken(folder, added, [
      entries('routes.map', { '*/x/': ['web|web||/x', null], '*/': ['web|web', 'web|web|||/v1'] }),
    ])
    expect(removed.maps.get('routes.map')).toEqual(new Map([['*/', 'web|web|||/v1']]))
    expect((await request(folder, { path: '/x/y' })).body.split('\n')[1]).toBe('/v1/x/y')
  })

  it.each([20, 21, 101, 3_000])('get %i entries at once, and lose them again', async (count) => {
    const { folder, running } = await site()
    const keys = Array.from({ length: count }, (_, at) => `host${at}.example.com/`)
    const all = (from: string | null, to: string | null) =>
      entries('routes.map', Object.fromEntries(keys.map((key) => [key, [from, to]])))
    const added = await taken(folder, running, [all(null, 'web|web')])
    expect(added.maps.get('routes.map')?.size).toBe(count + 1)
    const changed = await taken(folder, added, [all('web|web', 'web|web||/x')])
    expect(await taken(folder, changed, [all('web|web||/x', null)])).toEqual(running)
  })

  it('tell the revision when it was told', async () => {
    const { folder, running } = await site()
    const claim = entries('revision.map', { revision: [running.revision, 'feedfeedfeed'] })
    expect((await taken(folder, running, [claim])).revision).toBe('feedfeedfeed')
  })
})

describe('steps', () => {
  it('that HAProxy does not take are refused with what it says, and all others are taken', async () => {
    const { folder, running, two, place } = await site()
    const nobody = { do: 'weigh', backend: 'web', server: 'nobody', weight: 1 } as const
    const refused = await take(folder, running, [nobody, addition('web', two)])
    expect(refused).toEqual({
      kind: 'refused',
      why: expect.stringMatching(/^set server web\/nobody weight 1: No such /),
    })
    expect((await readBack(folder)).servers.get('web')?.size).toBe(2)
    for (const [step, said] of [
      [addition('web', two), /^add server web\/.*: .*[Aa]lready exists/],
      [entries('hosts.map', { nobody: ['x', null] }), /^del map hosts.map nobody: .*not found/],
      [{ do: 'shutdown', ...place, backend: 'nobody' }, /^shutdown sessions server nobody\/.*: No such backend/],
    ] as const)
      expect(await take(folder, running, [step])).toEqual({ kind: 'refused', why: expect.stringMatching(said) })
  })

  it('meant for another worker are not taken', async () => {
    const { folder, running, place } = await site()
    const result = await take(folder, { ...running, pid: running.pid + 1 }, [{ do: 'state', ...place, state: 'maint' }])
    expect(result).toEqual({ kind: 'failed', why: `${folder.statsSocket} belongs to process ${running.pid} now` })
    expect(await readBack(folder)).toEqual(wordless(running))
  })

  it('for nobody fail, at once or in the middle, and say where nobody was', async () => {
    const { folder, running, place } = await site()
    const away = { statsSocket: '/nowhere/s.sock', masterSocket: '/nowhere/m.sock' }
    expect(await openSession(away, running)).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(/^\/nowhere\/s/),
    })
    const opened = await openSession(folder, running)
    if (opened.kind === 'failed') throw new Error(opened.why)
    opened.session.close()
    const step = { do: 'state', ...place, state: 'maint' } as const
    expect(await opened.session.take(running, [step])).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining(folder.statsSocket),
    })
  })

  it('go by way of the master where somebody has removed the socket', async () => {
    const { folder, running, two, place } = await site()
    await rm(folder.statsSocket)
    const keys = Array.from({ length: 30 }, (_, at) => `host${at}.example.com/`)
    const after = await taken(folder, running, [
      { do: 'seat', backend: 'api', spare: ':spare1' },
      addition('api', two),
      entries('routes.map', Object.fromEntries(keys.map((key) => [key, [null, 'api|api']]))),
      { do: 'state', ...place, state: 'maint' },
      { do: 'delete', ...place },
    ])
    expect(after.maps.get('routes.map')?.size).toBe(31)
    expect(after.servers.has('web')).toBe(false)
    const { body } = await request(folder, { host: 'host7.example.com' })
    expect(body.split('\n')[0]).toBe('two')
  })
})
