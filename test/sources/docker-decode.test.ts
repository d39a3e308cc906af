import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeContainer, decodeEvent, decodeList } from '../../src/sources/docker/decode.ts'
import { container, fixture, idOf, recorded } from '../support/containers.ts'

const web1 = '8db1c8b72d81cc92a0f13b088c10135dcf9066bbb1099ace8921cd84cbbfc319'

describe('an inspected container', () => {
  it('is what Docker says of it, without environment, labels and command', () => {
    expect(recorded('running')).toEqual({
      id: web1,
      name: 'web-1',
      running: true,
      startedAt: '2026-11-24T01:43:59.924085348Z',
      network: { kind: 'own' },
      addresses: ['10.2.1.0'],
      ports: [8080],
      published: [{ hostAddress: '0.0.0.0', hostPort: 18080, containerPort: 8080 }],
    })
  })

  it('that was stopped has no address and publishes nothing', () => {
    expect(recorded('stopped')).toMatchObject({ running: false, addresses: [], ports: [8080], published: [] })
  })

  it('in the network of its host has no address', () => {
    expect(recorded('hostnet')).toMatchObject({ network: { kind: 'host' }, addresses: [] })
  })

  it('in the network of another container names it', () => {
    expect(recorded('peer')).toMatchObject({ network: { kind: 'container', id: web1 }, addresses: [] })
  })

  it('on several networks has the top-level address first, then those of its networks by name', () => {
    expect(recorded('onuser').addresses).toEqual(['10.2.1.0', '10.9.0.2'])
    const networks = { b: { IPAddress: '10.0.0.2' }, B: { IPAddress: '10.0.0.3' }, a: { IPAddress: '10.0.0.1' } }
    const raw = { Id: web1, Name: '/x', NetworkSettings: { IPAddress: '10.2.1.9', Networks: networks } }
    expect(decodeContainer(raw)?.addresses).toEqual(['10.2.1.9', '10.0.0.3', '10.0.0.1', '10.0.0.2'])
  })

  it('listens on TCP ports that are exposed, though not published', () => {
    const raw = {
      Id: web1,
      Name: '/multi',
      Config: { ExposedPorts: { '9090/tcp': {}, '53/udp': {} } },
      NetworkSettings: {
        Ports: {
          '8080/tcp': [
            { HostIp: '0.0.0.0', HostPort: '18100' },
            { HostIp: '::', HostPort: '18100' },
            { HostIp: '127.0.0.1', HostPort: '18102' },
          ],
          '8081/udp': [{ HostIp: '0.0.0.0', HostPort: '18101' }],
          '7070/tcp': null,
          '99999/tcp': null,
        },
      },
    }
    expect(decodeContainer(raw)).toMatchObject({
      ports: [7070, 8080, 9090],
      published: [
        { hostAddress: '0.0.0.0', hostPort: 18100, containerPort: 8080 },
        { hostAddress: '127.0.0.1', hostPort: 18102, containerPort: 8080 },
      ],
    })
  })

  it.each([
    ['paused', { Running: true, Paused: true }, true],
    ['waiting for its next restart', { Running: true, Restarting: true }, false],
    ['dead', { Running: false, Dead: true }, false],
  ])('that is %s', (_case, state, running) => {
    expect(decodeContainer({ Id: web1, Name: '/x', State: state })?.running).toBe(running)
  })

  it.each([
    ['an error', fixture('docker/container_inspect_404.json')],
    ['nothing', null],
    ['a list', []],
    ['no id', { Name: '/x' }],
    ['no name', { Id: web1 }],
    ['a path for an id', { Id: '../../info', Name: '/x' }],
  ])('%s is none', (_case, raw) => {
    expect(decodeContainer(raw)).toBeNull()
  })

  it('has no addresses but IPv4 ones', () => {
    const raw = { Id: web1, Name: '/x', NetworkSettings: { IPAddress: 'evil', Networks: { a: { IPAddress: '::1' } } } }
    expect(decodeContainer(raw)?.addresses).toEqual([])
  })

  it('can be anything at all without an exception', () => {
    const part = fc.oneof(fc.jsonValue(), fc.constant(web1))
    const keys = ['Id', 'Name', 'Names', 'State', 'Config', 'HostConfig', 'NetworkSettings', 'Ports']
    const raw = fc.record(Object.fromEntries(keys.map((key) => [key, part])), { requiredKeys: [] })
    fc.assert(fc.property(fc.oneof(raw, fc.jsonValue()), (value) => void decodeContainer(value)))
  })
})

describe('a listed container', () => {
  it('is understood as well, as far as the list goes', () => {
    const rows = decodeList(fixture('docker/containers_json.json'))
    expect(rows?.map((row) => [row.name, row.running, ...row.addresses])).toEqual([
      ['web-1', true, '10.2.1.0'],
      ['peer', true],
      ['hostnet', true],
      ['api-1', true, '10.2.1.2'],
      ['web-2', true, '10.2.1.1'],
    ])
    expect(rows?.find((row) => row.name === 'api-1')).toMatchObject({
      startedAt: '',
      ports: [8080, 9090],
      published: [
        { hostAddress: '0.0.0.0', hostPort: 18090, containerPort: 8080 },
        { hostAddress: '0.0.0.0', hostPort: 18091, containerPort: 9090 },
      ],
    })
  })

  it('has its own name, not that of a link to it', () => {
    expect(decodeContainer({ Id: web1, Names: ['/other/alias', '/web-1'], State: 'exited' })).toMatchObject({
      name: 'web-1',
      running: false,
    })
  })

  it('is left out when it is none, and no list is no answer', () => {
    expect(decodeList([null, { Id: 'x' }])).toEqual([])
    expect(decodeList({ message: 'no' })).toBeNull()
  })
})

describe('an event', () => {
  it('of the recorded stream is a death or something to look at', () => {
    const text = readFileSync(new URL('../fixtures/docker/events.jsonl', import.meta.url), 'utf8')
    const events = text.trim().split('\n').map(decodeEvent)
    expect(events.map((event) => [event?.kind, event?.id.slice(0, 4)])).toEqual([
      ['touched', '8db1'],
      ['died', '8db1'],
      ['touched', '8db1'],
      ['touched', '8db1'],
      ['died', '8db1'],
      ['touched', '8db1'],
      ['touched', 'f4f2'],
      ['touched', '99c8'],
    ])
    expect(events[1]?.at).toBeCloseTo(1795484717028, -1)
  })

  it.each(['exec_start: true', 'exec_die', 'health_status: healthy', 'attach', 'top'])(
    '%s is of no concern',
    (action) => {
      const event = { Type: 'container', Action: action, Actor: { ID: container('a1', 'x').id } }
      expect(decodeEvent(JSON.stringify(event))).toBeNull()
    },
  )

  it('of something else than a container is of no concern', () => {
    expect(decodeEvent(JSON.stringify({ Type: 'image', Action: 'start', Actor: { ID: idOf('a') } }))).toBeNull()
    expect(decodeEvent('null')).toBeNull()
  })
})
