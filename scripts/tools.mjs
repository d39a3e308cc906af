// Programs that only some tests need. Where one can't be had, its tests are skipped with a word about it; in CI a skipped
// test is a failed one.
import { spawnSync } from 'node:child_process'
import { debianFolder, debianPrograms } from './debian.mjs'
import { findProgram, installPackage, say } from './setup.mjs'

const prometheus = { suite: 'stable', package: 'prometheus', programs: ['usr/bin/promtool', 'usr/bin/prometheus'] }
const compose = { suite: 'stable', package: 'docker-compose', programs: ['usr/bin/docker-compose'] }

/** Path of a browser that playwright-core can drive, or null. */
export function findChromium() {
  return findProgram('chromium') ?? findProgram('chromium-browser') ?? findProgram('google-chrome')
}

/** Path of Prometheus' own checker, or null. */
export function findPromtool() {
  return findProgram('promtool', [debianFolder(prometheus)])
}

/** Path of Prometheus, or null. */
export function findPrometheus() {
  return findProgram('prometheus', [debianFolder(prometheus)])
}

/** Words that begin a command of Docker Compose 2 or newer, or null. */
export function findCompose() {
  const alone = findProgram('docker-compose', [debianFolder(compose)])
  const candidates = [['docker', 'compose'], ...(alone === null ? [] : [[alone]])]
  return (
    candidates.find(([command, ...args]) => {
      const { status, stdout } = spawnSync(command, [...args, 'version', '--short'], { encoding: 'utf8' })
      return status === 0 && !/^v?1\./.test(stdout)
    }) ?? null
  )
}

const tools = [
  { what: 'chromium (the page)', find: findChromium, get: () => installPackage({ default: 'chromium' }) },
  {
    what: 'prometheus with promtool (metrics, alerts)',
    find: () => findPromtool() && findPrometheus(),
    get: () => debianPrograms(prometheus),
  },
  { what: 'docker compose (docker-compose.yml)', find: findCompose, get: () => debianPrograms(compose) },
]

/** Gets what is missing, as far as this machine allows it. */
export async function ensureTools() {
  const missing = []
  for (const { what, find, get } of tools) {
    if (find() === null) await get()
    if (find() === null) missing.push(what)
  }
  if (missing.length > 0)
    say(`not found and not to be installed here, so their tests are skipped: ${missing.join(', ')}`)
}
