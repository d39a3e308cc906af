import { beforeAll, describe, expect, it } from 'vitest'
import { connectRuntime } from '../../src/haproxy/cli.ts'
import { askLive } from '../../src/haproxy/live.ts'
import type { WorkFolder } from '../support/haproxy.ts'
import { backend, model, route } from '../support/models.ts'
import { renderedSite } from '../support/rendered.ts'

describe('a running HAProxy that is asked who would answer', () => {
  let folder: WorkFolder
  beforeAll(async () => {
    const [web, any] = [backend('web', ['127.0.0.1:1']), backend('any', ['127.0.0.2:1', '127.0.0.2:2'])]
    const routes = [route('shop.example.com/a', web), route('*.example.com', any), route('/healthz$', web)]
    folder = (await renderedSite(model([web, any], routes))).folder
    const connection = await connectRuntime(folder.statsSocket)
    if (!connection.ok) throw new Error(connection.why)
    for (const command of [
      'add map seats.map :spare1 api',
      'add server :spare1/127.0.0.3:80 127.0.0.3:80 weight 4',
      'add map routes.map api.example.com/ :spare1|api||/v1',
    ])
      await connection.runtime.ask(command)
    connection.runtime.close()
  })

  it.each([
    ['shop.example.com', '/a/b', 'shop.example.com/a/', 'web', ['127.0.0.1:1']],
    ['shop.example.com', '/ab', 'example.com*/', 'any', ['127.0.0.2:1', '127.0.0.2:2']],
    ['other.test', '/healthz', '*/healthz?', 'web', ['127.0.0.1:1']],
    ['other.test', '/healthz/x', null, null, []],
    ['api.example.com', '/x', 'api.example.com/', 'api', ['127.0.0.3:80']],
  ])('names for %s%s the entry, the backend by its own name, and its servers', async (name, path, key, id, servers) => {
    const answer = await askLive(folder, name, path)
    expect(answer).toMatchObject({ kind: 'answered', key, backend: id })
    expect(answer.kind === 'answered' && [...answer.servers.keys()]).toEqual(servers)
  })

  it('tells the servers as they are', async () => {
    const answer = await askLive(folder, 'api.example.com', '/')
    const server = { weight: 4, state: 'maint', address: '127.0.0.3:80', words: null }
    expect(answer).toMatchObject({ servers: new Map([['127.0.0.3:80', server]]) })
  })

  it.each(['/a b', '/a;shutdown', '/a\\', '/a\n'])(
    'is not asked about %j, which would be another command',
    async (path) => {
      expect(await askLive(folder, 'shop.example.com', path)).toMatchObject({ kind: 'failed' })
    },
  )

  it('that is not there says where it was looked for', async () => {
    const away = { statsSocket: '/nowhere/s.sock', masterSocket: '/nowhere/m.sock' }
    const why = expect.stringContaining('/nowhere/s.sock')
    expect(await askLive(away, 'shop.example.com', '/')).toEqual({ kind: 'failed', why })
  })
})
