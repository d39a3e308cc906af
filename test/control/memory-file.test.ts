import { spawn } from 'node:child_process'
import { chmod, cp, lstat, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { execPath } from 'node:process'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import fc from 'fast-check'
import { beforeEach, describe, expect, it } from 'vitest'
import { readMemoryFiles } from '../../src/control/memory-file.ts'
import { type MemoryStore, memoryStore } from '../../src/control/memory-store.ts'
import { emptyMemory } from '../../src/model/decide.ts'
import { encodeMemory } from '../../src/model/memory-text.ts'
import type { Memory } from '../../src/types.ts'
import { atEnd, temporaryFolder, until } from '../support/haproxy.ts'
import { arbitraryMemories } from '../support/memories.ts'
import { decideFor, noon, routed } from '../support/worlds.ts'

const remembered = decideFor([routed('shop', ['shop.example.com/api strip']), routed('a', ['/a'])]).memory
/** Memories that follow each other, of which each says which it is. */
const numbered = (number: number): Memory => ({ ...remembered, owners: new Map([['number', String(number)]]) })

let directory: string
beforeEach(async () => {
  directory = await temporaryFolder()
})

/** A process of its own runs what is compiled. */
const compiled = (name: string) => new URL(`../../dist/control/${name}.js`, import.meta.url).href

const pathOf = (name: string) => join(directory, name)
const checkpoint = 'memory.json'
const logNames = async () => (await readdir(directory)).filter((name) => /^memory-[0-9a-f]{16}\.jsonl$/.test(name))

async function theLog(): Promise<string> {
  const [name, ...others] = await logNames()
  if (name === undefined || others.length > 0) throw new Error(`expected one log, got ${await readdir(directory)}`)
  return name
}

function openStore(smallest?: number, folder = directory): MemoryStore {
  const store = memoryStore(folder, smallest === undefined ? {} : { smallest })
  atEnd(store.close)
  return store
}

/** As it is, while a store is in use. */
const read = async () => (await readMemoryFiles(directory)).memory
/** As a heddle that starts finds it. */
const load = (now = noon) => openStore().load(now)
const loaded = (memory: Memory | null) => ({ memory, fault: null })

async function saveAll(store: MemoryStore, memories: readonly Memory[]): Promise<void> {
  for (const memory of memories) expect(await store.save(memory)).toBeNull()
}

/** Saves, one after another, until there is a new checkpoint; resolves with how many it took. */
async function saveUntilRenewed(store: MemoryStore, from: number): Promise<number> {
  const old = await theLog()
  let number = from
  await until(async () => {
    number++
    await saveAll(store, [numbered(number)])
    return !(await logNames()).includes(old)
  })
  return number
}

describe('memory on disk', () => {
  it('is not there at first, and then what was saved last', async () => {
    expect(await load()).toEqual(loaded(null))
    const store = openStore()
    await saveAll(store, [emptyMemory])
    expect(await read()).toEqual(emptyMemory)
    await saveAll(store, [remembered, numbered(1), numbered(2)])
    expect(await load()).toEqual(loaded(numbered(2)))
    expect((await readdir(directory)).sort()).toEqual([await theLog(), checkpoint])
    for (const name of [checkpoint, await theLog()]) expect((await lstat(pathOf(name))).mode & 0o137).toBe(0)
  })

  it('costs what has changed', async () => {
    const large = decideFor(Array.from({ length: 200 }, (_, at) => routed(`web-${at}`, [`/${at}`]))).memory
    const store = openStore()
    await saveAll(store, [large])
    const size = async (name: string) => (await lstat(pathOf(name))).size
    const before = [await size(checkpoint), await size(await theLog())]
    expect(before).toEqual([expect.toSatisfy((bytes: number) => bytes > 100_000), 0])
    await saveAll(store, [large, { ...large, owners: new Map(large.owners).set('x', 'y') }])
    expect(await size(checkpoint)).toBe(before[0])
    expect(await size(await theLog())).toBeLessThan(100)
  })

  it('has a new checkpoint when its log has grown, and what is saved meanwhile is in it', async () => {
    const store = openStore(1_000)
    await saveAll(store, [numbered(0)])
    let number = 0
    for (let round = 0; round < 3; round++) {
      number = await saveUntilRenewed(store, number)
      expect(await read()).toEqual(numbered(number))
    }
    expect((await lstat(pathOf(checkpoint))).size).toBeLessThan(5_000)
  })

  it('of the format before is read, and of the present one from then on', async () => {
    await writeFile(pathOf(checkpoint), encodeMemory(remembered))
    expect(await load()).toEqual(loaded(remembered))
    await saveAll(openStore(), [numbered(1), numbered(2)])
    expect(await readFile(pathOf(checkpoint), 'utf8')).toMatch(/^\{"format":2,/)
    expect(await load()).toEqual(loaded(numbered(2)))
  })

  it('is read without a running heddle, and nothing is touched', async () => {
    await saveAll(openStore(), [remembered, numbered(1)])
    await writeFile(pathOf('memory.json.tmp'), '{"format":2,')
    const before = await readdir(directory)
    expect((await readMemoryFiles(directory)).memory).toEqual(numbered(1))
    await writeFile(pathOf(await theLog()), 'bad\n')
    expect((await readMemoryFiles(directory)).fault?.why).toContain('line 1')
    expect(await readdir(directory)).toEqual(before)
  })

  it.each<[string, (name: string) => Promise<unknown>]>([
    ['removed', (name) => rm(pathOf(name))],
    ['moved away', (name) => rename(pathOf(name), pathOf('elsewhere'))],
    ['replaced', (name) => rm(pathOf(name)).then(() => writeFile(pathOf(name), 'other'))],
  ])('is there again with the next save when somebody has %s a file of it', async (_what, spoil) => {
    const store = openStore()
    await saveAll(store, [numbered(0), numbered(1)])
    for (const nameOf of [() => checkpoint, theLog]) {
      await spoil(await nameOf())
      await saveAll(store, [numbered(2)])
      expect(await read()).toEqual(numbered(2))
      await saveAll(store, [numbered(3)])
      expect(await read()).toEqual(numbered(3))
    }
  })

  it('stays as it was when the new one cannot be written, and the reason is told until it can', async () => {
    const store = openStore(1_000)
    await saveAll(store, [numbered(0), numbered(1)])
    await mkdir(pathOf('memory.json.tmp'))
    let number = 1
    await until(async () => ((await store.save(numbered(++number))) ?? '').includes('memory.json.tmp'))
    // the log goes on all the same
    expect(await read()).toEqual(numbered(number))
    await rm(pathOf('memory.json.tmp'), { recursive: true })
    await until(async () => (await store.save(numbered(++number))) === null)
    expect(await read()).toEqual(numbered(number))
    expect(await openStore().save(emptyMemory)).toBeNull()
  })

  it('says so when its directory is gone, and goes on when it is back', async () => {
    const store = openStore()
    await saveAll(store, [numbered(0)])
    await rename(directory, `${directory}-away`)
    expect(await store.save(numbered(1))).toContain('ENOENT')
    await rename(`${directory}-away`, directory)
    await saveAll(store, [numbered(1)])
    expect(await read()).toEqual(numbered(1))
  })

  it('stays as it was on a full disk, and goes on when there is room', async () => {
    const script = `
      import { rm, writeFile } from 'node:fs/promises'
      import { memoryStore } from ${JSON.stringify(compiled('memory-store'))}
      import { readMemoryFiles } from ${JSON.stringify(compiled('memory-file'))}
      const maps = { catalog: { services: new Map() }, engines: new Map(), weave: null, services: new Map() }
      const store = memoryStore('.')
      const save = async (number, length) => {
        const why = await store.save({ ...maps, owners: new Map([['number', number], ['long', 'x'.repeat(length)]]) })
        const { memory, fault } = await readMemoryFiles('.')
        console.log(JSON.stringify([why, memory.owners.get('number'), fault]))
      }
      await save('1', 0)
      await save('2', 0)
      await writeFile('other', 'x'.repeat(2 ** 20)).catch(() => {})
      await save('3', 50_000)
      await save('4', 50_000)
      await rm('other')
      await save('5', 50_000)
      await store.close()`
    const mount = `mount -t tmpfs -o size=256k none ${directory} && cd ${directory} && exec "$0" --input-type=module -e "$1"`
    const child = spawn('unshare', ['--mount', '--map-root-user', 'sh', '-c', mount, execPath, script])
    const [output] = await Promise.all([text(child.stdout), new Promise((done) => child.on('close', done))])
    const lines: unknown[] = output
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line))
    const full = [expect.stringContaining('ENOSPC'), '2', null]
    expect(lines).toEqual([[null, '1', null], [null, '2', null], full, full, [null, '5', null]])
  })

  it('loses what a closed store was about to write beside it, and nothing else', async () => {
    const store = openStore(0)
    await saveAll(store, [numbered(0), numbered(1)])
    await store.close()
    expect((await readdir(directory)).sort()).toEqual([await theLog(), checkpoint])
    expect(await load()).toEqual(loaded(numbered(1)))
  })
})

describe('a memory that cannot be used', () => {
  const time = '20260101T120000000Z'

  it.each<[string, string, () => Promise<unknown>]>([
    ['corrupt', 'expected JSON', () => writeFile(pathOf(checkpoint), '{"format":1,"catalog":[[')],
    ['of another program', 'format number', () => writeFile(pathOf(checkpoint), '{"hello":"world"}')],
    ['of a later version', 'expected format 1 or 2, got 9', () => writeFile(pathOf(checkpoint), '{"format":9}')],
    ['a folder', 'regular file', () => rm(pathOf(checkpoint)).then(() => mkdir(pathOf(checkpoint)))],
    ['writable by everybody', 'everybody may write', () => chmod(pathOf(checkpoint), 0o666)],
    [
      'a link',
      'got a link',
      () => rename(pathOf(checkpoint), pathOf('x')).then(() => symlink('x', pathOf(checkpoint))),
    ],
  ])('for it is %s is set aside with its log and the reason, and a new one can be saved', async (_what, why, spoil) => {
    await saveAll(openStore(), [remembered, numbered(1)])
    const log = await theLog()
    await spoil()
    const as = pathOf(`memory.json.bad-${time}`)
    expect(await load()).toEqual({ memory: null, fault: { why: expect.stringContaining(why), as } })
    const left = (await readdir(directory)).filter((name) => name !== 'x')
    expect(left.sort()).toEqual([`${log}.bad-${time}`, `memory.json.bad-${time}`])
    await saveAll(openStore(), [numbered(2)])
    expect(await load()).toEqual(loaded(numbered(2)))
  })

  it.each<[string, string, (path: string) => Promise<unknown>]>([
    ['a folder', 'regular file', (path) => rm(path).then(() => mkdir(path))],
    ['writable by everybody', 'everybody may write', (path) => chmod(path, 0o666)],
    ['a link', 'got a link', (path) => rename(path, pathOf('x')).then(() => symlink('x', path))],
    ['of another program', 'line 1: expected JSON', (path) => writeFile(path, 'hello\nworld\n')],
  ])('costs no more than the log, when that is %s', async (_what, why, spoil) => {
    await saveAll(openStore(), [remembered, numbered(1)])
    const log = await theLog()
    await spoil(pathOf(log))
    const as = pathOf(`${log}.bad-${time}`)
    expect(await load()).toEqual({ memory: remembered, fault: { why: expect.stringContaining(why), as } })
    expect((await readdir(directory)).filter((name) => name !== 'x').sort()).toEqual([`${log}.bad-${time}`, checkpoint])
  })

  it('counts up to the line that cannot be read, also if heddle ends before it has saved that anew', async () => {
    const store = openStore()
    await saveAll(store, [0, 1, 2, 3].map(numbered))
    const log = pathOf(await theLog())
    const lines = (await readFile(log, 'utf8')).split('\n')
    await writeFile(log, lines.with(1, 'x'.repeat(20)).join('\n'))
    const told = { memory: numbered(1), fault: { why: expect.stringContaining('line 2'), as: expect.any(String) } }
    expect([await load(), await load(noon + 1)]).toEqual([told, told])
    await saveAll(openStore(), [numbered(4)])
    expect(await load()).toEqual(loaded(numbered(4)))
    expect((await readdir(directory)).filter((name) => name.includes('.bad-'))).toHaveLength(2)
  })

  it('is not made of a checkpoint and the log of another one', async () => {
    const store = openStore(1_000)
    await saveAll(store, [numbered(0)])
    await cp(pathOf(checkpoint), pathOf('old'))
    const number = await saveUntilRenewed(store, 0)
    await saveAll(store, [numbered(number + 1)])
    await rename(pathOf('old'), pathOf(checkpoint))
    expect(await load()).toEqual(loaded(numbered(0)))
  })

  it('leads nobody elsewhere: what links under our names point to keeps its bytes', async () => {
    const target = pathOf('passwd')
    await writeFile(target, 'root')
    for (const name of [checkpoint, 'memory.json.tmp', 'memory-0123456789abcdef.jsonl'])
      await symlink(target, pathOf(name))
    await load()
    await symlink(target, pathOf('memory.json.tmp'))
    await symlink(target, pathOf(checkpoint))
    await saveAll(openStore(), [remembered, numbered(1)])
    expect(await readFile(target, 'utf8')).toBe('root')
    expect(await load()).toEqual(loaded(numbered(1)))
  })

  it('is kept, of those set aside the newest three', async () => {
    for (let day = 0; day < 5; day++) {
      await writeFile(pathOf(checkpoint), 'bad')
      await writeFile(pathOf('memory-0123456789abcdef.jsonl'), 'its log')
      await load(noon + day * 86_400_000)
    }
    const names = ['memory-0123456789abcdef.jsonl', checkpoint]
    expect((await readdir(directory)).sort()).toEqual(
      names.flatMap((name) => ['03', '04', '05'].map((day) => `${name}.bad-202601${day}T120000000Z`)),
    )
  })
})

describe('a crash', () => {
  /** Everything in a folder, by name. */
  async function filesIn(folder: string): Promise<ReadonlyMap<string, Buffer>> {
    const names = await readdir(folder)
    return new Map(await Promise.all(names.map(async (name) => [name, await readFile(join(folder, name))] as const)))
  }

  /** What a crash between two system calls of a save can leave, `at` (0 to 1) saying where in it, and if that is the new memory. */
  function leftOver(
    before: ReadonlyMap<string, Buffer>,
    after: ReadonlyMap<string, Buffer>,
    at: number,
  ): readonly { files: ReadonlyMap<string, Buffer>; isNew: boolean }[] {
    const [log] = [...after].filter(([name]) => name.endsWith('.jsonl'))
    const whole = after.get(checkpoint)
    if (log === undefined || whole === undefined) throw new Error('expected a checkpoint and a log')
    const [name, lines] = log
    const cut = (bytes: Buffer, from: number) => bytes.subarray(0, from + Math.floor(at * (bytes.length - from)))
    const old = before.get(name)
    if (old !== undefined) {
      const torn = cut(lines, old.length)
      return [{ files: new Map([...after, [name, torn]]), isNew: torn.length === lines.length }]
    }
    const half = new Map([...before, ['memory.json.tmp', cut(whole, 0)]])
    const written = new Map([...before, ['memory.json.tmp', whole]])
    return [
      { files: half, isNew: false },
      { files: new Map([...written, [name, cut(lines, 0)]]), isNew: false },
      { files: new Map([...before, ...after]), isNew: true },
    ]
  }

  it('at any moment of any save leaves the newest memory that was saved, and nothing of another', async () => {
    let renewals = 0
    await fc.assert(
      fc.asyncProperty(arbitraryMemories, fc.double({ min: 0, max: 1, noNaN: true }), async (memories, at) => {
        const folder = await temporaryFolder()
        const store = openStore(500, folder)
        let before = await filesIn(folder)
        let last: Memory | null = null
        for (const memory of memories) {
          expect(await store.save(memory)).toBeNull()
          const after = await filesIn(folder)
          const old = before.get(checkpoint)
          if (old !== undefined && after.get(checkpoint)?.equals(old) === false) renewals++
          const settled = new Map([...after].filter(([name]) => name !== 'memory.json.tmp'))
          for (const { files, isNew } of leftOver(before, settled, at)) {
            const crashed = await temporaryFolder()
            for (const [name, bytes] of files) await writeFile(join(crashed, name), bytes)
            expect(await openStore(500, crashed).load(noon)).toEqual(loaded(isNew ? memory : last))
            await rm(crashed, { recursive: true })
          }
          before = settled
          last = memory
        }
        await store.close()
        await rm(folder, { recursive: true })
      }),
      { numRuns: 60 },
    )
    expect(renewals).toBeGreaterThan(10)
  })

  it('of a real process (kill -9) leaves what it had saved, or what it was just saving', async () => {
    // a new checkpoint at every other save, so that each way of ending is met
    const child = `
      import { memoryStore } from ${JSON.stringify(compiled('memory-store'))}
      const store = memoryStore(${JSON.stringify(directory)}, { smallest: 0 })
      const { memory, fault } = await store.load(0)
      const maps = { catalog: { services: new Map() }, engines: new Map(), weave: null, services: new Map() }
      let owners = memory?.owners ?? new Map()
      for (let number = Number(owners.get('number') ?? 0) + 1; ; number++) {
        owners = new Map(owners).set('number', String(number)).set('key-' + (number % 3), String(number))
        const why = await store.save({ ...maps, owners })
        console.log(why ?? fault?.why ?? number)
      }`
    let last = 0
    for (let round = 0; round < 20; round++) {
      const process = spawn(execPath, ['--input-type=module', '-e', child], { stdio: ['ignore', 'pipe', 'inherit'] })
      atEnd(() => process.kill('SIGKILL'))
      const lines: string[] = []
      createInterface(process.stdout).on('line', (line) => {
        // at whatever moment of a later save
        if (lines.push(line) === 3) setTimeout(() => process.kill('SIGKILL'), Math.random() * 20)
      })
      await new Promise((done) => process.on('close', done))
      const owners = (await load()).memory?.owners
      const number = Number(owners?.get('number'))
      expect(lines.filter((line, at) => line !== String(last + at + 1))).toEqual([])
      expect([last + lines.length, last + lines.length + 1]).toContain(number)
      const keys = [number - 2, number - 1, number].map((each) => [`key-${each % 3}`, String(each)] as const)
      expect(owners).toEqual(new Map([['number', String(number)], ...keys]))
      last = number
    }
  }, 60_000)
})
