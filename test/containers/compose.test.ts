import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { findCompose } from '../../scripts/tools.mjs'
import { parseListenAddress } from '../../src/settings/addresses.ts'
import { loadSettings } from '../../src/settings/load.ts'
import { finished, repository, users } from '../support/images.ts'

/** docker-compose.yml as Compose itself understands it. */

const network = z.object({ ipv4_address: z.string().optional() }).nullable()
const service = z.object({
  image: z.string(),
  build: z.object({ dockerfile: z.string().default('Dockerfile') }).optional(),
  pull_policy: z.string().optional(),
  user: z.string().optional(),
  group_add: z.array(z.string()).default([]),
  read_only: z.boolean().default(false),
  cap_drop: z.array(z.string()).default([]),
  cap_add: z.array(z.string()).default([]),
  privileged: z.boolean().default(false),
  security_opt: z.array(z.string()).default([]),
  restart: z.string().optional(),
  network_mode: z.string().optional(),
  networks: z.record(z.string(), network).default({}),
  depends_on: z.record(z.string(), z.object({ condition: z.string() })).default({}),
  environment: z.record(z.string(), z.string()).default({}),
  sysctls: z.record(z.string(), z.string()).default({}),
  deploy: z.object({ replicas: z.number().optional() }).optional(),
  ports: z
    .array(z.object({ host_ip: z.string().optional(), target: z.number(), published: z.string().optional() }))
    .default([]),
  volumes: z
    .array(z.object({ type: z.string(), source: z.string(), target: z.string(), read_only: z.boolean().optional() }))
    .default([]),
})
const subnet = z.object({ subnet: z.string(), ip_range: z.string(), gateway: z.string() })
const project = z.object({
  services: z.record(z.string(), service),
  networks: z.record(z.string(), z.object({ name: z.string(), ipam: z.object({ config: z.array(subnet) }) })),
  volumes: z.record(z.string(), z.unknown()),
})

const compose = findCompose()

describe.skipIf(compose === null)('docker-compose.yml', () => {
  let found: z.infer<typeof project>

  beforeAll(async () => {
    const [command = '', ...args] = compose ?? []
    const file = join(repository, 'docker-compose.yml')
    found = project.parse(JSON.parse(await finished(command, [...args, '-f', file, 'config', '--format', 'json'])))
  })

  const get = (name: string) => service.parse(found.services[name])
  const mounts = (name: string) => get(name).volumes.map(({ source, read_only }) => [source, read_only === true])

  it('has what it takes, each service without rights, on a root that can not be written', () => {
    expect(Object.keys(found.services).sort()).toEqual(
      ['api', 'consul', 'haproxy', 'heddle', 'prometheus', 'shop', 'token'].sort(),
    )
    for (const [name, one] of Object.entries(found.services)) {
      expect([name, one]).toMatchObject([
        name,
        {
          read_only: true,
          cap_drop: ['ALL'],
          cap_add: [],
          privileged: false,
          security_opt: ['no-new-privileges:true'],
        },
      ])
      expect([name, one.restart]).toEqual([name, name === 'token' ? 'no' : 'unless-stopped'])
    }
  })

  it('runs images of exact versions, and builds its own instead of asking for them', () => {
    for (const [name, { image, pull_policy }] of Object.entries(found.services)) {
      expect(image).toMatch(/:v?\d+\.\d+\.\d+$/)
      expect([name, pull_policy]).toEqual([name, image.startsWith('heddle') ? 'never' : undefined])
    }
    expect(get('heddle').build?.dockerfile).toBe('Dockerfile')
    expect(get('haproxy').build?.dockerfile).toBe('haproxy/Dockerfile')
  })

  it('leaves users to the images, where they are two with one group, and roots to nobody', () => {
    expect([get('heddle').user, get('haproxy').user]).toEqual([undefined, undefined])
    for (const name of ['consul', 'prometheus']) expect(get(name).user).toMatch(/^[1-9]\d*:[1-9]\d*$/)
    expect(get('prometheus').group_add).toEqual([String(users.heddle.gid)])
  })

  it('has the addresses of a weave host', () => {
    expect(found.networks['weave']).toMatchObject({
      name: 'weave',
      ipam: { config: [{ subnet: '10.2.0.0/16', ip_range: '10.2.1.0/24', gateway: '10.2.0.1' }] },
    })
    for (const name of ['consul', 'shop', 'api']) expect(Object.keys(get(name).networks)).toEqual(['weave'])
    for (const name of ['haproxy', 'heddle']) expect(Object.keys(get(name).networks).sort()).toEqual(['admin', 'weave'])
    for (const name of ['shop', 'api']) expect(get(name).deploy?.replicas).toBe(2)
  })

  it('starts HAProxy without waiting for anybody, and the others when there is a token', () => {
    expect(get('haproxy').depends_on).toEqual({})
    const whenDone = { token: { condition: 'service_completed_successfully' } }
    for (const name of ['heddle', 'prometheus']) expect(get(name).depends_on).toEqual(whenDone)
    expect(get('token').network_mode).toBe('none')
  })

  it('lets HAProxy have port 80 as a user, and only read what heddle writes', () => {
    expect(get('haproxy').sysctls).toEqual({ 'net.ipv4.ip_unprivileged_port_start': '0' })
    expect(mounts('haproxy')).toEqual([
      ['revisions', true],
      ['sockets', false],
    ])
    expect(mounts('heddle')).toEqual([
      ['revisions', false],
      ['sockets', true],
      ['token', true],
    ])
  })

  it('starts heddle with settings that it accepts', () => {
    const loaded = loadSettings({ file: null, env: get('heddle').environment, flags: new Map(), isRoot: false })
    expect(loaded).toMatchObject({
      kind: 'ok',
      settings: { status: { allowedHosts: ['localhost', 'heddle'], tokenFile: '/run/heddle-token/token' } },
    })
  })

  it("binds HAProxy's statistics to the admin network and no other, where Prometheus asks for them", () => {
    const { environment } = get('heddle')
    const address = get('haproxy').networks['admin']?.ipv4_address
    expect(parseListenAddress(environment['HEDDLE_HAPROXY_STATS_BIND'] ?? '')).toEqual({ address, port: 8404 })
    expect(Object.keys(get('prometheus').networks)).toEqual(['admin'])
    const settings = readFileSync(join(repository, 'prometheus', 'prometheus.yml'), 'utf8')
    for (const place of ['heddle:8480', 'haproxy:8404', '/run/heddle-token/token']) expect(settings).toContain(place)
    expect(get('prometheus').volumes).toMatchObject([
      { type: 'bind', source: join(repository, 'prometheus'), target: '/etc/prometheus', read_only: true },
      { type: 'volume', source: 'token', target: '/run/heddle-token', read_only: true },
    ])
  })

  it('opens ports on this machine only', () => {
    const ports = Object.entries(found.services).flatMap(([name, { ports }]) =>
      ports.map(({ host_ip, published, target }) => `${name} ${host_ip}:${published} ${target}`),
    )
    expect(ports.sort()).toEqual([
      'haproxy 127.0.0.1:8080 80',
      'heddle 127.0.0.1:8480 8480',
      'prometheus 127.0.0.1:9090 9090',
    ])
  })
})
