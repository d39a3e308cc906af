import { beforeAll, describe, expect, it } from 'vitest'
import { connectRuntime } from '../../src/haproxy/cli.ts'
import { observeIdentity, observeRunning } from '../../src/haproxy/observe.ts'
import { textsOf } from '../../src/render/config.ts'
import type { Candidate, ServerState } from '../../src/types.ts'
import {
  install,
  minimalCandidate,
  type RunningHaproxy,
  startHaproxy,
  type WorkFolder,
  workFolder,
} from '../support/haproxy.ts'
import { backend, model, route } from '../support/models.ts'
import { renderedSite } from '../support/rendered.ts'
import { unixServer } from '../support/unix-server.ts'

async function command(folder: WorkFolder, ...commands: string[]): Promise<void> {
  const connection = await connectRuntime(folder.statsSocket)
  if (!connection.ok) throw new Error(connection.why)
  for (const text of commands) {
    const answer = await connection.runtime.ask(text)
    expect(answer, text).toMatchObject({ ok: true, answer: expect.stringMatching(/^$|^New server registered/) })
  }
  connection.runtime.close()
}

async function running(folder: WorkFolder) {
  const observed = await observeRunning(folder)
  if (observed.kind === 'absent') throw new Error(observed.why)
  return observed
}

describe('a running HAProxy', () => {
  let folder: WorkFolder
  let candidate: Candidate
  let haproxy: RunningHaproxy
  beforeAll(async () => {
    folder = await workFolder()
    candidate = minimalCandidate(folder, {
      backends: {
        web: ['127.0.0.1:1', '127.0.0.1:2', '127.0.0.1:3 weight 7', '127.0.0.1:4 disabled'],
        'shop:a1b2c3': ['127.0.0.2:80'],
        empty: [],
      },
      routes: { '/shop/': 'shop:a1b2c3|shop', '/': 'web|web' },
    })
    await install(folder, candidate)
    haproxy = await startHaproxy(folder)
  })

  it('is read back with all that a plan needs', async () => {
    const observed = await running(folder)
    expect(observed).toMatchObject({ oldWorkers: 0, masterProblem: null })
    expect(observed.running).toMatchObject({ structure: candidate.structure, revision: candidate.hash })
    expect(observed.running.version).toMatch(/^\d+\.\d+/)
    expect(observed.running.maps).toEqual(candidate.maps)
    // this one has no seats.map
    expect(observed.running.seats).toBeNull()
    const listed = (name: string, weight: number, state: ServerState) =>
      [name, { weight, state, address: name, words: null }] as const
    expect(observed.running.servers).toEqual(
      new Map([
        [
          'web',
          new Map([
            listed('127.0.0.1:1', 1, 'ready'),
            listed('127.0.0.1:2', 1, 'ready'),
            listed('127.0.0.1:3', 7, 'ready'),
            listed('127.0.0.1:4', 1, 'maint'),
          ]),
        ],
        ['shop:a1b2c3', new Map([listed('127.0.0.2:80', 1, 'ready')])],
      ]),
    )
  })

  it('is read back as it became at run time', async () => {
    await command(
      folder,
      'set server web/127.0.0.1:1 state drain',
      'set server web/127.0.0.1:2 state maint',
      'set server web/127.0.0.1:3 weight 9',
      'set server web/127.0.0.1:4 state ready',
      'add server web/canary 127.0.0.1:5 weight 2',
      'add server empty/127.0.0.9:90 127.0.0.9:90 weight 5',
      'set map revision.map revision feedfeedfeed',
      'add map routes.map /new/ empty|new||/n',
      'add map routes.map /new/ shadowed',
      'del map state.map alive',
    )
    const { running: now } = await running(folder)
    expect(now.servers.get('web')).toEqual(
      new Map(
        [
          ['127.0.0.1:1', { weight: 1, state: 'drain' }],
          ['127.0.0.1:2', { weight: 1, state: 'maint' }],
          ['127.0.0.1:3', { weight: 9, state: 'ready' }],
          ['127.0.0.1:4', { weight: 1, state: 'ready' }],
          ['canary', { weight: 2, state: 'maint', address: '127.0.0.1:5' }],
        ].map(([name, server]) => [name, expect.objectContaining(server)]),
      ),
    )
    const added = { weight: 5, state: 'maint', address: '127.0.0.9:90', words: null }
    expect(now.servers.get('empty')).toEqual(new Map([['127.0.0.9:90', added]]))
    expect(now.revision).toBe('feedfeedfeed')
    expect(now.maps.get('routes.map')?.get('/new/')).toBe('empty|new||/n')
    expect(now.maps.get('state.map')).toEqual(new Map())
    const identity = await observeIdentity(folder)
    expect(identity).toMatchObject({
      kind: 'running',
      identity: { pid: now.pid, structure: candidate.structure, revision: 'feedfeedfeed', version: now.version },
    })
    expect(identity.kind === 'running' && identity.identity.maxconn).toBeGreaterThan(0)
    expect(identity.kind === 'running' && identity.identity.ulimit).toBeGreaterThan(0)
  })

  it('without its master is there, but can not be reloaded', async () => {
    const { masterSocket } = await workFolder()
    expect(await observeRunning({ ...folder, masterSocket })).toMatchObject({
      kind: 'running',
      masterProblem: expect.stringContaining(masterSocket),
    })
  })

  it('with the master of another one says that the two do not belong together', async () => {
    const another = await workFolder()
    await install(another, minimalCandidate(another))
    await startHaproxy(another)
    expect(await observeRunning({ ...folder, masterSocket: another.masterSocket })).toMatchObject({
      kind: 'running',
      masterProblem: expect.stringContaining('no worker of the master'),
    })
  })

  it('that ended is absent', async () => {
    await haproxy.stop()
    expect(await observeRunning(folder)).toMatchObject({
      kind: 'absent',
      why: expect.stringContaining(folder.statsSocket),
    })
    expect(await observeIdentity(folder)).toMatchObject({ kind: 'absent' })
  })
})

describe('a HAProxy with spare sections', () => {
  it('tells of its backends by their own names, wherever they sit, and of a spare that has servers without one', async () => {
    const web = backend('web', ['127.0.0.1:1'])
    const { folder, running: before } = await renderedSite(model([web], [route('a.test', web)]))
    expect(before.seats).toEqual(new Map())
    await command(
      folder,
      'add map seats.map :spare3 api',
      'add map seats.map :spare4 api',
      'add map seats.map :sticky1 shop:a1b2c3',
      'add map seats.map canary web',
      'add server :spare3/127.0.0.3:80 127.0.0.3:80 weight 1',
      'add server :sticky1/127.0.0.4:80 127.0.0.4:80 weight 1',
      'add server :spare9/canary 127.0.0.9:80 weight 1',
      'add map routes.map api.test/ :spare3|api||/v1',
      'add map routes.map odd.test/ :spare9|odd',
      'set map routes.map a.test/ :sticky1|shop',
    )
    const { running: now } = await running(folder)
    expect(now.seats).toEqual(
      new Map([
        ['api', ':spare3'],
        ['shop:a1b2c3', ':sticky1'],
      ]),
    )
    expect([...now.servers].map(([id, servers]) => [id, ...servers.keys()]).sort()).toEqual([
      [':spare9', 'canary'],
      ['api', '127.0.0.3:80'],
      ['shop:a1b2c3', '127.0.0.4:80'],
      ['web', '127.0.0.1:1'],
    ])
    expect(now.maps.get('routes.map')).toEqual(
      new Map([
        ['a.test/', 'shop:a1b2c3|shop'],
        ['api.test/', 'api|api||/v1'],
        ['odd.test/', ':spare9|odd'],
      ]),
    )
    expect(now.maps.has('seats.map')).toBe(false)
  })
})

it('a HAProxy that carries none of our marks has empty ones', async () => {
  const folder = await workFolder()
  const candidate = minimalCandidate(folder)
  const text = (textsOf(candidate).get('haproxy.cfg') ?? '').replace(/^.*(description|\.map|txn).*\n/gm, '')
  await install(folder, { ...candidate, files: new Map([['haproxy.cfg', [text]]]) })
  await startHaproxy(folder)
  const { running: now } = await running(folder)
  expect(now).toMatchObject({ structure: '', revision: '', seats: null, servers: new Map(), maps: new Map() })
})

describe('something else on the stats socket', () => {
  it('that answers nonsense is absent, with what it may be', async () => {
    const server = await unixServer((socket) => {
      socket.on('data', (bytes) => socket.write('hello\n\n> '.repeat(String(bytes).split('\n').length - 1)))
    })
    const sockets = { statsSocket: server.path, masterSocket: server.path }
    expect(await observeRunning(sockets)).toMatchObject({
      kind: 'absent',
      why: expect.stringContaining('not understood'),
    })
  })

  it('that never answers is absent at the deadline', async () => {
    const server = await unixServer(() => {})
    const sockets = { statsSocket: server.path, masterSocket: server.path }
    expect(await observeRunning({ ...sockets, timeout: 100 })).toMatchObject({
      kind: 'absent',
      why: expect.stringContaining('no answer within 100 ms'),
    })
  })
})
