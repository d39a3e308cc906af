import { spawn } from 'node:child_process'
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { checkConfiguration } from '../../src/haproxy/check.ts'
import { type RevisionStore, revisionStore } from '../../src/haproxy/files.ts'
import { textsOf } from '../../src/render/config.ts'
import type { Candidate } from '../../src/types.ts'
import { atEnd, haproxyBin, minimalCandidate, until, type WorkFolder, workFolder } from '../support/haproxy.ts'

async function prepared(): Promise<{ folder: WorkFolder; store: RevisionStore }> {
  const folder = await workFolder()
  const store = revisionStore({ directory: folder.directory })
  expect(await store.prepare()).toEqual({ kind: 'ready' })
  return { folder, store }
}

const mode = async (path: string) => ((await stat(path)).mode & 0o7777).toString(8)

/** A candidate of a structure of its own. */
const numbered = (folder: WorkFolder, number: number, servers: readonly string[] = []) =>
  minimalCandidate(folder, { backends: { [`web${number}`]: servers } })

async function installed(store: RevisionStore, candidate: Candidate): Promise<void> {
  expect(await store.write(candidate)).toMatchObject({ kind: 'written' })
  expect(await store.use(candidate.hash)).toMatchObject({ kind: 'used' })
}

describe('the folder', () => {
  it('is made for us and the group alone', async () => {
    const { folder, store } = await prepared()
    const candidate = numbered(folder, 1)
    await installed(store, candidate)
    expect(await mode(folder.directory)).toBe('2750')
    expect(await mode(join(folder.directory, 'revisions'))).toBe('2750')
    expect(await mode(join(folder.directory, 'revisions', candidate.hash))).toBe('2750')
    expect(await mode(join(folder.directory, 'current', 'haproxy.cfg'))).toBe('640')
    expect(await store.prepare()).toEqual({ kind: 'ready' })
  })

  it('has files of the mode and group that were asked for', async () => {
    const folder = await workFolder()
    const gid = process.getgid?.() ?? 0
    const store = revisionStore({ directory: folder.directory, mode: 0o600, gid })
    await store.prepare()
    await installed(store, numbered(folder, 1))
    const file = join(folder.directory, 'current', 'routes.map')
    expect(await mode(file)).toBe('600')
    expect((await stat(file)).gid).toBe(gid)
  })

  it('is refused where others may write to it', async () => {
    const { folder, store } = await prepared()
    for (const path of [folder.directory, join(folder.directory, 'revisions')]) {
      for (const open of [0o2752, 0o2770]) {
        await chmod(path, open)
        expect(await store.prepare()).toMatchObject({
          kind: 'failed',
          why: expect.stringContaining('others may write'),
        })
      }
      await chmod(path, 0o750)
    }
    expect(await store.prepare()).toEqual({ kind: 'ready' })
  })

  it('is refused as a symbolic link or a file', async () => {
    const { folder, store } = await prepared()
    const elsewhere = join(dirname(folder.directory), 'elsewhere')
    await mkdir(elsewhere, { mode: 0o750 })
    await rename(join(folder.directory, 'revisions'), join(folder.directory, 'away'))
    await symlink(elsewhere, join(folder.directory, 'revisions'))
    expect(await store.prepare()).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(/revisions: is a symbolic link/),
    })
    await rm(join(folder.directory, 'revisions'))
    await writeFile(join(folder.directory, 'revisions'), '')
    expect(await store.prepare()).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(/revisions: is not a folder/),
    })
    const linked = revisionStore({ directory: join(dirname(folder.directory), 'link') })
    await symlink(elsewhere, join(dirname(folder.directory), 'link'))
    expect(await linked.prepare()).toMatchObject({ kind: 'failed', why: expect.stringContaining('symbolic link') })
    expect(await readdir(elsewhere)).toEqual([])
  })

  it('is refused when it belongs to somebody else', async () => {
    const { folder, store } = await prepared()
    const isRoot = process.getuid?.() === 0
    if (isRoot) await chown(folder.directory, 12345, 12345)
    const foreign = isRoot ? store : revisionStore({ directory: '/usr' })
    expect(await foreign.prepare()).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(/belongs to uid \d+, heddle runs as/),
    })
  })

  it('where nothing can be made says so', async () => {
    const store = revisionStore({ directory: '/proc/heddle' })
    expect(await store.prepare()).toMatchObject({ kind: 'failed', why: expect.stringContaining('/proc/heddle') })
  })
})

describe('a set', () => {
  it('is written whole, beside what is used', async () => {
    const { folder, store } = await prepared()
    const candidate = numbered(folder, 1)
    const result = await store.write(candidate)
    const path = join(folder.directory, 'revisions', candidate.hash)
    expect(result).toEqual({ kind: 'written', path })
    for (const [name, text] of textsOf(candidate)) expect(await readFile(join(path, name), 'utf8')).toBe(text)
    expect(await readdir(join(folder.directory, 'revisions'))).toEqual([candidate.hash])
    expect(await store.current()).toBeNull()
  })

  it('that is there already is left alone', async () => {
    const { folder, store } = await prepared()
    const candidate = numbered(folder, 1)
    await store.write(candidate)
    const file = join(folder.directory, 'revisions', candidate.hash, 'haproxy.cfg')
    const before = (await stat(file)).ino
    await store.write(candidate)
    expect((await stat(file)).ino).toBe(before)
  })

  it.each([
    ['edited', (path: string) => writeFile(join(path, 'routes.map'), '/ evil\n')],
    ['cut short', (path: string) => writeFile(join(path, 'haproxy.cfg'), 'glob')],
    ['made longer', (path: string) => writeFile(join(path, 'haproxy.cfg'), '# more\n', { flag: 'a' })],
    ['without one of its files', (path: string) => rm(join(path, 'hosts.map'))],
    [
      'whose file became a link',
      async (path: string) => {
        await rename(join(path, 'routes.map'), join(path, 'copy'))
        await symlink('copy', join(path, 'routes.map'))
      },
    ],
    [
      'that became a file',
      async (path: string) => {
        await rm(path, { recursive: true })
        await writeFile(path, '')
      },
    ],
  ])('that is in use and was %s is replaced', async (_, damage) => {
    const { folder, store } = await prepared()
    const candidate = numbered(folder, 1)
    await installed(store, candidate)
    await damage(join(folder.directory, 'revisions', candidate.hash))
    expect(await store.write(candidate)).toMatchObject({ kind: 'written' })
    expect(await contents(join(folder.directory, 'current'))).toEqual(Object.fromEntries(textsOf(candidate)))
    expect(await store.current()).toBe(candidate.hash)
    expect(await readdir(join(folder.directory, 'revisions'))).toEqual([candidate.hash])
    expect((await readdir(folder.directory)).sort()).toEqual(['current', 'revisions'])
  })

  it('never writes through a link that somebody laid', async () => {
    const { folder, store } = await prepared()
    const candidate = numbered(folder, 1)
    const victim = join(dirname(folder.directory), 'victim')
    await mkdir(victim)
    await writeFile(join(victim, 'haproxy.cfg'), 'untouched')
    await symlink(victim, join(folder.directory, 'revisions', candidate.hash))
    expect(await store.write(candidate)).toMatchObject({ kind: 'written' })
    expect((await lstat(join(folder.directory, 'revisions', candidate.hash))).isDirectory()).toBe(true)
    expect(await readFile(join(victim, 'haproxy.cfg'), 'utf8')).toBe('untouched')
  })

  it('is written whole and known again, however large it is and in whatever pieces', async () => {
    const { store } = await prepared()
    const pieces = Array.from({ length: 4000 }, (_, at) => `# ${at} ${'é'.repeat(at % 300)}\n`)
    pieces.push(`# ${'x'.repeat(700_000)}\n`, '# end\n')
    const large = { ...numbered(await workFolder(), 1), files: new Map([['haproxy.cfg', pieces]]) }
    const written = await store.write(large)
    const path = written.kind === 'written' ? join(written.path, 'haproxy.cfg') : ''
    expect(await readFile(path, 'utf8')).toBe(pieces.join(''))
    const { ino } = await stat(path)
    await store.write(large)
    expect((await stat(path)).ino).toBe(ino)
    await store.write({ ...large, files: new Map([['haproxy.cfg', pieces.slice(0, -1)]]) })
    expect(await readFile(path, 'utf8')).toBe(pieces.slice(0, -1).join(''))
  })

  it('with a name that leads elsewhere is refused', async () => {
    const { folder, store } = await prepared()
    const candidate = numbered(folder, 1)
    for (const hash of ['../../evil', '', 'bootstrap', '..'])
      expect(await store.write({ ...candidate, hash })).toMatchObject({ kind: 'failed' })
    for (const name of ['../evil', '/etc/passwd', '.hidden', ''])
      expect(await store.write({ ...candidate, files: new Map([[name, ['x']]]) })).toMatchObject({ kind: 'failed' })
    expect(await readdir(join(folder.directory, 'revisions'))).toEqual([])
  })
})

describe('current', () => {
  it('is a relative link that follows what is used', async () => {
    const { folder, store } = await prepared()
    const [one, two] = [numbered(folder, 1), numbered(folder, 2)]
    await installed(store, one)
    expect(await readlink(join(folder.directory, 'current'))).toBe(`revisions/${one.hash}`)
    await store.write(two)
    expect(await store.current()).toBe(one.hash)
    expect(await store.use(two.hash)).toMatchObject({ kind: 'used' })
    expect(await store.current()).toBe(two.hash)
  })

  it('goes back to where it led before, whatever that was', async () => {
    const { folder, store } = await prepared()
    const link = join(folder.directory, 'current')
    const one = numbered(folder, 1)
    await store.write(one)
    for (const before of [`revisions/${one.hash}`, 'revisions/bootstrap', '/etc/haproxy']) {
      await rm(link, { force: true })
      await symlink(before, link)
      const used = await store.use(one.hash)
      expect(await store.current()).toBe(one.hash)
      if (used.kind === 'used') expect(await used.undo()).toEqual({ kind: 'undone' })
      expect(await readlink(link)).toBe(before)
    }
    await rm(link)
    const used = await store.use(one.hash)
    if (used.kind === 'used') await used.undo()
    expect(await store.current()).toBe(one.hash)
  })

  it('never leads to what was not written', async () => {
    const { folder, store } = await prepared()
    const one = numbered(folder, 1)
    await installed(store, one)
    for (const hash of ['0123456789ab', '../..', '', 'bootstrap'])
      expect(await store.use(hash)).toMatchObject({ kind: 'failed' })
    expect(await store.current()).toBe(one.hash)
  })

  it('that has lost its configuration is none', async () => {
    const { folder, store } = await prepared()
    const one = numbered(folder, 1)
    await installed(store, one)
    await rm(folder.file)
    expect(await store.current()).toBeNull()
    await installed(store, one)
    expect(await store.current()).toBe(one.hash)
  })

  it('of somebody else is none of ours', async () => {
    const { folder, store } = await prepared()
    const link = join(folder.directory, 'current')
    expect(await store.current()).toBeNull()
    for (const target of ['revisions/bootstrap', '/etc', '../x', 'revisions/0123456789ab', 'revisions/..']) {
      await symlink(target, link)
      expect(await store.current()).toBeNull()
      await rm(link)
    }
    await symlink('revisions/bootstrap', link)
    const one = numbered(folder, 1)
    await store.write(one)
    expect(await store.use(one.hash)).toMatchObject({ kind: 'used' })
    await rm(link)
    await mkdir(link)
    expect(await store.use(one.hash)).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('not a symbolic link'),
    })
  })
})

describe('what a structure is made of', () => {
  it('is known from any set that has it, in use or not, by any life of heddle', async () => {
    const { folder, store } = await prepared()
    const [one, other, two] = [numbered(folder, 1), numbered(folder, 1, ['127.0.0.1:1']), numbered(folder, 2)]
    for (const candidate of [one, other, two]) await installed(store, candidate)
    expect(one.structure).toBe(other.structure)
    for (const reader of [store, revisionStore({ directory: folder.directory })]) {
      expect(await reader.parts(one.structure)).toEqual(one.parts)
      expect(await reader.parts(two.structure)).toEqual(two.parts)
      expect(await reader.parts('0123456789ab')).toBeNull()
    }
    await rm(join(folder.directory, 'revisions', one.hash), { recursive: true })
    expect(await store.parts(one.structure)).toEqual(one.parts)
  })

  it.each([
    ['removed', (file: string) => rm(file)],
    ['cut short', (file: string) => writeFile(file, ':global 0123')],
    ['made a link', (file: string) => rm(file).then(() => symlink('/etc/passwd', file))],
  ])('is not known from a set whose list was %s, but from another of that structure', async (_, damage) => {
    const { folder, store } = await prepared()
    const [one, other] = [numbered(folder, 1), numbered(folder, 1, ['127.0.0.1:1'])]
    await installed(store, one)
    await damage(join(folder.directory, 'revisions', one.hash, 'parts.txt'))
    expect(await store.parts(one.structure)).toBeNull()
    await installed(store, other)
    expect(await store.parts(one.structure)).toEqual(other.parts)
  })

  it('is not known of a set that was pruned, nor where there is nothing at all', async () => {
    const { folder, store } = await prepared()
    const candidates = [1, 2, 3].map((structure) => numbered(folder, structure))
    for (const candidate of candidates) await installed(store, candidate)
    expect(await store.prune({ structures: 1 })).toEqual({ kind: 'pruned', removed: 1 })
    expect(await Promise.all(candidates.map(({ structure }) => store.parts(structure)))).toEqual([
      null,
      candidates[1]?.parts,
      candidates[2]?.parts,
    ])
    expect(await revisionStore({ directory: '/nowhere' }).parts('0123456789ab')).toBeNull()
  })
})

describe('pruning', () => {
  it('keeps the newest set of each of the last structures, the current one and the one before', async () => {
    const { folder, store } = await prepared()
    const keep: string[] = []
    let time = 1_000_000
    const put = async (candidate: Candidate) => {
      await installed(store, candidate)
      time += 10
      await utimes(join(folder.directory, 'revisions', candidate.hash), time, time)
      return candidate.hash
    }
    for (let structure = 0; structure < 6; structure += 1) {
      for (let version = 1; version <= 3; version += 1) {
        const hash = await put(numbered(folder, structure, [`127.0.0.1:${version}`]))
        if (version === 3 && structure >= 3) keep.push(hash)
      }
    }
    // an old structure again: what led before it is kept as well
    keep.push(await put(numbered(folder, 0, ['127.0.0.1:7'])))
    await mkdir(join(folder.directory, 'revisions', 'bootstrap'))
    expect(await store.prune({ structures: 3 })).toEqual({ kind: 'pruned', removed: 16 })
    const left = (await readdir(join(folder.directory, 'revisions'))).filter((name) => name !== 'bootstrap')
    expect(left.sort()).toEqual(keep.slice(1).sort())
    expect(await readdir(join(folder.directory, 'revisions'))).toContain('bootstrap')
  })

  it('does not take away what a failed reload goes back to', async () => {
    const { folder, store } = await prepared()
    const [one, two] = [numbered(folder, 1, ['127.0.0.1:1']), numbered(folder, 1, ['127.0.0.1:2'])]
    await installed(store, one)
    await installed(store, two)
    expect(await store.prune({ structures: 1 })).toEqual({ kind: 'pruned', removed: 0 })
    expect(await store.use(one.hash)).toMatchObject({ kind: 'used' })
  })
})

describe('a writer of its own', () => {
  let module = ''
  beforeAll(async () => {
    const { directory } = await workFolder()
    module = await compiled(dirname(directory))
  })

  /** Takes turns installing the sets, and prints how each turn went as a line of JSON. */
  const writer = (directory: string, sets: string) => `
    import { revisionStore } from ${JSON.stringify(module)}
    import { readFileSync, writeSync } from 'node:fs'
    const candidates = JSON.parse(readFileSync(${JSON.stringify(sets)}, 'utf8'))
      .map((set) => ({ ...set, files: new Map(set.files) }))
    const store = revisionStore({ directory: ${JSON.stringify(directory)} })
    const say = (...results) => writeSync(1, JSON.stringify(results.find(({ kind }) => kind === 'failed') ?? results.at(-1)) + '\\n')
    say(await store.prepare())
    for (let turn = 0; turn < 500; turn += 1) {
      const candidate = candidates[turn % candidates.length]
      say(await store.write(candidate), await store.use(candidate.hash), await store.prune({ structures: 1 }))
    }`

  async function written(folder: WorkFolder, candidates: readonly Candidate[]): Promise<string> {
    const root = dirname(folder.directory)
    const sets = join(root, 'sets.json')
    const script = join(root, 'writer.mjs')
    await writeFile(sets, JSON.stringify(candidates.map((set) => ({ ...set, files: [...set.files] }))))
    await writeFile(script, writer(folder.directory, sets))
    return script
  }

  it('leaves one whole set behind, whenever it is killed', async () => {
    const { folder, store } = await prepared()
    const [one, two] = [numbered(folder, 1), numbered(folder, 2)]
    // of the same hash, as after a change of paths: it takes the place of the one in use
    const other = {
      ...one,
      files: new Map([...one.files, ['haproxy.cfg', ['# other\n', ...(one.files.get('haproxy.cfg') ?? [])]]]),
    }
    const candidates = [one, other, two]
    const script = await written(folder, candidates)
    for (let round = 0; round < 12; round += 1) {
      const child = spawn(process.execPath, [script], { stdio: ['ignore', 'pipe', 'inherit'] })
      const ended = new Promise((resolve) => child.once('exit', resolve))
      atEnd(() => child.kill('SIGKILL'))
      let turns = 0
      child.stdout.on('data', (bytes: Buffer) => {
        turns += String(bytes).split('\n').length - 1
      })
      const enough = 2 + Math.floor(Math.random() * 10)
      await until(() => turns >= enough)
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 5))
      child.kill('SIGKILL')
      await ended
      const left = await contents(join(folder.directory, 'current'))
      expect(candidates.map((candidate) => Object.fromEntries(textsOf(candidate)))).toContainEqual(left)
      const file = join(folder.directory, 'current', 'haproxy.cfg')
      expect(await checkConfiguration(haproxyBin, file)).toEqual({ kind: 'valid' })
    }
    expect(await store.prepare()).toEqual({ kind: 'ready' })
    await installed(store, two)
    expect(await store.prepare()).toEqual({ kind: 'ready' })
    const left = await readdir(join(folder.directory, 'revisions'))
    expect(left.filter((name) => !candidates.some(({ hash }) => hash === name))).toEqual([])
    expect((await readdir(folder.directory)).sort()).toEqual(['current', 'revisions'])
  })

  /** Runs the writer with a filesystem of its own at the directory, which nobody else sees. */
  async function inMount(folder: WorkFolder, candidates: readonly Candidate[], mount: string, then: string) {
    const script = await written(folder, candidates)
    await mkdir(folder.directory)
    const shell = `mount -t tmpfs -o mode=750,${mount} none ${folder.directory} && ${process.execPath} ${script}; ${then}`
    const child = spawn('unshare', ['--mount', '--map-root-user', 'sh', '-c', shell], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    let output = ''
    child.stdout.on('data', (text) => {
      output += text
    })
    await new Promise((resolve) => child.once('close', resolve))
    return output.trim().split('\n')
  }

  it('on a full disk says so and keeps what was installed', async () => {
    const folder = await workFolder()
    const small = numbered(folder, 1)
    const big = { ...numbered(folder, 2), files: new Map([['haproxy.cfg', ['# '.padEnd(400_000, 'x')]]]) }
    const then = `ls -A ${folder.directory}/revisions; cat ${folder.directory}/current/haproxy.cfg`
    const lines = await inMount(folder, [small, big], 'size=256k', then)
    expect(lines.slice(0, 2)).toEqual(['{"kind":"ready"}', '{"kind":"pruned","removed":0}'])
    expect(lines[2]).toMatch(/"failed","why":".*no space left/)
    expect(lines.slice(501)).toEqual([small.hash, ...(textsOf(small).get('haproxy.cfg') ?? '').trimEnd().split('\n')])
  })

  it('on a read-only filesystem says so', async () => {
    const folder = await workFolder()
    const lines = await inMount(folder, [numbered(folder, 1)], 'ro', 'true')
    expect(lines[0]).toMatch(/"failed","why":".*mounted read-only; mount it writable/)
    expect(lines[1]).toMatch(/"failed","why":"/)
  })
})

/** All files of a folder by name. */
async function contents(path: string): Promise<Record<string, string>> {
  const names = await readdir(path)
  return Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await readFile(join(path, name), 'utf8')])),
  )
}

/** The store as plain JavaScript, for a process that knows no TypeScript. */
async function compiled(root: string): Promise<string> {
  const project = join(import.meta.dirname, '..', '..')
  const out = join(root, 'js')
  const settings = join(root, 'tsconfig.json')
  await writeFile(
    settings,
    JSON.stringify({
      extends: join(project, 'tsconfig.json'),
      compilerOptions: {
        outDir: out,
        rootDir: join(project, 'src'),
        typeRoots: [join(project, 'node_modules', '@types')],
      },
      files: [join(project, 'src', 'haproxy', 'files.ts')],
      include: [],
    }),
  )
  const child = spawn(join(project, 'node_modules', '.bin', 'tsc'), ['-p', settings], { stdio: 'inherit' })
  expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(0)
  await writeFile(join(out, 'package.json'), '{ "type": "module" }')
  return join(out, 'haproxy', 'files.js')
}
