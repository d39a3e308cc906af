// What a fresh clone needs before heddle can be tried or tested. Plain JavaScript with builtins only: it runs before `npm ci`.
// Every step is quick when nothing is left to do, says what it does on stderr, and leaves stdout alone.
import { spawn, spawnSync } from 'node:child_process'
import { accessSync, constants, lstatSync, readdirSync, rmSync, statSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** A step that can't be done, with what the person can do about it. Shown without a stack. */
export class SetupError extends Error {}

export function say(text) {
  process.stderr.write(`heddle: ${text}\n`)
}

/** Runs a script's `main`; a SetupError is a message, anything else a bug. */
export async function runScript(main) {
  try {
    requireNode()
    process.exitCode = await main()
  } catch (error) {
    if (error instanceof SetupError) say(error.message)
    else console.error(error)
    process.exitCode = 1
  }
}

export function requireNode(version = process.versions.node) {
  const [major, minor] = version.split('.').map(Number)
  if (major > 20 || (major === 20 && minor >= 19)) return
  throw new SetupError(`needs Node.js 20.19 or newer, this is ${version}: https://nodejs.org/en/download`)
}

/**
 * Runs a program to its end, both its outputs on stderr. Resolves to the exit code, to 127 where there is no such program.
 * The child has no standard input, so that nothing can wait for an answer.
 */
export function run(command, args, { cwd = root, env = process.env, stdout = 2 } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ['ignore', stdout, 2] })
    child.on('error', () => resolve(127))
    child.on('close', (code, signal) => resolve(signal === null ? code : 1))
  })
}

/** Path of a program on PATH or in one of the folders, or null. */
export function findProgram(name, folders = []) {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), ...folders]) {
    const path = join(folder, name)
    try {
      accessSync(path, constants.X_OK)
      if (folder !== '' && statSync(path).isFile()) return path
    } catch {}
  }
  return null
}

export function cacheFolder() {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'heddle')
}

/** Root, or a sudo that asks for no password: the words to put before a command; null when neither. */
function privilege() {
  if (process.getuid?.() === 0) return []
  const canSudo = findProgram('sudo') !== null && spawnSync('sudo', ['-n', 'true'], { stdio: 'ignore' }).status === 0
  return canSudo ? ['sudo', '-n'] : null
}

// Debian starts a service when its package is installed; policy-rc.d is its way of saying no. A policy that is there stays.
const aptInstall = `set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' > "$policy"
  chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -q -o DPkg::Lock::Timeout=300 update
apt-get -q -o DPkg::Lock::Timeout=300 install -y --no-install-recommends "$1"`

const packageManagers = {
  'apt-get': (name) => ['sh', '-c', aptInstall, 'apt', name],
  dnf: (name) => ['dnf', 'install', '-y', name],
  apk: (name) => ['apk', 'add', name],
}

/** Installs a package where a known package manager may be used without a password. False when it wasn't or couldn't. */
export async function installPackage(names) {
  const words = privilege()
  const manager = Object.keys(packageManagers).find((name) => findProgram(name, ['/usr/bin', '/sbin']) !== null)
  if (words === null || manager === undefined) return false
  const name = names[manager] ?? names.default
  say(`installing ${name} (${manager})`)
  const [command, ...args] = [...words, ...packageManagers[manager](name)]
  return (await run(command, args)) === 0
}

function newest(path) {
  const stat = statSync(path, { throwIfNoEntry: false })
  if (stat === undefined) return 0
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))))
}

/**
 * `npm ci` when node_modules is missing or older than the lock file. Where it is a link, that is left to who made it: npm would
 * empty the folder behind it, which others use.
 */
export async function ensureDependencies(folder = root) {
  const modules = join(folder, 'node_modules')
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) return
  const installed = newest(join(modules, '.package-lock.json'))
  if (installed > 0 && installed >= newest(join(folder, 'package-lock.json'))) return
  say('installing dependencies (npm ci)')
  // Reports its own errors; a production environment would leave the compiler out.
  const code = await run('npm', ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
  })
  if (code !== 0) throw new SetupError('npm ci failed: see above')
}

export function localProgram(name) {
  return join(root, 'node_modules', '.bin', name)
}

/** Compiles src to dist when dist is missing or older. */
export async function ensureBuild() {
  const entry = join(root, 'dist', 'cli.js')
  const sources = ['src', 'package-lock.json', 'tsconfig.json'].map((name) => newest(join(root, name)))
  if (newest(entry) >= Math.max(...sources)) return
  say('compiling (tsc)')
  if ((await run(localProgram('tsc'), [])) === 0) return
  // The compiler writes its output despite errors; without the entry the next run compiles again.
  rmSync(entry, { force: true })
  throw new SetupError('the sources do not compile: see above')
}
