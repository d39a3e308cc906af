// heddle as a process: how soon a catalog is served after a start with nothing, and what memory that takes.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const program = fileURLToPath(new URL('../dist/cli.js', import.meta.url))
const address = '127.91.0.2'
const longestStart = 120_000
/** The garbage of the start is gone by then. */
const settled = 30_000

/** Milliseconds until the first revision runs, proved; megabytes that the process took at most, and after a while. */
export async function measureProcess({ snapshot, haproxy }) {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
  mkdirSync(join(folder, 'run'))
  const settings = {
    haproxy: {
      process: 'spawn',
      bin: haproxy,
      directory: join(folder, 'lib'),
      masterSocket: join(folder, 'run', 'master.sock'),
      statsSocket: join(folder, 'run', 'stats.sock'),
      bind: [`${address}:9010`],
      statsBind: `${address}:9011`,
    },
    status: { listen: `${address}:9012` },
  }
  const file = join(folder, 'heddle.yaml')
  writeFileSync(file, JSON.stringify(settings))
  const start = performance.now()
  const child = spawn(process.execPath, [program, '--config', file, 'run', '--snapshot', snapshot], {
    stdio: ['ignore', 'ignore', 'inherit'],
    env: { ...process.env, HEDDLE_LOG_LEVEL: 'error' },
  })
  const ended = new Promise((resolve) => child.on('close', resolve))
  try {
    while (!(await isReady())) {
      if (child.exitCode !== null) throw new Error(`heddle ended with ${child.exitCode}`)
      if (performance.now() - start > longestStart) throw new Error('heddle did not get ready')
      await delay(20)
    }
    const ready = performance.now() - start
    await delay(settled)
    const status = readFileSync(`/proc/${child.pid}/status`, 'utf8')
    const megabytes = (key) => Number(new RegExp(`${key}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1024
    return { ready, peak: megabytes('VmHWM'), resting: megabytes('VmRSS') }
  } finally {
    child.kill('SIGTERM')
    await ended
    rmSync(folder, { recursive: true, force: true })
  }
}

async function isReady() {
  return fetch(`http://${address}:9012/readyz`).then(
    ({ ok }) => ok,
    () => false,
  )
}
