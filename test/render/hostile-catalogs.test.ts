import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { decide, emptyMemory } from '../../src/model/decide.ts'
import { renderCandidate, textsOf } from '../../src/render/config.ts'
import { loadTemplates, type Templates } from '../../src/render/templates.ts'
import { decodeHealthEntries } from '../../src/sources/consul/decode.ts'
import type { Candidate, Memory, World } from '../../src/types.ts'
import { haproxyBin } from '../support/haproxy.ts'
import { renderSettings } from '../support/models.ts'
import { fresh, noon, settings } from '../support/worlds.ts'

/** From Consul's raw answers to the files: whatever any team writes into the catalog. */

let templates: Templates
beforeAll(async () => {
  const loaded = await loadTemplates(null)
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  templates = loaded.templates
})

/** Words that mean something to HAProxy, to a shell or to a parser. */
const sharp = fc.constantFrom(
  ...[
    '\n',
    '\r\n',
    '\0',
    ' ',
    '#',
    ';',
    '|',
    '"',
    "'",
    '\\',
    '{',
    '}',
    '${HOME}',
    '%[env(PATH)]',
    '%0a',
    '<<',
    '\u202e',
  ],
  ...[
    '-f /etc/passwd',
    'server evil 10.0.0.1:1',
    'backend evil',
    '} || { always_true',
    '/../',
    '%2e%2e',
    '*',
    '?',
    '$path',
  ],
  ...[':none', ':redirect', 'global', 'x:0123456789ab', '__proto__', 'constructor', '\u212a', '\ud800', 'ü'],
)
const plain = fc.stringMatching(/^[a-z0-9_.-]{1,12}$/)
const text = fc.oneof(
  plain,
  fc.array(fc.oneof(plain, sharp), { minLength: 1, maxLength: 4 }).map((parts) => parts.join('')),
  fc.string({ unit: 'binary', maxLength: 40 }),
)
const host = fc.oneof(fc.constantFrom('evil.test', '*.evil.test', ''), text)
const path = fc.oneof(
  fc.constantFrom('', '/', '/api', '/api$', '/raw*'),
  text.map((part) => `/${part}`),
)
const option = fc.oneof(
  fc.constantFrom(
    'strip',
    'rawpath',
    'sticky',
    'timeout=5s',
    'balance=leastconn',
    'maxconn=7',
    'proto=h2c',
    'weight=3',
  ),
  fc
    .tuple(
      fc.constantFrom(
        'strip',
        'add',
        'host',
        'redirect',
        'priority',
        'timeout',
        'balance',
        'sticky',
        'maxconn',
        'proto',
      ),
      text,
    )
    .map(([key, value]) => `${key}=${value}`),
  fc.constantFrom('redirect=301,https://$host$path$query', 'redirect=302,/x', 'redirect=301,https://$path'),
  text,
)
const routeText = fc
  .tuple(host, path, fc.array(option, { maxLength: 3 }))
  .map(([h, p, options]) => [h + p, ...options].join(' '))
const tag = fc.oneof(
  fc.constant('heddle'),
  routeText.map((route) => `heddle.route=${route}`),
  fc
    .tuple(fc.constantFrom('timeout', 'sticky', 'balance', 'weight', 'backup', 'drain', ''), text)
    .map(([k, v]) => `heddle.${k}=${v}`),
  text,
)
const address = fc.oneof(
  fc.constantFrom('10.2.1.5', '10.2.1.255', '127.0.0.1', '0.0.0.0', '10.2.0.1', 'db.test', ''),
  text,
)
const port = fc.oneof(fc.integer({ min: 1, max: 65_535 }), fc.constantFrom(-5, 0, 70_000, 80.5, Number.NaN))
const entry = fc.record({
  Node: fc.record({ Node: fc.oneof(fc.constant('host1'), text), Address: address }),
  Service: fc.record({
    // few, so that they meet
    ID: fc.oneof(fc.constantFrom('a', 'b', 'web'), text),
    Service: fc.oneof(fc.constantFrom('one', 'two', 'web2'), text),
    Address: address,
    Port: port,
    Tags: fc.array(tag, { maxLength: 6 }),
    Meta: fc.dictionary(
      fc.oneof(fc.constantFrom('heddle-route', 'heddle-route-a', 'heddle-weight', 'heddle-address'), text),
      text,
      {
        maxKeys: 3,
      },
    ),
    Weights: fc.record({ Passing: fc.integer(), Warning: fc.integer() }),
    CreateIndex: fc.nat(3),
  }),
  Checks: fc.array(
    fc.record({
      CheckID: text,
      Status: fc.constantFrom('passing', 'warning', 'critical', 'odd'),
      ServiceID: fc.constant(''),
    }),
    {
      maxLength: 2,
    },
  ),
})
interface Entry {
  readonly Service: { readonly Service: string }
}
const hostile: fc.Arbitrary<readonly Entry[]> = fc.array(entry, { minLength: 1, maxLength: 6 })

const good = ['web', 'api'].map((name, index) => ({
  Node: { Node: 'host1', Address: '192.0.2.1' },
  Service: {
    ...{ ID: name, Service: name, Address: `10.2.9.${index + 1}`, Port: 8080, CreateIndex: index },
    Tags: [`heddle.route=${name}.good.test/ timeout=5s`, `heddle.route=shared.good.test/${name} strip`],
  },
  Checks: [],
}))

/** Each service as Consul answers for it. */
function worldOf(raw: readonly Entry[]): World {
  const names = [...new Set(raw.map(({ Service }) => Service.Service))]
  const partitions = new Map(
    names.map((name) => {
      const entries = raw.filter(({ Service }) => Service.Service === name)
      return [name, fresh(decodeHealthEntries(entries, 'heddle') ?? [])]
    }),
  )
  return { catalog: { by: 'service', partitions }, engines: new Map(), weave: null, at: noon }
}

function filesOf(raw: readonly Entry[], memory: Memory = emptyMemory): { candidate: Candidate; memory: Memory } {
  const decision = decide(worldOf(raw), memory, { ...settings, expose: { ...settings.expose, domain: 'default.test' } })
  const rendering = renderCandidate(decision.model, templates, renderSettings)
  if (rendering.kind === 'failed') throw new Error(rendering.reason)
  return { candidate: rendering.candidate, memory: decision.memory }
}

const linesOf = (candidate: Candidate, file: string) => textsOf(candidate).get(file)?.split('\n') ?? []

/** What the files say of the good services. */
function aboutTheGood(candidate: Candidate): readonly string[] {
  const text = textsOf(candidate).get('haproxy.cfg') ?? ''
  const sections = ['web', 'api'].map(
    (name) => new RegExp(`^backend ${name} [^]*?(?=\\nbackend |$(?![^]))`, 'm').exec(text)?.[0] ?? 'none',
  )
  return [
    ...sections.map((section) => section.trim()),
    ...linesOf(candidate, 'routes.map').filter((line) => line.includes('good.test')),
  ]
}

async function check(candidate: Candidate): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'heddle-hostile-'))
  try {
    for (const [name, content] of textsOf(candidate)) await writeFile(join(folder, name), content)
    const run = promisify(execFile)(haproxyBin, ['-dW', '-c', '-f', join(folder, 'haproxy.cfg')])
    return await run.then(
      () => '',
      (error: unknown) => String(error),
    )
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

describe('any catalog, however hostile', () => {
  it('renders to files of printable ASCII that haproxy takes', async () => {
    await fc.assert(
      fc.asyncProperty(hostile, async (entries) => {
        const { candidate } = filesOf([...entries, ...good])
        for (const content of textsOf(candidate).values()) expect(content).toMatch(/^[\n -~]*$/)
        expect(await check(candidate)).toBe('')
      }),
      { numRuns: 40 },
    )
  }, 60_000)

  it('changes no line of a service that it takes no match from', () => {
    const alone = aboutTheGood(filesOf(good).candidate)
    expect(alone.length).toBe(8)
    fc.assert(
      fc.property(hostile, (entries) => {
        const others = entries.filter(({ Service }) => Service.Service !== 'web' && Service.Service !== 'api')
        expect(aboutTheGood(filesOf([...others, ...good]).candidate)).toEqual(alone)
      }),
      { numRuns: 300 },
    )
  })

  it('gives the same bytes in any order, and again with the memory of it', () => {
    fc.assert(
      fc.property(hostile, fc.gen(), (entries, gen) => {
        const raw = [...entries, ...good]
        const once = filesOf(raw)
        const shuffled = gen(fc.shuffledSubarray, raw, { minLength: raw.length })
        expect(filesOf(shuffled).candidate.files).toEqual(once.candidate.files)
        expect(filesOf(raw, once.memory).candidate.files).toEqual(once.candidate.files)
      }),
      { numRuns: 300 },
    )
  })
})
