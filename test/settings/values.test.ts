import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { settingByKey, settingKeys, valueAt } from '../../src/settings/keys.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { renderSettings } from '../../src/settings/projections.ts'
import { haproxyBin } from '../support/haproxy.ts'
import { inputOf, problemsOf, settingsOf } from './load.ts'

/** The value of one setting when it is written in the way of a flag. */
function readAs(key: string, text: string): unknown {
  return valueAt(settingsOf({ flags: { [key]: text } }), settingByKey.get(key)?.path ?? [])
}

const pathOf97 = `/${'s'.repeat(96)}`

describe('what is understood', () => {
  it.each([
    ['consul.address', 'https://consul.example.com:8501/', 'https://consul.example.com:8501'],
    ['consul.address', 'HTTP://Consul:8500', 'http://consul:8500'],
    ['consul.address', 'http://[::1]:8500', 'http://[::1]:8500'],
    ['consul.token', 'b1gs33cr3t-0000', 'b1gs33cr3t-0000'],
    ['consul.tokenFile', '/run/secrets/my token', '/run/secrets/my token'],
    ['consul.datacenter', 'dc-1', 'dc-1'],
    ['consul.datacenter', 'none', null],
    ['consul.tls.serverName', 'Server.dc1.Consul.', 'server.dc1.consul'],
    ['consul.watch', 'services', 'services'],
    ['consul.maxConnections', '400', 400],
    ['consul.filter', 'Service.Meta.env == "prod"', 'Service.Meta.env == "prod"'],
    ['expose.by', 'all', 'all'],
    ['expose.prefix', 'edge_2-x', 'edge_2-x'],
    ['expose.domain', 'Apps.Example.COM', 'apps.example.com'],
    ['weave.cidr', '127.2.0.0/16', '127.2.0.0/16'],
    ['weave.reserved', '10.2.0.0/24, 10.2.1.1', ['10.2.0.0/24', '10.2.1.1/32']],
    ['weave.reserved', '[]', []],
    ['weave.docker', 'local', null],
    ['weave.docker', '{}', new Map()],
    ['weave.node', 'host1.example', 'host1.example'],
    ['weave.router', 'http://127.0.0.1:6784', 'http://127.0.0.1:6784'],
    ['weave.fallback', 'node', 'node'],
    ['haproxy.process', 'spawn', 'spawn'],
    ['haproxy.bin', '/opt/haproxy-3.2/haproxy', '/opt/haproxy-3.2/haproxy'],
    ['haproxy.directory', '/srv/heddle/', '/srv/heddle'],
    ['haproxy.masterSocket', pathOf97, pathOf97],
    ['haproxy.user', 'haproxy', 'haproxy'],
    ['haproxy.chroot', '/var/lib/haproxy', '/var/lib/haproxy'],
    ['haproxy.socketGid', '998', 998],
    ['haproxy.bind', ':80,*:81,127.0.0.1:8080,[::]:82', [':80', '*:81', '127.0.0.1:8080', '[::]:82']],
    ['haproxy.bind', '[::]:80', ['[::]:80']],
    ['haproxy.bind', '["[::]:80", ":81"]', ['[::]:80', ':81']],
    ['haproxy.acceptProxy', '10.0.0.1', ['10.0.0.1/32']],
    ['haproxy.trustedProxies', '10.0.0.0/8,FD00:0::/8', ['10.0.0.0/8', 'fd00::/8']],
    ['haproxy.monitor', ':34180/haproxy_status', ':34180/haproxy_status'],
    ['haproxy.maxconn', '20000', 20_000],
    ['haproxy.timeouts.tunnel', '2h', 7_200_000],
    ['haproxy.accessLog', 'off', false],
    ['haproxy.accessLog', 'true', true],
    ['haproxy.log', '10.0.0.5', '10.0.0.5'],
    ['haproxy.log', '/dev/log', '/dev/log'],
    ['haproxy.maxStartAge', 'forever', 'forever'],
    ['haproxy.maxStartAge', '30d', 2_592_000_000],
    ['files.mode', '0640', 0o640],
    ['files.mode', '644', 0o644],
    ['templates', '/etc/heddle/templates', '/etc/heddle/templates'],
    ['apply.reloadEvery', '0s', 0],
    ['guard.panic', '25%', 0.25],
    ['guard.doubtful', '2h', 7_200_000],
    ['status.listen', '127.0.0.1:0', '127.0.0.1:0'],
    ['status.listen', '[::1]:8480', '[::1]:8480'],
    ['status.allowedHosts', 'Heddle.Example.com,10.0.0.1,[::1]', ['heddle.example.com', '10.0.0.1', '[::1]']],
    ['log.level', 'debug', 'debug'],
  ])('%s: %s', (key, text, value) => {
    expect(readAs(key, text)).toEqual(value)
  })

  it('gives each Docker engine all its fields, however short it was written', () => {
    const text = '{host1: "tcp://10.0.0.1:2375", host2: {url: "https://h:1", ca: /ca.pem, cert: /c.pem, key: /k.pem}}'
    expect(readAs('weave.docker', text)).toEqual(
      new Map([
        ['host1', { url: 'tcp://10.0.0.1:2375', ca: null, cert: null, key: null }],
        ['host2', { url: 'https://h:1', ca: '/ca.pem', cert: '/c.pem', key: '/k.pem' }],
      ]),
    )
  })

  it('keeps the control socket in the directory of HAProxy unless it is put elsewhere', () => {
    expect(settingsOf({ flags: { 'haproxy.directory': '/srv/edge' } }).control.socket).toBe('/srv/edge/heddle.sock')
    expect(settingsOf({ flags: { 'control.socket': '/run/h.sock' } }).control.socket).toBe('/run/h.sock')
  })

  it.each(['settle', 'tidy'] as const)('takes both durations of apply.%s in one text', (name) => {
    const both = { quiet: 10, longest: 1_000 }
    expect(settingsOf({ yaml: `apply: {${name}: 10ms / 1s}` }).apply[name]).toEqual(both)
    expect(settingsOf({ env: { [`HEDDLE_APPLY_${name.toUpperCase()}`]: '10ms/1s' } }).apply[name]).toEqual(both)
    expect(settingsOf({ flags: { [`apply.${name}`]: '10ms/1s' } }).apply[name]).toEqual(both)
  })

  it('takes a number of spare sections, none, or leaves it to heddle', () => {
    const spares = (text: string) => renderSettings(settingsOf({ flags: { 'haproxy.spares': text } })).spares
    expect([spares('64'), spares('0'), spares('auto')]).toEqual([64, 0, null])
    expect(renderSettings(settingsOf({})).spares).toBeNull()
  })
})

describe('what is refused', () => {
  it.each([
    ['consul.address', 'http://127.0.0.1:8500/v1'],
    ['consul.address', 'ftp://127.0.0.1'],
    ['consul.address', 'http://'],
    ['consul.address', 'http://a b:1'],
    ['consul.address', 'http://h:99999'],
    ['consul.token', 'two words'],
    ['consul.token', 'line\nbreak'],
    ['consul.datacenter', 'a/b'],
    ['consul.maxConnections', '0'],
    ['consul.maxConnections', '1e3'],
    ['consul.filter', 'a\nb'],
    ['expose.by', 'tags'],
    ['expose.prefix', 'Heddle'],
    ['expose.prefix', '1st'],
    ['expose.prefix', 'a.b'],
    ['expose.domain', '*.example.com'],
    ['expose.domain', '-a.example.com'],
    ['weave.cidr', '10.2.0.1/16'],
    ['weave.cidr', '10.2.0.0/33'],
    ['weave.cidr', '010.2.0.0/16'],
    ['weave.cidr', '10.2/16'],
    ['weave.cidr', 'fd00::/8'],
    ['weave.reserved', '10.2.0.5/24'],
    ['weave.docker', '{host1: "ftp://h"}'],
    ['weave.docker', '{host1: {ca: /x}}'],
    ['weave.docker', '{host1: {url: "https://h", key: /x}}'],
    ['weave.docker', '{"a b": "tcp://h:1"}'],
    ['weave.docker', '{__proto__: "tcp://h:1"}'],
    ['weave.docker', '[a]'],
    ['weave.docker', 'remote'],
    ['haproxy.process', 'none'],
    ['haproxy.bin', 'haproxy -V'],
    ['haproxy.directory', '/srv/my heddle'],
    ['haproxy.directory', '/srv/${HOME}'],
    ['haproxy.masterSocket', `${pathOf97}s`],
    ['haproxy.statsSocket', '/run/a"b'],
    ['haproxy.user', 'haproxy\ngroup root'],
    ['haproxy.group', 'a b'],
    ['haproxy.chroot', '/var/lib/haproxy # x'],
    ['haproxy.socketGid', '-1'],
    ['haproxy.bind', ':0'],
    ['haproxy.bind', ':65536'],
    ['haproxy.bind', '80'],
    ['haproxy.bind', 'localhost:80'],
    ['haproxy.bind', '[fe80::1%eth0]:80'],
    ['haproxy.bind', ':80 ssl crt /x'],
    ['haproxy.bind', '[]'],
    ['haproxy.trustedProxies', 'all'],
    ['haproxy.trustedProxies', '10.0.0.0/8/8'],
    ['haproxy.monitor', ':34180'],
    ['haproxy.monitor', ':34180/a b'],
    ['haproxy.monitor', '/status'],
    ['haproxy.maxconn', '0'],
    ['haproxy.timeouts.connect', '0s'],
    ['haproxy.timeouts.connect', '25d'],
    ['haproxy.maxOldWorkers', '0'],
    ['haproxy.accessLog', 'maybe'],
    ['haproxy.log', 'syslog.example.com:514'],
    ['haproxy.log', 'stdout format raw'],
    ['haproxy.statsBind', '127.0.0.1'],
    ['files.mode', '0666'],
    ['files.mode', '0o640'],
    ['files.mode', '0440'],
    ['templates', 'templates\nx'],
    ['apply.settle', '20ms'],
    ['apply.settle', '1s/20ms'],
    ['apply.tidy', '60s'],
    ['apply.tidy', '10m/60s'],
    ['haproxy.spares', 'none'],
    ['haproxy.spares', '-1'],
    ['haproxy.spares', '1001'],
    ['guard.panic', '120%'],
    ['guard.hold', 'forever'],
    ['status.allowedHosts', 'example.com:8480'],
    ['log.level', 'loud'],
  ])('%s: %s', (key, text) => {
    const problems = problemsOf({ flags: { [key]: text } })
    expect(problems.length).toBeGreaterThan(0)
    for (const problem of problems) expect(problem.key.startsWith(key)).toBe(true)
  })

  it('says how a number without a unit could be meant', () => {
    expect(problemsOf({ flags: { 'haproxy.timeouts.client': '5000' } })).toMatchObject([
      { expected: 'a duration with its unit: 5000ms, 5000s, 5000m, 5000h or 5000d' },
    ])
    expect(problemsOf({ flags: { 'guard.panic': '50' } })).toMatchObject([
      { expected: 'a percentage with its sign: 50%' },
    ])
  })

  it('says where a range begins', () => {
    expect(problemsOf({ flags: { 'weave.cidr': '10.2.7.1/16' } })).toMatchObject([
      { expected: 'the first address of the range: 10.2.0.0/16' },
    ])
  })
})

describe('what lands in haproxy.cfg', () => {
  const words = [
    'bin',
    'user',
    'group',
    'chroot',
    'statsSocket',
    'monitor',
    'log',
    'statsBind',
    'bind',
    'trustedProxies',
  ]

  it('is one word each, whatever was written', () => {
    const piece = fc.constantFrom(
      ':80',
      '/a',
      'x',
      ' ',
      '\n',
      '\r',
      '\t',
      '#',
      '"',
      "'",
      '\\',
      '$',
      '{',
      '\u0000',
      '\u00a0',
      '@',
      '1.2.3.4',
    )
    const text = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.array(piece).map((pieces) => pieces.join('')),
    )
    fc.assert(
      fc.property(fc.constantFrom(...words), text, (name, value) => {
        const loaded = loadSettings(inputOf({ flags: { [`haproxy.${name}`]: value } }))
        if (loaded.kind === 'invalid') return
        for (const word of [valueAt(loaded.settings, ['haproxy', name])].flat()) {
          if (word !== null) expect(word).toMatch(/^[\x21-\x7e]+$/)
          if (word !== null) expect(word).not.toMatch(/["'\\#$]/)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  it('is understood by HAProxy in every spelling that we take', () => {
    const folder = mkdtempSync(join(tmpdir(), 'heddle-'))
    try {
      const binds = [':18080', '*:18081', '127.0.0.1:18082', '[::]:18083', '[::1]:18084', '0.0.0.0:18085']
      const logs = ['stdout', '10.0.0.5', '10.0.0.5:1514', '[::1]:514', '/dev/log']
      const ranges = ['10.0.0.0/8', 'fd00::/8', '10.0.0.1/32']
      const { haproxy } = settingsOf({
        flags: { 'haproxy.bind': binds.join(','), 'haproxy.trustedProxies': ranges.join(',') },
      })
      for (const log of logs) settingsOf({ flags: { 'haproxy.log': log } })
      const lines = [
        'global',
        ...logs.map((log) => `  log ${log} local0`),
        'defaults',
        '  mode http',
        '  timeout client 2147483647ms',
        '  timeout connect 1ms',
        '  timeout server 1s',
        'frontend http',
        ...haproxy.bind.map((bind) => `  bind ${bind}`),
        `  http-request deny if { src ${haproxy.trustedProxies.join(' ')} }`,
        '',
      ]
      const file = join(folder, 'haproxy.cfg')
      writeFileSync(file, lines.join('\n'))
      expect(() => execFileSync(haproxyBin, ['-c', '-q', '-f', file], { stdio: 'pipe' })).not.toThrow()
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})

describe('the table of settings', () => {
  it('has a default for every setting that reads as its own value, except for secrets', () => {
    for (const { key, kind, default: standard, isSecret } of settingKeys) {
      if (isSecret) expect(standard, key).toBeNull()
      else
        expect(
          problemsOf({
            flags: {
              [key]: kind === 'list' ? `[${[standard].flat().map((text) => JSON.stringify(text))}]` : String(standard),
            },
          }),
          key,
        ).toEqual([])
    }
  })

  it('has names that nobody shares', () => {
    const names = settingKeys.flatMap(({ variables }) => variables)
    expect(new Set(names).size).toBe(names.length)
  })
})
