import { rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import { connect } from 'node:net'
import { beforeAll, describe, expect, it } from 'vitest'
import { ask, connectRuntime } from '../../src/haproxy/cli.ts'
import { workers } from '../../src/haproxy/master.ts'
import { observeIdentity } from '../../src/haproxy/observe.ts'
import { reload } from '../../src/haproxy/reload.ts'
import type { Candidate } from '../../src/types.ts'
import { byDialect, dialect, version } from '../support/dialect.ts'
import {
  atEnd,
  httpServer,
  install,
  minimalCandidate,
  type RunningHaproxy,
  rawRequest,
  request,
  startHaproxy,
  until,
  type WorkFolder,
  workFolder,
} from '../support/haproxy.ts'
import { freePort } from '../support/ports.ts'

/** What heddle relies on as the HAProxy under test does it, and where releases differ: where to look when there is a new one. */

interface Site {
  readonly folder: WorkFolder
  readonly haproxy: RunningHaproxy
  readonly first: Candidate
}

async function site(): Promise<Site> {
  const folder = await workFolder()
  const { name } = await httpServer({ name: 'web' })
  const first = minimalCandidate(folder, { backends: { web: [name, '127.0.0.1:9', '127.0.0.1:10'] } })
  await install(folder, first)
  return { folder, first, haproxy: await startHaproxy(folder) }
}

/** All that comes back until HAProxy closes the connection. */
function exchange(path: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path })
    let answer = ''
    socket.setEncoding('utf8')
    socket.on('data', (chunk: string) => {
      answer += chunk
    })
    socket.on('error', reject)
    socket.on('close', () => resolve(answer))
    socket.write(text)
  })
}

const expected = ({ structure, hash }: Candidate) => ({ structure, revision: hash })

describe(`the runtime API of ${version}`, () => {
  let folder: WorkFolder
  beforeAll(async () => {
    folder = (await site()).folder
  })

  it('prompts once for each line, and once more for each sub-command or payload line on some', async () => {
    const counted = async (lines: string) =>
      (await exchange(folder.statsSocket, `prompt\n${lines}\nquit\n`)).split('\n> ').length - 1
    expect(await counted('show version\nshow version\nshow version')).toBe(4)
    expect(await counted('show version;show version')).toBe(byDialect({ '2.6': 3, '3.0': 3, '3.2': 2 }))
    const payload = await exchange(folder.statsSocket, 'prompt\nadd map hosts.map <<\na x\nb x\n\nquit\n')
    expect(payload).toBe(byDialect({ '2.6': '\n> + + + \n> ', '3.0': '\n> + + + \n> ', '3.2': '\n> \n> ' }))
  })

  it('without a prompt answers each line on 2.6, and the first alone on later ones', async () => {
    const answer = await exchange(folder.statsSocket, 'show version\nshow version\nquit\n')
    expect(answer.match(/^\d/gm)).toHaveLength(byDialect({ '2.6': 2, '3.0': 1, '3.2': 1 }))
  })

  it('agrees by silence, and refuses in words', async () => {
    const connection = await connectRuntime(folder.statsSocket)
    if (!connection.ok) throw new Error(connection.why)
    const registered = 'New server registered.'
    const refused = (option: string) => `'${option}' option is not accepted for dynamic server`
    const table: readonly [string, string][] = [
      ['set server web/127.0.0.1:9 state maint', ''],
      ['set server web/127.0.0.1:9 state maint', ''],
      ['set server web/127.0.0.1:9 state ready', ''],
      ['set server web/127.0.0.1:9 weight 5', ''],
      ['set server web/127.0.0.1:9 weight 257', 'Absolute weight can only be between 0 and 256 inclusive.'],
      ['set server web/127.0.0.7:9 state ready', 'No such server.'],
      ['set server nobody/127.0.0.1:9 state ready', 'No such backend.'],
      ['shutdown sessions server web/127.0.0.1:9', ''],
      ['shutdown sessions server web/127.0.0.7:9', 'No such server.'],
      ['set server web/127.0.0.1:9 health down', ''],
      ['set server web/127.0.0.1:9 health up', ''],
      ['set maxconn server web/127.0.0.1:9 7', ''],
      ['set maxconn server web/127.0.0.1:9 0', ''],
      ['set dynamic-cookie-key backend web heddle', ''],
      ['add server web/127.0.0.1:11 127.0.0.1:11 weight 1', registered],
      ['add server web/127.0.0.1:11 127.0.0.1:11 weight 1', 'Already exists a server with the same name in backend.'],
      [
        'add server web/127.0.0.1:12 127.0.0.1:12 enabled',
        byDialect({ '2.6': registered, '3.0': refused('enabled'), '3.2': refused('enabled') }),
      ],
      [
        'add server web/127.0.0.1:13 127.0.0.1:13 cookie c',
        byDialect({ '2.6': refused('cookie'), '3.0': registered, '3.2': registered }),
      ],
      ['del server web/127.0.0.1:10', 'Only servers in maintenance mode can be deleted.'],
      ['del server web/127.0.0.1:11', 'Server deleted.'],
      ['add map hosts.map /x web', ''],
      ['set map hosts.map /x other', ''],
      ['set map hosts.map /y other', 'entry not found.'],
      ['del map hosts.map /x', ''],
      ['del map hosts.map /y', 'Key not found.'],
      ['show map hers.map', 'Unknown map identifier. Please use #<id> or <file>.'],
    ]
    const answers = await Promise.all(table.map(([command]) => connection.runtime.ask(command)))
    connection.runtime.close()
    expect(answers.map((answer, index) => [table[index]?.[0], answer.ok ? answer.answer : answer.why])).toEqual(table)
  })
})

describe(`a server of ${version} that is in maintenance`, () => {
  it('keeps the connection of its last request for some 15 s on 2.6, and can not be deleted until then', async () => {
    const folder = await workFolder()
    const web = await httpServer({ name: 'web', delay: 300 })
    await install(folder, minimalCandidate(folder, { backends: { web: [web.name] } }))
    await startHaproxy(folder)
    const command = async (text: string) => {
      const answer = await ask(folder.statsSocket, text)
      return answer.ok ? answer.answer : answer.why
    }
    const asked = request(folder)
    await until(() => web.asked() > 0)
    await command(`set server web/${web.name} state maint`)
    const busy = 'Server still has connections attached to it, cannot remove it.'
    expect(await command(`del server web/${web.name}`)).toBe(busy)
    expect((await asked).status).toBe(200)
    if (dialect.name !== '2.6')
      await until(async () => (await command(`del server web/${web.name}`)) === 'Server deleted.')
    else {
      // used_cur and used_max, need_est, unsafe_nb, safe_nb, idle_lim, idle_cur
      await until(async () => / 0 \d+ \d+ \d+ \d+ -1 1 /.test(await command('show servers conn web')))
      expect(await command(`del server web/${web.name}`)).toBe(busy)
      // or until the container closes it
      await web.close()
      await until(async () => (await command(`del server web/${web.name}`)) === 'Server deleted.')
    }
  })
})

describe(`a reload of ${version}`, () => {
  it('that goes through says so, but on 2.6, which says nothing', async () => {
    const { folder, first } = await site()
    const answer = await ask(folder.masterSocket, 'reload', { timeout: 10_000 })
    if (!answer.ok) throw new Error(answer.why)
    const said = dialect.readReload(answer.answer)
    if (dialect.name === '2.6') expect([answer.answer, said]).toEqual(['', null])
    else expect(said).toEqual({ isLoaded: true, log: expect.stringContaining('Loading success.') })
    await until(async () => (await workers(folder.masterSocket)).ok)
    expect(await reload({ ...folder, expected: expected(first) })).toMatchObject({ kind: 'reloaded' })
  })

  it('that fails is told with its words, but on 2.6, which keeps them to its stderr', async () => {
    const { folder, haproxy } = await site()
    const broken = minimalCandidate(folder, { frontend: ['bogus words'] })
    await install(folder, broken)
    const outcome = await reload({ ...folder, expected: expected(broken) })
    const words = /unknown keyword 'bogus'/
    expect(outcome).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(
        byDialect({ '2.6': /its own messages are on its stderr/, '3.0': words, '3.2': words }),
      ),
    })
    await until(() => words.test(haproxy.output()))
    expect(await workers(folder.masterSocket)).toMatchObject({ ok: true, failed: 1, old: [] })
    expect((await request(folder)).status).toBe(200)
  })

  it('onto a port in use ends with the former worker serving', async () => {
    const { folder } = await site()
    const before = await observeIdentity(folder)
    const squatter = await httpServer({ address: folder.address, port: await freePort(folder.address) })
    const blocked = minimalCandidate(folder, { backends: { web: ['127.0.0.1:9'] }, bind: squatter.name })
    await install(folder, blocked)
    const outcome = await reload({ ...folder, expected: expected(blocked) })
    const words = /cannot bind socket \(Address already in use\)/
    expect(outcome).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(byDialect({ '2.6': /a port in use/, '3.0': words, '3.2': words })),
    })
    // what was told once is not told as news again
    await until(() => request(folder).catch(() => null))
    expect(await reload({ ...folder, expected: expected(blocked) })).toEqual(outcome)
    expect(await observeIdentity(folder)).toEqual(before)
    expect(await until(() => request(folder).catch(() => null))).toMatchObject({ status: 200 })
  })

  it('without its file costs 3.2 its master, and others nothing', async () => {
    const { folder, haproxy } = await site()
    await rm(folder.file)
    await ask(folder.masterSocket, 'reload', { timeout: 10_000 })
    if (dialect.name === '3.2') {
      await haproxy.ended
      await expect(request(folder)).rejects.toThrow('ECONNREFUSED')
    } else {
      await until(async () => {
        const now = await workers(folder.masterSocket)
        return now.ok && now.failed === 1
      })
      expect((await request(folder)).status).toBe(200)
    }
    expect(haproxy.output()).toMatch(/Cannot open configuration file/)
  })

  it('is not asked for while its file is not there', async () => {
    const { folder, first, haproxy } = await site()
    const before = await observeIdentity(folder)
    await rm(folder.file)
    expect(await reload({ ...folder, expected: expected(first) })).toEqual({
      kind: 'failed',
      why: `${folder.file} is not there: somebody has removed it`,
    })
    expect(await observeIdentity(folder)).toEqual(before)
    expect(await workers(folder.masterSocket)).toMatchObject({ ok: true, master: { pid: haproxy.pid }, failed: 0 })
    await install(folder, first)
    expect(await reload({ ...folder, expected: expected(first) })).toMatchObject({ kind: 'reloaded' })
  })
})

describe(`header names that ${version} passes on`, () => {
  it('are in lower case on the wire, both ways', async () => {
    const folder = await workFolder()
    const seen: string[] = []
    const server = createServer((question, answer) => {
      seen.push(...question.rawHeaders.filter((_, index) => index % 2 === 0))
      answer.setHeader('X-Answered-By', 'web')
      answer.end()
    })
    const port = await freePort(folder.address)
    await new Promise<void>((resolve) => server.listen(port, folder.address, resolve))
    atEnd(() => server.close())
    const backends = { web: [`${folder.address}:${port}`] }
    await install(folder, minimalCandidate(folder, { backends, frontend: ['http-request set-header X-Port 80'] }))
    await startHaproxy(folder)
    const text = 'GET / HTTP/1.1\r\nHost: test.example.com\r\nX-Asked-By: Me\r\nConnection: close\r\n\r\n'
    const answer = await rawRequest(folder, text)
    expect(seen).toEqual(expect.arrayContaining(['host', 'x-asked-by', 'x-port']))
    expect(answer).toMatch(/^x-answered-by: web\r$/m)
    expect(answer).toMatch(/^revision: \w+\r$/m)
  })
})
