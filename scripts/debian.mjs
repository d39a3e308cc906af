// Programs out of Debian's packages, unpacked into the user's cache folder and nowhere else: what the tests want in another
// version than this machine has, or without the services that come with it. Needs no root, only apt and dpkg.
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { withLock } from './lock.mjs'
import { cacheFolder, findProgram, run, say } from './setup.mjs'

const keyring = '/usr/share/keyrings/debian-archive-keyring.gpg'

/**
 * Path of a folder with a script for each program, which starts it with the libraries of its own suite. `programs` are
 * paths in the package or in what it depends on, such as `usr/sbin/haproxy`. Null where it can't be had: no apt, another
 * distribution, no network, no such program. Kept in the cache folder, and asked for only once.
 */
export async function debianPrograms({ suite, package: packageName, programs }) {
  const folder = debianFolder({ suite, package: packageName })
  const isComplete = () => programs.every((program) => existsSync(join(folder, basename(program))))
  if (isComplete()) return folder
  const mirror = debianMirror()
  if (mirror === null || findProgram('dpkg-deb') === null) return null
  mkdirSync(folder, { recursive: true })
  return withLock(join(folder, 'lock'), async () => {
    if (isComplete()) return folder
    say(`taking ${packageName} out of Debian's packages (${suite}) into ${folder}`)
    const root = join(folder, 'root')
    const fresh = `${root}.tmp.${process.pid}`
    try {
      const isThere = await unpack({ folder, root: fresh, suite, mirror, packageName })
      if (!isThere || !programs.every((program) => existsSync(join(fresh, program)))) return null
      rmSync(root, { recursive: true, force: true })
      renameSync(fresh, root)
    } finally {
      rmSync(fresh, { recursive: true, force: true })
    }
    for (const program of programs) writeStarter(join(folder, basename(program)), root, program)
    return folder
  })
}

export function debianFolder({ suite, package: packageName }) {
  return join(cacheFolder(), `debian-${suite}-${packageName}`)
}

/** Where this machine gets Debian's packages from, by its own settings of apt. */
function debianMirror() {
  if (findProgram('apt-get') === null) return null
  const args = ['indextargets', '--format', '$(REPO_URI)', 'Created-By: Packages']
  const { stdout } = spawnSync('apt-get', args, { encoding: 'utf8' })
  return (stdout ?? '').split('\n').find((uri) => /\/debian\/?$/.test(uri)) ?? null
}

/** An apt of its own, that believes nothing is installed: the package comes with all it depends on, libc included. */
async function unpack({ folder, root, suite, mirror, packageName }) {
  const state = join(folder, `apt.tmp.${process.pid}`)
  for (const name of ['lists/partial', 'cache/archives/partial', 'sources']) {
    mkdirSync(join(state, name), { recursive: true })
  }
  const signedBy = existsSync(keyring) ? `Signed-By: ${keyring}\n` : ''
  const source = `Types: deb\nURIs: ${mirror}\nSuites: ${suite}\nComponents: main\n${signedBy}`
  writeFileSync(join(state, 'sources', 'debian.sources'), source)
  writeFileSync(join(state, 'status'), '')
  const settings = {
    'APT::Sandbox::User': 'root',
    'Acquire::Languages': 'none',
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': join(state, 'sources'),
    'Dir::Etc::preferencesparts': '/dev/null',
    'Dir::State': state,
    'Dir::State::lists': join(state, 'lists'),
    'Dir::State::status': join(state, 'status'),
    'Dir::Cache': join(state, 'cache'),
  }
  const apt = (...args) =>
    run('apt-get', ['-q', ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]), ...args])
  try {
    if ((await apt('update')) !== 0) return false
    if ((await apt('install', '-y', '--no-install-recommends', '--download-only', packageName)) !== 0) return false
    const archives = join(state, 'cache', 'archives')
    for (const archive of readdirSync(archives).filter((file) => file.endsWith('.deb'))) {
      if ((await run('dpkg-deb', ['-x', join(archives, archive), root])) !== 0) return false
    }
    return true
  } finally {
    rmSync(state, { recursive: true, force: true })
  }
}

/** Through the suite's own loader, where it brought one: its libc may be newer than the machine's. */
function writeStarter(starter, root, program) {
  const files = readdirSync(root, { recursive: true }).map((file) => join(root, file))
  const loader = files.find((file) => /^ld-linux.*\.so\.\d$/.test(basename(file)))
  const libc = files.find((file) => basename(file) === 'libc.so.6')
  const through =
    loader === undefined || libc === undefined ? [] : [loader, '--library-path', dirname(libc), '--argv0', starter]
  const command = [...through, join(root, program)].map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(' ')
  writeFileSync(`${starter}.tmp`, `#!/bin/sh\nexec ${command} "$@"\n`)
  chmodSync(`${starter}.tmp`, 0o755)
  renameSync(`${starter}.tmp`, starter)
}
