import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { escapeUnprintable } from '../../src/printable.ts'
import { settingKeys } from '../../src/settings/keys.ts'
import { loadSettings, type Origin } from '../../src/settings/load.ts'
import { describeProblems } from '../../src/settings/problems.ts'
import { inputOf, problemsOf, settingsOf, type Written } from './load.ts'

function originOf(key: string, written: Written): Origin | undefined {
  const loaded = loadSettings(inputOf(written))
  return loaded.kind === 'ok' ? loaded.origins.get(key) : undefined
}

describe('precedence', () => {
  const yaml = 'consul: {address: "http://file:1"}'
  const consul = { CONSUL_HTTP_ADDR: 'consul:2' }
  const own = { HEDDLE_CONSUL_ADDRESS: 'http://own:3' }
  const flags = { 'consul.address': 'http://flag:4' }

  it.each<[Written, string, Origin]>([
    [{}, 'http://127.0.0.1:8500', 'default'],
    [{ yaml }, 'http://file:1', 'file'],
    [{ yaml, env: consul }, 'http://consul:2', 'environment'],
    [{ yaml, env: { ...consul, ...own } }, 'http://own:3', 'environment'],
    [{ yaml, env: { ...consul, ...own }, flags }, 'http://flag:4', 'flag'],
    [{ yaml, flags }, 'http://flag:4', 'flag'],
  ])('%j gives %s', (written, address, origin) => {
    expect(settingsOf(written).consul.address).toBe(address)
    expect(originOf('consul.address', written)).toBe(origin)
  })

  it('gives every setting an origin', () => {
    const loaded = loadSettings(inputOf({}))
    expect(loaded.kind === 'ok' && [...loaded.origins.keys()]).toEqual(settingKeys.map(({ key }) => key))
  })

  it('replaces lists and maps as a whole', () => {
    const written = {
      yaml: 'haproxy: {bind: [":80", ":81"]}\nweave: {docker: {a: "tcp://a:1"}}',
      env: { HEDDLE_HAPROXY_BIND: ':8080', HEDDLE_WEAVE_DOCKER: '{"b": "tcp://b:1"}' },
    }
    expect(settingsOf(written).haproxy.bind).toEqual([':8080'])
    expect([...(settingsOf(written).weave.docker?.keys() ?? [])]).toEqual(['b'])
  })

  it('takes an empty variable and an empty value as not written', () => {
    expect(settingsOf({ yaml: 'expose: {domain: a.example}', env: { HEDDLE_EXPOSE_DOMAIN: '' } }).expose.domain).toBe(
      'a.example',
    )
    expect(settingsOf({ yaml: 'consul:\nexpose:\n  domain:\n  prefix: ~\n' }).expose).toEqual(settingsOf().expose)
  })

  it('can take back a value with its word for none', () => {
    expect(
      settingsOf({ yaml: 'expose: {domain: a.example}', env: { HEDDLE_EXPOSE_DOMAIN: 'none' } }).expose.domain,
    ).toBeNull()
  })

  it('takes a relative path on the command line only', () => {
    expect(settingsOf({ flags: { templates: './templates' } }).templates).toBe(`${process.cwd()}/templates`)
    expect(settingsOf({ flags: { 'haproxy.bin': 'haproxy' } }).haproxy.bin).toBe('haproxy')
    expect(problemsOf({ env: { HEDDLE_TEMPLATES: './templates' } })).toHaveLength(1)
    expect(problemsOf({ yaml: 'templates: ./templates' })).toHaveLength(1)
  })
})

describe('environment', () => {
  it.each([
    ['HEDDLE_HAPROXY_STATS_BIND', ':9000'],
    ['HEDDLE_HAPROXY_STATSBIND', ':9000'],
  ])('%s names haproxy.statsBind', (name, text) => {
    expect(settingsOf({ env: { [name]: text } }).haproxy.statsBind).toBe(text)
  })

  it('reaches deep settings', () => {
    expect(settingsOf({ env: { HEDDLE_HAPROXY_TIMEOUTS_CONNECT: '5s' } }).haproxy.timeouts.connect).toBe(5_000)
    expect(settingsOf({ env: { HEDDLE_APPLY_SETTLE_QUIET: '5ms' } }).apply.settle.quiet).toBe(5)
  })

  it('refuses both spellings of a name at once', () => {
    const env = { HEDDLE_HAPROXY_STATS_BIND: ':9000', HEDDLE_HAPROXY_STATSBIND: ':9001' }
    expect(problemsOf({ env })).toMatchObject([{ key: 'haproxy.statsBind', where: 'HEDDLE_HAPROXY_STATSBIND' }])
  })

  it('refuses an unknown variable and names the nearest', () => {
    expect(problemsOf({ env: { HEDDLE_LOG_LEVL: 'debug' } })).toEqual([
      {
        key: 'HEDDLE_LOG_LEVL',
        expected: 'a setting that exists (did you mean HEDDLE_LOG_LEVEL?)',
        got: 'an unknown name',
        where: 'environment',
      },
    ])
  })

  it('leaves variables of others alone', () => {
    expect(problemsOf({ env: { PATH: '/bin', HEDDLES: 'x', CONSUL_NAMESPACE: 'x' } })).toEqual([])
  })

  it('names the variable of a wrong value', () => {
    expect(problemsOf({ env: { HEDDLE_GUARD_HOLD: '60' } })).toMatchObject([
      { key: 'guard.hold', where: 'HEDDLE_GUARD_HOLD', got: '"60"' },
    ])
  })

  it('refuses maps that are no YAML', () => {
    expect(problemsOf({ env: { HEDDLE_WEAVE_DOCKER: '{a: ' } })).toMatchObject([{ key: 'weave.docker' }])
  })
})

describe("Consul's own variables", () => {
  it.each([
    [{ CONSUL_HTTP_ADDR: '10.0.0.1:8500' }, 'http://10.0.0.1:8500'],
    [{ CONSUL_HTTP_ADDR: ':8500' }, 'http://127.0.0.1:8500'],
    [{ CONSUL_HTTP_ADDR: 'https://c.example:8501' }, 'https://c.example:8501'],
    [{ CONSUL_HTTP_ADDR: 'c.example:8501', CONSUL_HTTP_SSL: 'true' }, 'https://c.example:8501'],
    [{ CONSUL_HTTP_ADDR: 'http://c.example:8501', CONSUL_HTTP_SSL: '1' }, 'https://c.example:8501'],
    [{ CONSUL_HTTP_ADDR: 'https://c.example:8501', CONSUL_HTTP_SSL: 'false' }, 'https://c.example:8501'],
    [{ CONSUL_HTTP_SSL: 'true' }, 'https://127.0.0.1:8500'],
  ])('%j is %s', (env, address) => {
    expect(settingsOf({ env }).consul.address).toBe(address)
  })

  it('lets CONSUL_HTTP_SSL alone change the scheme of the address in the file', () => {
    const yaml = 'consul: {address: "http://file:1"}'
    expect(settingsOf({ yaml, env: { CONSUL_HTTP_SSL: 'true' } }).consul.address).toBe('https://file:1')
  })

  it('sets token and certificates', () => {
    const env = {
      CONSUL_HTTP_TOKEN: 'a-token',
      CONSUL_CACERT: '/ca.pem',
      CONSUL_CLIENT_CERT: '/cert.pem',
      CONSUL_CLIENT_KEY: 'key.pem',
      CONSUL_TLS_SERVER_NAME: 'server.dc1.consul',
    }
    expect(settingsOf({ env }).consul).toMatchObject({
      token: 'a-token',
      tls: { ca: '/ca.pem', cert: '/cert.pem', key: `${process.cwd()}/key.pem`, serverName: 'server.dc1.consul' },
    })
  })

  it('prefers the token file to the token, as Consul does', () => {
    const env = { CONSUL_HTTP_TOKEN: 'a-token', CONSUL_HTTP_TOKEN_FILE: '/run/token' }
    expect(settingsOf({ env }).consul).toMatchObject({ token: null, tokenFile: '/run/token' })
  })

  it('says that unix sockets are not supported', () => {
    expect(problemsOf({ env: { CONSUL_HTTP_ADDR: 'unix:///run/consul.sock' } })).toMatchObject([
      {
        key: 'consul.address',
        expected: expect.stringContaining('unix sockets are not supported'),
        where: 'CONSUL_HTTP_ADDR',
      },
    ])
  })

  it('reports them only while they count', () => {
    const env = { CONSUL_HTTP_ADDR: 'unix:///run/consul.sock', CONSUL_HTTP_SSL: 'perhaps' }
    expect(problemsOf({ env })).toHaveLength(2)
    expect(problemsOf({ env, flags: { 'consul.address': 'http://a:1' } })).toEqual([])
    expect(problemsOf({ env: { ...env, HEDDLE_CONSUL_ADDRESS: 'http://a:1' } })).toEqual([])
  })
})

describe('settings that belong together', () => {
  it.each<[string, Written, string]>([
    ['a user without being root', { flags: { 'haproxy.user': 'haproxy' }, isRoot: false }, 'haproxy.user'],
    ['a group without being root', { flags: { 'haproxy.group': 'haproxy' }, isRoot: false }, 'haproxy.group'],
    ['a chroot without being root', { flags: { 'haproxy.chroot': '/empty' }, isRoot: false }, 'haproxy.chroot'],
    ['a status page for everybody', { flags: { 'status.listen': ':8480' } }, 'status.listen'],
    ['a status page on another address', { flags: { 'status.listen': '10.0.0.1:8480' } }, 'status.listen'],
    ['a certificate without its key', { flags: { 'consul.tls.cert': '/c.pem' } }, 'consul.tls.cert'],
    ['a key without its certificate', { flags: { 'consul.tls.key': '/k.pem' } }, 'consul.tls.key'],
    ['two tokens in one place', { yaml: 'consul: {token: a, tokenFile: /b}' }, 'consul.tokenFile'],
    ['two listeners at one port', { flags: { 'haproxy.bind': ':8404' } }, 'haproxy.statsBind'],
    ['a monitor at the port of the status page', { flags: { 'haproxy.monitor': ':8480/up' } }, 'status.listen'],
    ['the same listener twice', { flags: { 'haproxy.bind': ':80,*:80' } }, 'haproxy.bind'],
    [
      'one path for two sockets',
      { flags: { 'haproxy.statsSocket': '/run/haproxy/master.sock' } },
      'haproxy.statsSocket',
    ],
    [
      'a directory too long for a socket',
      { flags: { 'haproxy.directory': `/${'d'.repeat(90)}` } },
      'haproxy.directory',
    ],
    ['nothing left of the weave range', { flags: { 'weave.reserved': '10.0.0.0/8' } }, 'weave.reserved'],
    ['settling that ends before it begins', { flags: { 'apply.settle.longest': '10ms' } }, 'apply.settle.longest'],
    ['tidying that ends before it begins', { flags: { 'apply.tidy': '11m/10m' } }, 'apply.tidy.longest'],
  ])('refuses %s', (_, written, key) => {
    expect(problemsOf(written).map((problem) => problem.key)).toEqual([key])
  })

  it.each<[string, Written]>([
    ['a user as root', { flags: { 'haproxy.user': 'haproxy' }, isRoot: true }],
    ['a status page for everybody with a token', { flags: { 'status.listen': ':8480', 'status.token': 'abc' } }],
    [
      'a status page for everybody with a token file',
      { flags: { 'status.listen': '[::]:8480', 'status.tokenFile': '/t' } },
    ],
    ['a status page on any loopback address', { flags: { 'status.listen': '127.9.8.7:8480' } }],
    [
      'a control socket elsewhere for a long directory',
      { flags: { 'haproxy.directory': `/${'d'.repeat(90)}`, 'control.socket': '/run/h.sock' } },
    ],
  ])('takes %s', (_, written) => {
    expect(problemsOf(written)).toEqual([])
  })

  it('names the place of the setting that was written, not of a default', () => {
    expect(problemsOf({ yaml: 'haproxy:\n  bind: [":8404"]' })).toMatchObject([
      { key: 'haproxy.statsBind', where: '/etc/heddle.yaml:2', got: '"127.0.0.1:8404", and haproxy.bind is ":8404"' },
    ])
  })

  it('lets the token of the higher place count, in whichever form it comes', () => {
    const yaml = 'consul: {tokenFile: /file}'
    expect(settingsOf({ yaml, env: { CONSUL_HTTP_TOKEN: 'abc' } }).consul).toMatchObject({
      token: 'abc',
      tokenFile: null,
    })
    expect(settingsOf({ env: { CONSUL_HTTP_TOKEN: 'abc' }, flags: { 'consul.tokenFile': '/f' } }).consul).toMatchObject(
      {
        token: null,
        tokenFile: '/f',
      },
    )
  })

  it('is silent about a rule while one of its settings is wrong by itself', () => {
    expect(problemsOf({ flags: { 'status.listen': ':8480', 'status.token': 'two words' } })).toHaveLength(1)
  })

  it('still checks rules beside a wrong setting', () => {
    const keys = problemsOf({ flags: { 'status.listen': ':8480', 'log.level': 'loud' } }).map(({ key }) => key)
    expect(keys).toEqual(['log.level', 'status.listen'])
  })
})

describe('everything wrong at once', () => {
  const written: Written = {
    yaml: [
      'consul:',
      '  adress: http://a:1',
      '  maxConnections: many',
      'haproxy:',
      '  bind:',
      '    - :80',
      '    - 80',
      '  timeouts: {connect: 2}',
    ].join('\n'),
    env: { HEDDLE_LOG_LEVEL: 'loud' },
    flags: { 'guard.panic': '50', 'guard.panics': '1' },
  }

  it('is reported with key, expectation, value and place', () => {
    expect(describeProblems(problemsOf(written)).split('\n')).toEqual([
      '7 settings are wrong:',
      '  command line: guard.panics: expected a setting that exists (did you mean guard.panic?), got an unknown name',
      '  /etc/heddle.yaml:2: consul.adress: expected a setting that exists (did you mean consul.address?), got an unknown name',
      '  /etc/heddle.yaml:3: consul.maxConnections: expected a whole number from 4 to 10000, got "many"',
      '  /etc/heddle.yaml:7: haproxy.bind[1]: expected an address and a port such as :80, 127.0.0.1:8080 or [::]:80, got "80"',
      '  /etc/heddle.yaml:8: haproxy.timeouts.connect: expected a duration with its unit: 2ms, 2s, 2m, 2h or 2d, got "2"',
      '  command line: guard.panic: expected a percentage with its sign: 50%, got "50"',
      '  HEDDLE_LOG_LEVEL: log.level: expected `error`, `warn`, `info`, `debug` or `trace`, got "loud"',
    ])
  })

  it('counts an overridden value too', () => {
    expect(problemsOf({ yaml: 'log: {level: loud}', flags: { 'log.level': 'info' } })).toHaveLength(1)
  })

  it('is cut short on a terminal when it is endless', () => {
    const yaml = Array.from({ length: 200 }, (_, index) => `x${index}: 1`).join('\n')
    const lines = describeProblems(problemsOf({ yaml })).split('\n')
    expect(lines[0]).toBe('200 settings are wrong:')
    expect(lines.at(-1)).toBe('  and 150 more')
    expect(lines).toHaveLength(52)
  })
})

describe('junk', () => {
  const names = fc.constantFrom(
    'consul',
    'tls',
    'bind',
    'haproxy',
    'timeouts',
    'weave',
    'docker',
    'settle',
    'tidy',
    'apply',
    '__proto__',
    'constructor',
    '',
    '<<',
    'a.b',
  )
  const scalar = fc.oneof(
    fc.string(),
    fc.constantFrom('~', '*a', '&a x', '!!binary aa', '10s', ':80', '- x', '"', '|'),
    fc.integer().map(String),
  )
  const tree = fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 5 },
      scalar,
      fc.array(tie('node'), { maxLength: 3 }),
      fc.array(fc.tuple(names, tie('node')), { maxLength: 4 }).map(Object.fromEntries),
    ),
  })).node
  const line = fc
    .tuple(fc.nat({ max: 6 }), names, scalar)
    .map(([indent, name, value]) => `${' '.repeat(indent)}${name}: ${value}`)
  const yaml = fc.oneof(
    fc.string({ unit: 'binary' }),
    tree.map((value) => JSON.stringify(value)),
    fc.array(line, { maxLength: 12 }).map((lines) => lines.join('\n')),
  )

  it('gives settings or problems, never an exception', () => {
    fc.assert(
      fc.property(
        yaml,
        fc.dictionary(
          fc.constantFrom(
            'HEDDLE_WEAVE_DOCKER',
            'HEDDLE_HAPROXY_BIND',
            'HEDDLE_APPLY_SETTLE',
            'CONSUL_HTTP_ADDR',
            'HEDDLE_X',
          ),
          yaml,
        ),
        (text, env) => {
          const loaded = loadSettings(inputOf({ yaml: text, env }))
          if (loaded.kind === 'invalid') expect(loaded.problems.length).toBeGreaterThan(0)
          if (loaded.kind === 'ok') return
          for (const line of describeProblems(loaded.problems).split('\n')) expect(escapeUnprintable(line)).toBe(line)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})
