import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { haproxyBin } from '../../support/haproxy.ts'
import { heddle } from '../../support/heddle.ts'

const eventSchema = z.object({
  event: z.string(),
  source: z.string().optional(),
  settingsFile: z.string().optional(),
  requests: z.number().optional(),
  wrong: z.number().optional(),
  followed: z.number().optional(),
  notFollowed: z.number().optional(),
})

let home: string

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'heddle-home-'))
  await symlink(haproxyBin, join(home, 'haproxy'))
})

afterAll(() => rm(home, { recursive: true, force: true }))

const folders = (process.env['PATH'] ?? '').split(delimiter)

/** The demo takes the first HAProxy on PATH. */
function withConsul(): Record<string, string> {
  return { PATH: [home, ...folders].join(delimiter) }
}

/** An environment in which no Consul is found. */
function withoutConsul(): Record<string, string> {
  const others = folders.filter((folder) => !existsSync(join(folder, 'consul')))
  return { PATH: [home, ...others].join(delimiter), HOME: home, XDG_CACHE_HOME: home }
}

async function processesNaming(folder: string): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes(folder))
}

describe('heddle demo', () => {
  it.each([
    ['a real Consul', withConsul, /^Consul at /],
    ['a snapshot file', withoutConsul, /^the snapshot file /],
  ] as const)(
    'follows every change of %s, answers every request, and leaves nothing behind',
    async (_, env, source) => {
      const { code, stdout, stderr } = await heddle(['demo', '--for', '10s', '--json'], env())
      const events = stdout
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => eventSchema.parse(JSON.parse(line)))
      const said = `${stdout}${stderr}`
      expect(events[0]?.source, said).toMatch(source)
      const summary = events.at(-1)
      expect(summary, said).toMatchObject({ event: 'summary', wrong: 0, notFollowed: 0 })
      // how many fit into the time is the machine's affair; the exit code wants one at least
      expect(summary?.followed, said).toBeGreaterThan(0)
      expect(summary?.requests).toBeGreaterThan(100)
      expect(code).toBe(0)
      const folder = dirname(events[0]?.settingsFile ?? '')
      expect(existsSync(folder)).toBe(false)
      expect(await processesNaming(folder)).toEqual([])
    },
    120_000,
  )
})
