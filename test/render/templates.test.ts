import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { renderCandidate, textsOf } from '../../src/render/config.ts'
import { loadTemplates } from '../../src/render/templates.ts'
import type { TemplateProblem } from '../../src/render/views.ts'
import { backend, model, renderSettings, route } from '../support/models.ts'

let folder: string
const bundled = new URL('../../templates/', import.meta.url)

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heddle-templates-'))
})

afterEach(async () => {
  await rm(folder, { recursive: true })
})

/** Puts a template, made from the bundled one, into the folder. */
async function replace(name: 'haproxy.cfg.eta' | 'backend.eta', change: (source: string) => string): Promise<void> {
  const source = await readFile(new URL(name, bundled), 'utf8')
  const changed = change(source)
  expect(changed).not.toBe(source)
  await writeFile(join(folder, name), changed)
}

async function problems(): Promise<readonly TemplateProblem[]> {
  const loaded = await loadTemplates(folder)
  return loaded.kind === 'invalid' ? loaded.problems : []
}

async function load() {
  const loaded = await loadTemplates(folder)
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  return loaded.templates
}

describe('templates of a directory', () => {
  it('replace bundled ones of the same name; other files are no concern of ours', async () => {
    await replace('backend.eta', (source) => source.replace('\nbackend', '\n# ours\nbackend'))
    await writeFile(join(folder, 'notes.txt'), '<% not a template')
    const rendering = renderCandidate(model([backend('web', [])], []), await load(), renderSettings)
    if (rendering.kind === 'failed') throw new Error(rendering.reason)
    expect(textsOf(rendering.candidate).get('haproxy.cfg')).toContain('\n# ours\nbackend web from routed\n')
  })

  it('make another hash by their text alone', async () => {
    const before = (await load()).hash
    expect(before).toMatch(/^[0-9a-f]{64}$/)
    await writeFile(join(folder, 'notes.txt'), 'nothing')
    expect((await load()).hash).toBe(before)
    await replace('backend.eta', (source) => `${source}\n`)
    expect((await load()).hash).not.toBe(before)
  })

  it('may be edited with carriage returns and without a last newline', async () => {
    await replace('backend.eta', (source) => source.trimEnd().replaceAll('\n', '\r\n'))
    const made = model([backend('a', ['10.2.1.1:80']), backend('b', [])], [route('/', backend('b', []))])
    const rendering = renderCandidate(made, await load(), renderSettings)
    if (rendering.kind === 'failed') throw new Error(rendering.reason)
    const text = textsOf(rendering.candidate).get('haproxy.cfg') ?? ''
    expect(text).not.toContain('\r')
    expect(text.endsWith('backend b from routed\n')).toBe(true)
  })

  it('cannot change the model through what they see', async () => {
    await replace('backend.eta', (source) => `<% it.section.maxconn = 1 -%>\n${source}`)
    const one = backend('web', ['10.2.1.1:80'])
    const rendering = renderCandidate(model([one], []), await load(), renderSettings)
    if (rendering.kind === 'failed') throw new Error(rendering.reason)
    expect(textsOf(rendering.candidate).get('haproxy.cfg')).toContain('server 10.2.1.1:80 10.2.1.1:80 weight 1\n')
    expect(one.section.maxconn).toBeNull()
  })

  it('have no way to other files', async () => {
    await writeFile(join(folder, 'other.eta'), 'other')
    await replace('backend.eta', (source) => `<%~ include('./other') %>\n${source}`)
    expect(await problems()).toMatchObject([{ file: join(folder, 'backend.eta'), line: 1 }])
  })

  it.each([
    ['is not there', async () => join(folder, 'nowhere')],
    [
      'is a file',
      async () => {
        await writeFile(join(folder, 'file'), '')
        return join(folder, 'file')
      },
    ],
  ])('are a problem when the directory %s', async (_what, make) => {
    const directory = await make()
    const loaded = await loadTemplates(directory)
    expect(loaded).toMatchObject({ kind: 'invalid', problems: [{ file: directory, line: null }] })
  })

  it.each([
    ['a directory', () => mkdir(join(folder, 'backend.eta'))],
    ['no text', () => writeFile(join(folder, 'backend.eta'), Buffer.from([0xff, 0xfe, 0x00]))],
    ['enormous', () => writeFile(join(folder, 'backend.eta'), '#'.repeat(1_000_001))],
  ])('are a problem when one is %s', async (_what, make) => {
    await make()
    expect(await problems()).toMatchObject([{ file: join(folder, 'backend.eta'), line: null }])
  })
})

describe('a mistake in a template is shown with its line', () => {
  it('where a tag is not closed', async () => {
    await writeFile(join(folder, 'backend.eta'), 'backend <%= it.id %>\n\n<% if (true) { \n')
    expect(await problems()).toMatchObject([{ line: 3, reason: 'unclosed tag' }])
  })

  it('where JavaScript is wrong', async () => {
    await writeFile(join(folder, 'backend.eta'), 'backend <%= it.id %>\n<% const 1 = 2 %>\n<%= it.servers %>\n')
    const [problem] = await problems()
    expect(problem).toMatchObject({ file: join(folder, 'backend.eta'), line: 2 })
    expect(problem?.reason).not.toBe('')
  })

  it('where it throws', async () => {
    await writeFile(join(folder, 'backend.eta'), 'backend <%= it.id %>\n<%= it.sectoin.balance %>\n<%= it.servers %>\n')
    expect(await problems()).toMatchObject([{ line: 2, reason: expect.stringContaining("reading 'balance'") }])
  })

  it('where it throws for some section options only', async () => {
    await replace('backend.eta', (source) =>
      source.replace('  dynamic-cookie-key', '<% throw new Error("no cookies here") %>\n  dynamic-cookie-key'),
    )
    expect(await problems()).toMatchObject([{ reason: 'it throws: no cookies here' }])
  })

  it('for both templates at once', async () => {
    await writeFile(join(folder, 'backend.eta'), '<% if')
    await writeFile(join(folder, 'haproxy.cfg.eta'), '<% if')
    expect((await problems()).map(({ file }) => file)).toEqual([
      join(folder, 'haproxy.cfg.eta'),
      join(folder, 'backend.eta'),
    ])
  })
})

describe('a template that does not place what has to be placed is refused', () => {
  it.each([
    ['servers are missing', (s: string) => s.replace('<%= it.servers %>', ''), 'it.servers is not printed', 'last'],
    ['servers come twice', (s: string) => `${s}<%= it.servers %>\n`, 'it.servers comes twice', 'last'],
    ['servers share a line', (s: string) => s.replace('<%= it.servers', 'x <%= it.servers'), 'shares its line', 'any'],
    [
      'servers come first',
      (s: string) => `<%= it.servers %>\n${s.replace('<%= it.servers %>', '')}`,
      'comes before',
      1,
    ],
    [
      'the backend has another name',
      (s: string) => s.replace('backend <%= it.id %>', 'backend x'),
      '"backend x',
      'last',
    ],
    ['there is no section', (s: string) => s.replace('backend <%= it.id %> from routed', ''), 'no section', 'last'],
    ['there is a second section', (s: string) => `${s}\nlisten more\n`, '"listen more"', 'any'],
    ['there is a server of its own', (s: string) => `${s}  server a 10.2.1.1:80\n`, '"server a', 'last'],
    ['there is a default-server', (s: string) => `${s}  default-server check\n`, '"default-server', 'last'],
    [
      'balance has no effect',
      (s: string) => s.replace('balance <%= it.section.balance %>', ''),
      'balance would',
      'any',
    ],
    [
      'source is not consistent',
      (s: string) => s.replace('hash-type consistent', ''),
      'no server could be added',
      'any',
    ],
    ['cookies are not dynamic', (s: string) => s.replace(' dynamic\n', '\n'), 'would not stick', 'any'],
    ['the cookie key is another', (s: string) => s.replace('key heddle', 'key mine'), 'another edge', 'any'],
  ])('in backend.eta: %s', async (_what, change, reason, line) => {
    await replace('backend.eta', change)
    const [problem] = await problems()
    expect(problem?.reason).toContain(reason)
    expect(problem?.hint).not.toBe('')
    const source = await readFile(join(folder, 'backend.eta'), 'utf8')
    if (line === 'last') expect(problem?.line).toBe(source.trimEnd().split('\n').length)
    else if (line === 'any') expect(problem?.line).toBeGreaterThan(0)
    else expect(problem?.line).toBe(line)
  })

  it.each([
    ['backends', '<%= it.backends %>', '', 'it.backends is not printed'],
    ['structure', '<%= it.structure %>', 'mine', 'it.structure has to be printed exactly once'],
    [
      'structure in the description',
      'description <%= it.structure %>',
      '# <%= it.structure %>',
      'read back which structure',
    ],
    ['default-path', 'default-path config', '', 'the maps of another'],
    ['stats socket', 'stats socket <%= word(settings.statsSocket) %>', 'stats socket /tmp/x', 'change nothing'],
    ['admin level', 'level admin', 'level operator', 'change nothing'],
    ['routes', 'map_beg(<%= maps.routes %>)', 'map(<%= maps.routes %>)', 'would not find their routes'],
    ['hosts', 'map(<%= maps.hosts %>)', 'lower', 'haproxy.paths would have no effect'],
    ['revision', 'map(<%= maps.revision %>)', 'lower', 'which revision runs'],
    ['state', 'map(<%= maps.state %>)', 'lower', 'the monitor would not know'],
    ['binds', 'bind <%= word(address) %>', 'bind :80', 'would not listen where'],
    ['a section for nothing', 'backend :none', 'backend :nothing', 'services that have left'],
    ['a section for redirects', 'backend :redirect', '# backend :redirect', 'routes with redirect'],
  ])('in haproxy.cfg.eta: %s', async (_what, text, instead, reason) => {
    await replace('haproxy.cfg.eta', (source) => source.replaceAll(text, instead))
    const [problem] = await problems()
    expect(problem?.file).toBe(join(folder, 'haproxy.cfg.eta'))
    expect(problem?.reason).toContain(reason)
    expect(problem?.hint).not.toBe('')
  })
})
