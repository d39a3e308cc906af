import { describe, expect, it } from 'vitest'
import { changedKeys, withRestartKeysKept } from '../../src/settings/changes.ts'
import { settingKeys } from '../../src/settings/keys.ts'
import { consulSettings, modelSettings, renderSettings } from '../../src/settings/projections.ts'
import { settingsOf } from './load.ts'

/** Another value than the default, for every setting. */
const others: Readonly<Record<string, string>> = {
  'consul.address': 'http://other:8500',
  'consul.token': 'other',
  'consul.tokenFile': '/other',
  'consul.datacenter': 'other',
  'consul.tls.ca': '/other',
  'consul.tls.cert': '/other',
  'consul.tls.key': '/other',
  'consul.tls.serverName': 'other',
  'consul.watch': 'nodes',
  'consul.maxConnections': '99',
  'consul.filter': 'other',
  'expose.by': 'all',
  'expose.prefix': 'other',
  'expose.domain': 'other',
  'weave.cidr': '10.3.0.0/16',
  'weave.reserved': '10.3.0.0/24',
  'weave.docker': '{other: "tcp://other:1"}',
  'weave.node': 'other',
  'weave.router': 'http://other:1',
  'weave.fallback': 'node',
  'haproxy.process': 'spawn',
  'haproxy.bin': 'other',
  'haproxy.directory': '/other',
  'haproxy.masterSocket': '/other',
  'haproxy.statsSocket': '/other',
  'haproxy.user': 'other',
  'haproxy.group': 'other',
  'haproxy.chroot': '/other',
  'haproxy.socketGid': '99',
  'haproxy.bind': ':99',
  'haproxy.acceptProxy': '10.0.0.0/8',
  'haproxy.trustedProxies': '10.0.0.0/8',
  'haproxy.monitor': ':99/other',
  'haproxy.maxconn': '99',
  'haproxy.timeouts.connect': '99s',
  'haproxy.timeouts.client': '99s',
  'haproxy.timeouts.server': '99s',
  'haproxy.timeouts.httpRequest': '99s',
  'haproxy.timeouts.httpKeepAlive': '99s',
  'haproxy.timeouts.queue': '99s',
  'haproxy.timeouts.tunnel': '99s',
  'haproxy.timeouts.clientFin': '99s',
  'haproxy.hardStopAfter': '99s',
  'haproxy.maxOldWorkers': '99',
  'haproxy.spares': '99',
  'haproxy.paths': 'plain',
  'haproxy.headerNames': 'reject',
  'haproxy.accessLog': 'off',
  'haproxy.log': 'stderr',
  'haproxy.statsBind': ':99',
  'haproxy.maxStartAge': '99s',
  'files.gid': '99',
  'files.mode': '0600',
  templates: '/other',
  'apply.settle.quiet': '99ms',
  'apply.settle.longest': '99s',
  'apply.reloadEvery': '99s',
  'apply.tidy.quiet': '99s',
  'apply.tidy.longest': '99h',
  'apply.verify': '99s',
  'apply.persist': '99s',
  'guard.window': '99s',
  'guard.hold': '99s',
  'guard.panic': '99%',
  'guard.doubtful': '99s',
  'guard.unreachable': 'off',
  'status.listen': '127.0.0.1:99',
  'status.allowedHosts': 'other',
  'status.token': 'other',
  'status.tokenFile': '/other',
  'control.socket': '/other',
  'log.level': 'debug',
  'log.format': 'json',
}
/** Settings that only go together. */
const companions: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  'consul.tls.cert': { 'consul.tls.key': '/k' },
  'consul.tls.key': { 'consul.tls.cert': '/c' },
}

describe('a changed setting', () => {
  const old = settingsOf()

  it('is tried for every key there is', () => {
    expect(Object.keys(others)).toEqual(settingKeys.map(({ key }) => key))
  })

  it.each(settingKeys.map(({ key, change }) => [key, change] as const))('%s is %s', (key, change) => {
    const next = settingsOf({ flags: { [key]: others[key] ?? '', ...companions[key] } })
    const changes = changedKeys(old, next)
    expect(changes[change]).toContain(key)
    const kept = withRestartKeysKept(old, next)
    expect(changedKeys(old, kept)).toEqual({ hot: changes.hot, restart: [] })
    expect(changedKeys(next, kept)).toEqual({ hot: [], restart: changes.restart })
  })

  it('is none when only its spelling changed', () => {
    const next = settingsOf({ yaml: 'apply: {reloadEvery: 2000ms}\nweave: {reserved: ["10.2.0.0/24"]}' })
    expect(changedKeys(old, next)).toEqual({ hot: [], restart: [] })
  })

  it('is none when only the order of Docker engines changed', () => {
    const [one, other] = ['{a: "tcp://a:1", b: "tcp://b:1"}', '{b: "tcp://b:1", a: "tcp://a:1"}'].map((text) =>
      settingsOf({ flags: { 'weave.docker': text } }),
    )
    expect(changedKeys(one ?? old, other ?? old)).toEqual({ hot: [], restart: [] })
  })
})

describe('hot and restart', () => {
  it('are divided as documented', () => {
    const hot = settingKeys.filter(({ change }) => change === 'hot').map(({ key }) => key)
    for (const group of ['expose', 'weave', 'apply', 'guard', 'log', 'haproxy.timeouts']) {
      const keys = settingKeys.map(({ key }) => key).filter((key) => key.startsWith(`${group}.`))
      expect(keys.filter((key) => !hot.includes(key))).toEqual([])
    }
    for (const key of ['directory', 'masterSocket', 'statsSocket', 'process', 'bind'])
      expect(hot).not.toContain(`haproxy.${key}`)
    expect(hot).not.toContain('status.listen')
  })
})

describe('what the parts of heddle get', () => {
  const settings = settingsOf({
    flags: {
      'expose.domain': 'apps.example',
      'consul.tokenFile': '/t',
      'haproxy.bind': ':8080',
      'weave.fallback': 'node',
    },
  })

  it('is for the model what routes and addresses depend on', () => {
    expect(modelSettings(settings)).toEqual({
      expose: { by: 'tag', prefix: 'heddle', domain: 'apps.example' },
      weave: { cidr: '10.2.0.0/16', reserved: ['10.2.0.0/24'], fallback: 'node' },
    })
  })

  it('is for rendering nothing but what lands in haproxy.cfg', () => {
    const { bin, directory, process, masterSocket, maxStartAge, ...rendered } = settings.haproxy
    expect([bin, directory, process, masterSocket, maxStartAge]).not.toContain(undefined)
    expect(renderSettings(settings)).toEqual(rendered)
  })

  it('is for Consul how to reach it and what to read', () => {
    expect(consulSettings(settings)).toEqual({
      address: 'http://127.0.0.1:8500',
      token: null,
      tokenFile: '/t',
      datacenter: null,
      tls: { ca: null, cert: null, key: null, serverName: null },
      watch: 'auto',
      maxConnections: null,
      filter: null,
      exposePrefix: 'heddle',
      exposeBy: 'tag',
    })
  })
})
