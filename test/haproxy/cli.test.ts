import { setTimeout as pause } from 'node:timers/promises'
import { beforeAll, describe, expect, it } from 'vitest'
import { ask, connectRuntime, type Runtime } from '../../src/haproxy/cli.ts'
import { install, minimalCandidate, startHaproxy, type WorkFolder, workFolder } from '../support/haproxy.ts'
import { unixServer } from '../support/unix-server.ts'

async function connected(path: string, limits = {}): Promise<Runtime> {
  const connection = await connectRuntime(path, limits)
  if (!connection.ok) throw new Error(connection.why)
  return connection.runtime
}

describe('with a real HAProxy', () => {
  let folder: WorkFolder
  beforeAll(async () => {
    folder = await workFolder()
    await install(folder, minimalCandidate(folder, { backends: { web: ['127.0.0.1:9', '127.0.0.1:10'] } }))
    await startHaproxy(folder)
  })

  it('one command gets its answer', async () => {
    const answer = await ask(folder.statsSocket, 'show info')
    expect(answer).toMatchObject({ ok: true, answer: expect.stringMatching(/^Name: HAProxy\n/) })
  })

  it('answers come in the order of commands, however many are sent at once', async () => {
    const runtime = await connected(folder.statsSocket)
    const wanted = Array.from({ length: 3000 }, (_, index) => `k${index}/ v${index}`)
    const sent = wanted.map((entry) => runtime.ask(`add map routes.map ${entry}`))
    const read = runtime.ask('show map routes.map')
    const single = wanted.map((entry) => runtime.ask(`get map routes.map ${entry.split(' ')[0]}`))
    expect((await Promise.all(sent)).every((answer) => answer.ok && answer.answer === '')).toBe(true)
    const all = await read
    expect(all.ok && all.answer.split('\n').filter((line) => line.includes(' k'))).toHaveLength(3000)
    for (const [index, answer] of (await Promise.all(single)).entries())
      expect(answer.ok && answer.answer).toContain(`value="v${index}"`)
    runtime.close()
  })

  it('a payload is taken whole and its prompts are no part of the answer', async () => {
    const runtime = await connected(folder.statsSocket)
    const lines = Array.from({ length: 500 }, (_, index) => `payload${index}/ web`)
    const [added, listed] = await Promise.all([
      runtime.ask('add map hosts.map <<', lines),
      runtime.ask('show map hosts.map'),
    ])
    expect(added).toEqual({ ok: true, answer: '' })
    expect(listed.ok && listed.answer.split('\n')).toHaveLength(500)
    const refused = await runtime.ask('add map unknown.map <<', ['a b', 'c d'])
    expect(refused).toMatchObject({ ok: true, answer: expect.stringMatching(/^Unknown map identifier/) })
    runtime.close()
  })

  it('a command that would be read as several is never sent', async () => {
    const runtime = await connected(folder.statsSocket)
    const bad: [string, string[]?][] = [
      ['show map routes.map\nclear map routes.map'],
      ['show map routes.map;clear map routes.map'],
      ['add map state.map <<'],
      [''],
      [`add map state.map ${'x'.repeat(12_001)} y`],
      ['add map state.map', ['a b']],
      ['add map state.map <<', ['a b', '', 'clear map routes.map']],
      ['add map state.map <<', ['a b\nc d']],
      ['add map state.map <<', Array.from({ length: 1300 }, () => '123456789')],
    ]
    for (const [command, payload] of bad)
      expect(await runtime.ask(command, payload)).toMatchObject({ ok: false, code: 'bad-command' })
    expect(await ask(folder.statsSocket, 'show info\nshow stat')).toMatchObject({ ok: false, code: 'bad-command' })
    expect(await runtime.ask('show map state.map')).toMatchObject({
      ok: true,
      answer: expect.stringMatching(/alive 1$/),
    })
    runtime.close()
  })

  it('a closed connection answers at once, also to those that wait', async () => {
    const runtime = await connected(folder.statsSocket)
    const waiting = runtime.ask('show info')
    runtime.close()
    expect(await waiting).toMatchObject({ ok: false, code: 'closed' })
    expect(await runtime.ask('show info')).toMatchObject({ ok: false, code: 'closed' })
  })

  it('an answer longer than allowed ends the connection', async () => {
    expect(await ask(folder.statsSocket, 'show info', { longest: 100 })).toMatchObject({ ok: false, code: 'too-long' })
    const runtime = await connected(folder.statsSocket, { longest: 100 })
    expect(await runtime.ask('show info')).toMatchObject({ ok: false, code: 'too-long' })
    expect(await runtime.ask('show version')).toMatchObject({ ok: false, code: 'too-long' })
  })
})

describe('where HAProxy is not as it should be', () => {
  it('a socket that is not there is told as such', async () => {
    const { statsSocket } = await workFolder()
    expect(await ask(statsSocket, 'show info')).toMatchObject({
      ok: false,
      code: 'ENOENT',
      why: expect.stringContaining(statsSocket),
    })
    expect(await connectRuntime(statsSocket)).toMatchObject({ ok: false, code: 'ENOENT' })
  })

  it('a socket that was left behind is told as such', async () => {
    const folder = await workFolder()
    await install(folder, minimalCandidate(folder))
    const haproxy = await startHaproxy(folder)
    await haproxy.stop()
    expect(await ask(folder.masterSocket, 'show proc')).toMatchObject({ ok: false, code: 'ECONNREFUSED' })
  })

  it('silence ends at the deadline', async () => {
    const server = await unixServer(() => {})
    expect(await ask(server.path, 'show info', { timeout: 50 })).toMatchObject({ ok: false, code: 'timeout' })
    expect(await connectRuntime(server.path, { timeout: 50 })).toMatchObject({ ok: false, code: 'timeout' })
  })

  it('an answer that drips for ever ends at the deadline', async () => {
    const server = await unixServer((socket) => {
      socket.write('\n> ')
      const timer = setInterval(() => socket.write('x'), 5)
      socket.on('close', () => clearInterval(timer))
    })
    expect(await ask(server.path, 'show info', { timeout: 100 })).toMatchObject({ ok: false, code: 'timeout' })
    const runtime = await connected(server.path, { timeout: 100 })
    expect(await runtime.ask('show info')).toMatchObject({ ok: false, code: 'timeout' })
  })

  it('a prompt cut at any byte still ends its answer', async () => {
    const text = '\n> one\n\n> two > three\n\n> \n> '
    const server = await unixServer(async (socket) => {
      for (const byte of text) {
        socket.write(byte)
        await pause(1)
      }
    })
    const runtime = await connected(server.path)
    const answers = await Promise.all(['a', 'b', 'c'].map((command) => runtime.ask(command)))
    expect(answers.map((answer) => answer.ok && answer.answer)).toEqual(['one', 'two > three', ''])
    runtime.close()
  })

  it('answers that nobody asked for end the connection', async () => {
    const server = await unixServer((socket) => socket.write('\n> \n> \n> '))
    const runtime = await connected(server.path)
    expect(await runtime.ask('show info')).toMatchObject({ ok: false })
  })

  it('a connection broken in the middle of an answer is a failure, not a short answer', async () => {
    const server = await unixServer((socket) => {
      socket.write('\n> ')
      socket.on('data', (bytes) => {
        if (String(bytes).includes('show')) socket.end('half an ans')
      })
    })
    const runtime = await connected(server.path)
    expect(await runtime.ask('show info')).toMatchObject({ ok: false, code: 'closed' })
  })

  it('an aborted question is over at once', async () => {
    const server = await unixServer(() => {})
    const controller = new AbortController()
    const waiting = ask(server.path, 'show info', { timeout: 60_000, signal: controller.signal })
    controller.abort()
    expect(await waiting).toMatchObject({ ok: false, code: 'aborted' })
    expect(await connectRuntime(server.path, { timeout: 60_000, signal: controller.signal })).toMatchObject({
      ok: false,
      code: 'aborted',
    })
  })
})
