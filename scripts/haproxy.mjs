// HAProxy: the machine's own, and the releases that heddle supports, out of Debian's packages where the machine has another.
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { debianFolder, debianPrograms } from './debian.mjs'
import { findProgram, installPackage, SetupError } from './setup.mjs'

/** Releases that heddle supports, with the suites of Debian that have them; a suite may have moved on to a newer one. */
const suites = new Map([
  ['2.6', ['bookworm']],
  ['3.0', ['trixie']],
  ['3.2', ['sid', 'testing']],
])

export const supported = [...suites.keys()]

/** Of a program, by what it says of itself; null: it is no HAProxy. */
export function haproxyVersion(path) {
  const said = spawnSync(path, ['-v'], { encoding: 'utf8' }).stdout ?? ''
  const [, version, release] = /^HA-?Proxy version ((\d+\.\d+)\S*)/.exec(said) ?? []
  return version === undefined ? null : { version, release }
}

/** Resolves to the path of the machine's own HAProxy, installing it first where that is allowed. */
export async function ensureHaproxy() {
  const found = ownHaproxy() ?? ((await installPackage({ default: 'haproxy' })) ? ownHaproxy() : null)
  if (found !== null) return checkHaproxy(found)
  throw new SetupError(
    'needs HAProxy 2.6 or newer and could not install it: install the package `haproxy` (Debian, Ubuntu: `sudo apt-get install haproxy`), then try again',
  )
}

/** The path again, if that is a HAProxy which heddle works with. */
export function checkHaproxy(path) {
  const found = haproxyVersion(path)
  if (found === null) throw new SetupError(`expected the path of a HAProxy, ${path} prints no version of one`)
  const [major, minor] = found.release.split('.').map(Number)
  if (major > 2 || (major === 2 && minor >= 6)) return path
  throw new SetupError(
    `needs HAProxy 2.6 or newer, ${path} is ${found.release}: install a newer one and put it first on PATH`,
  )
}

/** Path of a HAProxy of that release, or null: the machine's own, else one out of Debian's packages. */
export async function findHaproxy(release) {
  const present = haproxiesAtHand().find((found) => found.release === release)
  if (present !== undefined) return present.path
  for (const suite of suites.get(release) ?? []) {
    const folder = await debianPrograms(packaged(suite))
    if (folder !== null && haproxyVersion(join(folder, 'haproxy'))?.release === release) return join(folder, 'haproxy')
  }
  return null
}

/** What to do where `findHaproxy` found none. */
export function missingHaproxy(release) {
  const places = suites.has(release) ? `, and Debian's ${suites.get(release).join(' or ')} gave none` : ''
  return `HAProxy ${release} was wanted: this machine has none${places}; install one and name it, \`npm run test:haproxy -- --bin PATH\``
}

/** Those that nothing has to be fetched for, the machine's own first. */
export function haproxiesAtHand() {
  const packages = [...suites.values()].flat().map((suite) => join(debianFolder(packaged(suite)), 'haproxy'))
  return [ownHaproxy(), ...packages].flatMap((path) => {
    const found = path === null || !existsSync(path) ? null : haproxyVersion(path)
    return found === null ? [] : [{ path, ...found }]
  })
}

function ownHaproxy() {
  return findProgram('haproxy', ['/usr/sbin', '/usr/local/sbin'])
}

function packaged(suite) {
  return { suite, package: 'haproxy', programs: ['usr/sbin/haproxy'] }
}
