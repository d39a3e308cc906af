import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { haproxyBin } from '../support/haproxy.ts'
import { heddle } from '../support/heddle.ts'
import { snapshotText } from '../support/snapshots.ts'

/** Commands on a snapshot file: no Consul, no HAProxy, no running heddle. */

let folder = ''
let base: readonly string[] = []

const services = {
  web: [
    { id: 'w1', address: '10.2.1.1', port: 8080, tags: ['heddle.route=shop.example/ timeout=5s'] },
    { id: 'w2', address: '10.2.1.2', port: 8080, tags: ['heddle.route=shop.example/ timeout=5s'], status: 'critical' },
  ],
  api: [{ id: 'a1', address: '10.2.2.1', port: 9000, tags: ['heddle.route=shop.example/api strip'] }],
} as const

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hd-cmd-'))
  await writeFile(join(folder, 'good.json'), snapshotText(services))
  const bad = [
    {
      id: 'b1',
      address: '10.2.3.1',
      port: 80,
      tags: ['heddle.route=a..b/x', 'traefik.http.middlewares.auth.basicauth.users=admin:canary'],
      meta: { secret: 'canary', 'heddle-weight': '1e9' },
    },
  ]
  await writeFile(join(folder, 'bad.json'), snapshotText({ ...services, bad }))
  base = ['--directory', join(folder, 'd'), '--set', `haproxy.bin=${haproxyBin}`]
})

afterAll(() => rm(folder, { recursive: true, force: true }))

const on = (file: string) => ['--snapshot', join(folder, file)]

describe('heddle routes', () => {
  it('shows the route table, and says on stderr where it comes from', async () => {
    const { code, stdout, stderr } = await heddle([...base, 'routes', ...on('good.json')])
    expect(code).toBe(0)
    expect(stdout.split('\n').map((line) => line.split(/\s+/).slice(0, 4).join(' '))).toEqual([
      'HOST PATH SERVICE UP',
      'shop.example / web 1/2',
      'shop.example /api api 1/1',
      '',
    ])
    expect(stderr).toContain('good.json')
  })

  it('gives the fields of the contract as JSON', async () => {
    const { stdout } = await heddle([...base, 'routes', '--json', ...on('good.json')])
    expect(JSON.parse(stdout)).toMatchObject([
      {
        host: 'shop.example',
        path: '/',
        match: 'prefix',
        service: 'web',
        options: { timeout: '5s' },
        instances: [
          { id: 'w1', node: 'host1', address: '10.2.1.1', port: 8080, source: 'catalog', state: 'ready', weight: 1 },
          { id: 'w2', state: 'maint' },
        ],
      },
      { path: '/api', service: 'api', options: { strip: '/api' } },
    ])
  })
})

describe('heddle explain', () => {
  it('tells which route takes a request and why the others lost', async () => {
    const { code, stdout } = await heddle([
      ...base,
      'explain',
      'http://shop.example/api/x?q=1',
      '--json',
      ...on('good.json'),
    ])
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      answer: 'service',
      service: 'api',
      path: '/x?q=1',
      route: { path: '/api' },
      candidates: [{ service: 'api' }, { service: 'web', reason: expect.stringContaining('less specific') }],
      instances: [{ id: 'a1' }],
    })
  })

  it('prints the same for people', async () => {
    const { stdout } = await heddle([...base, 'explain', 'shop.example/api/x', ...on('good.json')])
    expect(stdout).toContain('service: routed to api')
    expect(stdout).toContain('10.2.2.1:9000')
    expect(stdout).not.toContain('\u001b')
  })
})

describe('heddle lint', () => {
  it('finds nothing in a good catalog', async () => {
    expect(await heddle([...base, 'lint', ...on('good.json')])).toMatchObject({ code: 0, stdout: 'no problems\n' })
  })

  it('never lets a name move the cursor of whoever reads it', async () => {
    const name = 'ev\u001b[2Jil\n\u202e'
    const tags = ['heddle.route=a.test', 'heddle.route=b.test nonsense']
    await writeFile(
      join(folder, 'names.json'),
      snapshotText({ [name]: [{ id: name, address: '10.2.1.9', port: 80, tags }] }),
    )
    for (const command of [['routes'], ['lint'], ['explain', 'http://a.test/']]) {
      const { stdout } = await heddle([...base, ...command, ...on('names.json')])
      expect(stdout).toContain('ev\\u001b[2Jil\\u000a\\u202e')
      expect(stdout).not.toContain('\u001b')
      expect(stdout).not.toContain('\u202e')
    }
  })

  it('exits with 3 and says what to write instead', async () => {
    const { code, stdout } = await heddle([...base, 'lint', '--json', ...on('bad.json')])
    expect(code).toBe(3)
    expect(JSON.parse(stdout)).toMatchObject([
      { code: 'bad-host', service: 'bad', instance: 'host1/b1', subject: expect.any(String), hint: expect.any(String) },
      { code: 'bad-option', service: 'bad' },
    ])
  })
})

describe('heddle render', () => {
  it('prints haproxy.cfg, which HAProxy accepts', async () => {
    const { code, stdout, stderr } = await heddle([...base, 'render', '--check', ...on('good.json')])
    expect(code).toBe(0)
    expect(stdout).toContain('server 10.2.1.1:8080 10.2.1.1:8080')
    expect(stderr).toContain('accepts')
  })

  it('checks in its own folder where there is no /tmp to write to, and leaves nothing there', async () => {
    const directory = await mkdtemp(join(folder, 'own-'))
    const args = [
      '--directory',
      directory,
      '--set',
      `haproxy.bin=${haproxyBin}`,
      'render',
      '--check',
      ...on('good.json'),
    ]
    const { code, stderr } = await heddle(args, { TMPDIR: join(folder, 'missing') })
    expect(stderr).toContain('accepts')
    expect(code).toBe(0)
    expect(await readdir(directory)).toEqual([])
  })

  it('writes all files into a folder', async () => {
    const out = join(folder, 'out')
    expect((await heddle([...base, 'render', '--out', out, ...on('good.json')])).code).toBe(0)
    const maps = ['hosts.map', 'revision.map', 'routes.map', 'seats.map', 'state.map']
    expect((await readdir(out)).sort()).toEqual(['haproxy.cfg', ...maps, 'parts.txt'].sort())
    expect(await readFile(join(out, 'routes.map'), 'utf8')).toContain('shop.example/api/ api|api||/api\n')
  })

  it('shows the difference to what is installed and exits with 3', async () => {
    const { code, stdout } = await heddle([...base, 'render', '--diff', ...on('good.json')])
    expect(code).toBe(3)
    expect(stdout).toContain('+++ wanted/haproxy.cfg')
  })
})

describe('heddle snapshot', () => {
  it('writes what heddle reads, which reads back to the same, for its owner only', async () => {
    const out = join(folder, 'again.json')
    expect((await heddle([...base, 'snapshot', '--out', out, ...on('bad.json')])).code).toBe(0)
    expect((await stat(out)).mode & 0o777).toBe(0o600)
    expect(await readFile(out, 'utf8')).not.toContain('canary')
    const [first, second] = await Promise.all(
      ['bad.json', 'again.json'].map((file) => heddle([...base, 'routes', '--json', ...on(file)])),
    )
    expect(second?.stdout).toBe(first?.stdout)
  })
})

describe('a snapshot file', () => {
  it('is looked at without what happened on this machine', async () => {
    const directory = join(folder, 'with-memory')
    await mkdir(directory)
    const { memory } = JSON.parse((await heddle([...base, 'snapshot', ...on('good.json')])).stdout)
    await writeFile(join(directory, 'memory.json'), JSON.stringify(memory))
    await writeFile(join(folder, 'none.json'), snapshotText({}))
    const { stdout, stderr } = await heddle(['--directory', directory, 'routes', '--json', ...on('none.json')])
    expect(JSON.parse(stdout)).toEqual([])
    expect(stderr).toBe(`from ${join(folder, 'none.json')}\n`)
  })

  it('without a route says how a service asks for one', async () => {
    await writeFile(join(folder, 'none.json'), snapshotText({}))
    const { code, stdout, stderr } = await heddle([...base, 'routes', ...on('none.json')])
    expect([code, stdout.trim().split(/ +/)[0]]).toEqual([0, 'HOST'])
    expect(stderr).toContain('no service asks for one (docs/routes.md says how)')
  })

  it('tells what of it can not be read', async () => {
    await writeFile(join(folder, 'odd.json'), JSON.stringify({ consul: { services: { odd: [{ Node: 1 }], web: {} } } }))
    const { code, stdout, stderr } = await heddle([...base, 'lint', ...on('odd.json')])
    expect([code, stdout]).toEqual([3, 'no problems in what could be read\n'])
    expect(stderr).toMatch(/snapshot: 2 left out: .*odd/)
  })
})

describe('wrong usage', () => {
  it.each([
    [['nonsense'], /nonsense/],
    [['explain'], /url/],
    [['routes', '--colour'], /--colour/],
    [['explain', '-X', 'post', 'a.test'], /capital letters/],
    [['explain', 'a.test/'.padEnd(3000, 'x')], /2048/],
    [['--set', 'nothing', 'routes'], /KEY=VALUE/],
    [['--set', 'consul.adress=http://x', 'routes'], /consul\.address/],
    [['demo', '--for', '20'], /20s/],
  ])('%j exits with 2 and says what is wrong', async (args, message) => {
    const { code, stderr } = await heddle(args)
    expect(code).toBe(2)
    expect(stderr).toMatch(message)
  })

  it('a file that is not there is a failure with its name', async () => {
    const { code, stderr } = await heddle([...base, 'routes', '--snapshot', '/nowhere.json'])
    expect(code).toBe(1)
    expect(stderr).toContain('/nowhere.json')
  })

  it('every command teaches with --help', async () => {
    for (const command of [[], ['run'], ['render'], ['routes'], ['explain'], ['lint'], ['snapshot'], ['demo']]) {
      const { code, stdout } = await heddle([...command, '--help'])
      expect(code).toBe(0)
      expect(stdout).toContain('Usage: heddle')
    }
  })
})
