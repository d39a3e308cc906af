// Programs in Go that no package manager has in the version we want: found, or built from source once and kept in the user's
// cache folder. The go.mod and go.sum of a program pin all that goes into it.

import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { withLock } from './lock.mjs'
import { cacheFolder, findProgram, installPackage, run, SetupError, say } from './setup.mjs'

/**
 * Path of the program, or null where there is none and `build` is false. `pins` is the folder of go.mod and go.sum, `go` the
 * oldest release 1.x of Go that builds it, `why` says what it is for.
 */
export async function ensureGoProgram(program, { build }) {
  const folder = join(cacheFolder(), `${program.name}-${program.version}`)
  const find = () => findProgram(program.name, [folder])
  const found = find()
  if (found !== null || !build) return found
  mkdirSync(folder, { recursive: true })
  return withLock(join(folder, 'lock'), async () => find() ?? (await buildProgram(program, folder)))
}

async function buildProgram(program, folder) {
  const { name, version, module, pins, why } = program
  const go = await ensureGo(program)
  const source = mkdtempSync(join(tmpdir(), `heddle-${name}-`))
  const built = join(folder, `${name}.tmp.${process.pid}`)
  say(`building ${name} ${version} with Go ${why}: some minutes, once (kept in ${folder})`)
  try {
    for (const file of ['go.mod', 'go.sum']) cpSync(join(pins, file), join(source, file))
    const args = ['build', '-mod=mod', '-trimpath', '-ldflags=-s -w', '-o', built, module]
    const code = await run(go, args, { cwd: source, env: { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' } })
    if (code !== 0)
      throw new SetupError(`${name} could not be built: see above; or put a \`${name}\` ${version} on PATH`)
    renameSync(built, join(folder, name))
    return join(folder, name)
  } finally {
    rmSync(source, { recursive: true, force: true })
    rmSync(built, { force: true })
  }
}

async function ensureGo({ name, version, go, why }) {
  const find = () => findProgram('go', ['/usr/local/go/bin', '/usr/lib/go/bin'])
  const found =
    find() ?? ((await installPackage({ default: 'golang', 'apt-get': 'golang-go', apk: 'go' })) ? find() : null)
  const said = found === null ? '' : spawnSync(found, ['env', 'GOVERSION'], { encoding: 'utf8' }).stdout
  const [, major = 0, minor = 0] = (/go(\d+)\.(\d+)/.exec(said) ?? []).map(Number)
  if (found !== null && (major > 1 || minor >= go)) return found
  const state = found === null ? 'there is no Go here' : `${found} is ${major}.${minor}`
  throw new SetupError(
    `needs a real ${name} ${why}: put \`${name}\` (${version} or newer) on PATH, or install Go 1.${go} or newer to build it (${state})`,
  )
}
