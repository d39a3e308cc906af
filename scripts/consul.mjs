// A real Consul for the tests: found, or built from source once and kept in the user's cache folder.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withLock } from './lock.mjs'
import { cacheFolder, findProgram, installPackage, root, run, SetupError, say } from './setup.mjs'

const version = '1.13.9'

function findConsul() {
  return findProgram('consul', [join(cacheFolder(), `consul-${version}`)])
}

/** Path of Consul, or null where there is none and `build` is false. */
export async function ensureConsul({ build }) {
  const found = findConsul()
  if (found !== null || !build) return found
  const folder = join(cacheFolder(), `consul-${version}`)
  mkdirSync(folder, { recursive: true })
  return withLock(join(folder, 'lock'), async () => findConsul() ?? (await buildConsul(folder)))
}

async function buildConsul(folder) {
  const go = await ensureGo()
  const source = mkdtempSync(join(tmpdir(), 'heddle-consul-'))
  const built = join(folder, `consul.tmp.${process.pid}`)
  say(`building Consul ${version} with Go for the tests: some minutes, once (kept in ${folder})`)
  try {
    cpSync(join(root, 'test', 'consul'), source, { recursive: true })
    const args = ['build', '-mod=mod', '-trimpath', '-ldflags=-s -w', '-o', built, 'github.com/hashicorp/consul']
    const code = await run(go, args, { cwd: source, env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' } })
    if (code !== 0) throw new SetupError(`Consul could not be built: see above; or put a \`consul\` ${version} on PATH`)
    renameSync(built, join(folder, 'consul'))
    return join(folder, 'consul')
  } finally {
    rmSync(source, { recursive: true, force: true })
    rmSync(built, { force: true })
  }
}

async function ensureGo() {
  const find = () => findProgram('go', ['/usr/local/go/bin', '/usr/lib/go/bin'])
  const found =
    find() ?? ((await installPackage({ default: 'golang', 'apt-get': 'golang-go', apk: 'go' })) ? find() : null)
  const said = found === null ? '' : spawnSync(found, ['env', 'GOVERSION'], { encoding: 'utf8' }).stdout
  const [, major = 0, minor = 0] = (/go(\d+)\.(\d+)/.exec(said) ?? []).map(Number)
  if (found !== null && (major > 1 || minor >= 19)) return found
  const state = found === null ? 'there is no Go here' : `${found} is ${major}.${minor}`
  throw new SetupError(
    `the tests need a real Consul: put \`consul\` (${version} or newer) on PATH, or install Go 1.19 or newer to build it (${state})`,
  )
}
