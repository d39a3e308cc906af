import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'

const script = fileURLToPath(new URL('../../bench/peer.mjs', import.meta.url))
const longest = 90_000

let folder: string
let running: { readonly child: ChildProcess; readonly ended: Promise<number | null> } | null = null

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hd-peer-'))
})

afterEach(async () => {
  // it ends all that it has started
  running?.child.kill('SIGTERM')
  await running?.ended
  await rm(folder, { recursive: true, force: true })
})

function bench(...args: readonly string[]) {
  const started = spawn(process.execPath, [script, ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: folder },
  })
  const said = { stdout: '', stderr: '' }
  started.stdout.on('data', (chunk) => (said.stdout += chunk))
  started.stderr.on('data', (chunk) => (said.stderr += chunk))
  const ended = new Promise<number | null>((resolve) => started.once('close', resolve))
  running = { child: started, ended }
  return { said, ended, kill: (signal: NodeJS.Signals) => started.kill(signal) }
}

/** Command lines of processes that work in our folder. */
async function leftOver(): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return lines.filter((line) => line.includes(folder))
}

describe('npm run bench:peer', () => {
  it('teaches with --help, and for what it does not know', async () => {
    const help = bench('--help')
    expect(await help.ended).toBe(0)
    expect(help.said.stdout).toContain('--size SIZE')
    for (const wrong of [
      ['--sise', '5x2'],
      ['--size', '5'],
      ['--rounds', '0'],
      ['--only', 'nobody'],
    ]) {
      const { said, ended } = bench(...wrong)
      expect(await ended, wrong.join(' ')).toBe(2)
      expect(said.stderr).toMatch(/^heddle: [\s\S]*--size SIZE/)
      expect(said.stdout).toBe('')
    }
  })

  it(
    'measures a small catalog, and leaves nothing behind',
    async () => {
      const { said, ended } = bench('--size', '5x2', '--rounds', '1', '--only', 'heddle')
      expect(await ended, said.stderr).toBe(0)
      expect(said.stdout).toMatch(
        /^Node\.js .*, HAProxy .*, Consul .*\n\n5x2 on 20 nodes, 5 changes:\n\n\| {2}\| heddle \|\n/,
      )
      expect(said.stdout).toMatch(/^\| every route served after a start \| [\d,.]+ m?s \|$/m)
      for (const kind of ['register', 'critical', 'passing', 'deregister', 'new service'])
        expect(said.stdout).toMatch(new RegExp(`^\\| ${kind}, p50 \\| [\\d,.]+ m?s \\|$`, 'm'))
      expect(said.stdout).toMatch(/^\| reloads in the churn \| \d+ \|$/m)
      expect(said.stdout).toMatch(/^\| requests\/s seen at the last route \| [1-9][\d,]* \|$/m)
      expect(await readdir(folder)).toEqual([])
      expect(await leftOver()).toEqual([])
    },
    longest,
  )

  it(
    'ends all that it has started when it is interrupted',
    async () => {
      const { said, ended, kill } = bench('--size', '5x2', '--rounds', '1', '--only', 'heddle')
      await eventually(() => expect(said.stderr).toContain('changes, round 1'), { within: 30_000 })
      expect((await leftOver()).length).toBeGreaterThan(0)
      kill('SIGINT')
      expect(await ended).toBe(130)
      expect(said.stdout).toBe('')
      expect(await readdir(folder)).toEqual([])
      expect(await leftOver()).toEqual([])
    },
    longest,
  )
})
