import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { endProcessesOf, startChild, withoutSettings } from '../../../src/commands/demo/processes.ts'
import { eventually } from '../../support/eventually.ts'

const forEver = 'process.stdout.write("up\\n"); setInterval(() => {}, 1000)'
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heddle-processes-'))
})

afterEach(() => rm(folder, { recursive: true, force: true }))

describe('a child of the demo', () => {
  it('ends when it is asked to', async () => {
    const child = startChild('sleeper', process.execPath, ['-e', forEver], process.env)
    await eventually(() => expect(child.lastLines()).toBe('up'))
    expect(child.isRunning()).toBe(true)
    await child.stop()
    expect(child.isRunning()).toBe(false)
    expect(await child.ended).toBe('ended by SIGTERM')
  })

  it('is remembered by its last lines and how it ended', async () => {
    const script = 'for (let i = 0; i < 100; i++) console.error("line", i); process.exitCode = 3'
    const child = startChild('talker', process.execPath, ['-e', script], process.env)
    expect(await child.ended).toBe('ended with code 3')
    await eventually(() => expect(child.lastLines()).toMatch(/line 98\nline 99$/))
    expect(child.lastLines()).not.toContain('line 50\n')
  })

  it('that does not exist is told, not thrown', async () => {
    const child = startChild('nobody', join(folder, 'nobody'), [], process.env)
    expect(await child.ended).toMatch(/^could not be started: .*ENOENT/)
    await child.stop()
  })

  it('gets none of the settings that are meant for other programs', () => {
    expect(withoutSettings({ PATH: '/bin', CONSUL_HTTP_ADDR: 'x', HEDDLE_LOG_LEVEL: 'debug' })).toEqual({
      PATH: '/bin',
    })
  })
})

describe('what outlives its parent', () => {
  it('is ended when it is of the named program and names the folder, and nothing else is', async () => {
    const program = join(folder, 'weaver')
    const named = join(folder, 'demo')
    await symlink(process.execPath, program)
    const start = (command: string, argument: string) => {
      const child = spawn(command, ['-e', forEver, argument], { stdio: ['ignore', 'pipe', 'ignore'] })
      return { child, isUp: once(child.stdout, 'data'), ended: once(child, 'exit') }
    }
    const ours = start(program, join(named, 'haproxy.cfg'))
    const others = [start(process.execPath, join(named, 'haproxy.cfg')), start(program, `${named}-other/haproxy.cfg`)]
    try {
      await Promise.all([ours, ...others].map(({ isUp }) => isUp))
      await endProcessesOf(program, named)
      expect(await ours.ended).toEqual([null, 'SIGTERM'])
      expect(others.map(({ child }) => child.exitCode ?? child.signalCode)).toEqual([null, null])
    } finally {
      for (const { child } of [ours, ...others]) child.kill('SIGKILL')
      await Promise.all([ours, ...others].map(({ ended }) => ended))
    }
  })
})
