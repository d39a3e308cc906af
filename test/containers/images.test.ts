import { existsSync, readFileSync } from 'node:fs'
import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { version } from '../../src/version.ts'
import { finishedAs, repository, unpackedImages, users } from '../support/images.ts'

/** What can be said of the images without an engine. */

interface Instruction {
  readonly name: string
  readonly words: string
}

const text = (path: string) => readFileSync(join(repository, path), 'utf8')

function instructions(path: string): readonly Instruction[] {
  const lines = text(path)
    .replaceAll(/^#.*\n/gm, '')
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
  return lines.flatMap((line) => {
    const [, name, words] = /^([A-Z]+) (.+)$/.exec(line) ?? []
    return name === undefined || words === undefined ? [] : [{ name, words }]
  })
}

const all = (path: string, name: string) => instructions(path).flatMap((one) => (one.name === name ? [one.words] : []))
const last = (path: string, name: string) => all(path, name).at(-1)

/** Of ARGs with a default. */
function defaults(path: string): ReadonlyMap<string, string> {
  const pairs = all(path, 'ARG').flatMap((words) => {
    const [, name, value] = /^(\w+)=(\S+)$/.exec(words) ?? []
    return name === undefined || value === undefined ? [] : [[name, value] as const]
  })
  return new Map(pairs)
}

/** Paths in the repository that an image is made from. */
function sources(path: string): readonly string[] {
  return all(path, 'COPY').flatMap((words) => (words.startsWith('--from=') ? [] : words.split(' ').slice(0, -1)))
}

const images = [
  { path: 'Dockerfile', user: users.heddle },
  { path: 'haproxy/Dockerfile', user: users.haproxy },
] as const

describe.each(images)('$path', ({ path, user }) => {
  it('begins with images whose exact version is pinned', () => {
    for (const [name, value] of defaults(path)) {
      const expected = name === 'NODE_IMAGE' ? /^node:24\.\d+\.\d+-trixie-slim$/ : /^haproxy:3\.2\.\d+$/
      expect(value).toMatch(expected)
    }
    for (const words of all(path, 'FROM')) expect(words).toMatch(/^\$\{(NODE|HAPROXY)_IMAGE\}( AS \w+)?$/)
  })

  it('copies what is there and not ignored', () => {
    const kept = text('.dockerignore')
      .split('\n')
      .flatMap((line) => (line.startsWith('!') ? [line.slice(1)] : []))
    expect(sources(path).length).toBeGreaterThan(2)
    for (const source of sources(path)) {
      expect([source, existsSync(join(repository, source))]).toEqual([source, true])
      expect(kept).toContain(source.split('/')[0])
    }
  })

  it('ends as its own user, by number, with one program that gets the signals', () => {
    expect(last(path, 'USER')).toBe(`${user.uid}:${user.gid}`)
    expect(last(path, 'ENTRYPOINT')).toMatch(
      /^\["(node", "\/opt\/heddle\/dist\/cli.js|\/opt\/heddle\/haproxy\/start)"\]$/,
    )
    expect(last(path, 'STOPSIGNAL')).toMatch(/^SIG(TERM|USR1)$/)
  })

  it('needs nothing but a shell to be built, and the version is that of heddle', () => {
    expect(text(path)).not.toMatch(/^#\s*syntax=|--mount|--chmod|<</m)
    expect(text(path)).not.toMatch(/\b(apt|apt-get|apk|curl|wget|useradd|adduser)\b/)
    expect(last(path, 'LABEL')).toContain(`org.opencontainers.image.version="${version}"`)
  })
})

it('both images have the same HAProxy', () => {
  const [one, other] = images.map(({ path }) => defaults(path).get('HAPROXY_IMAGE'))
  expect(one).toBe(other)
})

it('nothing else than what the images are made from is sent to the engine', () => {
  const lines = text('.dockerignore')
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
  const used = images.flatMap(({ path }) => sources(path).map((source) => `!${source.split('/')[0]}`))
  expect(lines[0]).toBe('*')
  expect(new Set(lines.slice(1))).toEqual(new Set(used))
})

it('the folders are made for the users of the images', () => {
  const script = text('containers/folders')
  const number = (name: string) => Number(new RegExp(`^${name}=(\\d+)$`, 'm').exec(script)?.[1])
  expect({ uid: number('heddle'), gid: number('group') }).toEqual(users.heddle)
  expect({ uid: number('haproxy'), gid: number('group') }).toEqual(users.haproxy)
  expect(last('Dockerfile', 'ENV')).toContain(`HEDDLE_HAPROXY_SOCKET_GID=${users.heddle.gid}`)
})

it('HAProxy runs apart from the image it comes from, by its own loader and libraries', async () => {
  const { path, root } = await unpackedImages({ isShared: false })
  const out = join(root, 'opt', 'haproxy')
  // the machine's own, whichever is under test: the others are started by a script
  const env = { PATH: '/usr/sbin:/usr/local/sbin:/usr/bin:/bin' }
  expect(await finishedAs(null, 'sh', [path('containers/collect'), out], env)).toMatchObject({ code: 0 })
  const wrapper = join(root, 'bin', 'haproxy')
  await mkdir(join(root, 'bin'))
  await writeFile(wrapper, text('containers/haproxy').replaceAll('/opt/haproxy', out))
  await chmod(wrapper, 0o755)
  expect(await finishedAs(null, wrapper, ['-v'])).toEqual(await finishedAs(null, 'haproxy', ['-v'], env))
  expect(await finishedAs(null, wrapper, ['-c', '-f', path('haproxy/bootstrap/haproxy.cfg')])).toMatchObject({
    code: 0,
  })
})
