import { readFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type DockerEndpoint, dockerSource } from '../../src/sources/docker/source.ts'
import type { Report } from '../../src/sources/source.ts'
import type { Container, Engine, Observation } from '../../src/types.ts'
import { idOf } from '../support/containers.ts'
import { eventually } from '../support/eventually.ts'
import { type FakeDocker, fakeDocker } from '../support/fake-docker.ts'

type Engines = ReadonlyMap<string, Observation<Engine>>

const quick = {
  relistEvery: 60_000,
  timeout: 2000,
  retryAfter: [20, 40, 80],
  backoff: { first: 10, longest: 50, shortest: 10 },
}

const cleanups: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function started(listen: Parameters<typeof fakeDocker>[0] = {}): Promise<FakeDocker> {
  const docker = await fakeDocker(listen)
  cleanups.push(() => docker.close())
  return docker
}

function plain(url: string): DockerEndpoint {
  return { url, ca: null, cert: null, key: null }
}

interface Watch {
  readonly reports: readonly Report<Engines>[]
  readonly last: () => Report<Engines>
  readonly engine: () => Observation<Engine>
  readonly container: (id: string) => Container | undefined
  readonly stop: () => Promise<void>
}

/** Follows engines by their URLs as host1, host2 and so on. */
function watch(urls: readonly (string | DockerEndpoint)[], options: Parameters<typeof dockerSource>[1] = {}): Watch {
  const endpoints = urls.map((url, index) => [`host${index + 1}`, typeof url === 'string' ? plain(url) : url] as const)
  const reports: Report<Engines>[] = []
  const controller = new AbortController()
  const source = dockerSource(new Map(endpoints), { ...quick, ...options })
  const ended = source((report) => reports.push(report), controller.signal)
  const stop = async () => {
    controller.abort()
    await ended
  }
  cleanups.push(stop)
  const last = () => {
    const report = reports.at(-1)
    if (report === undefined) throw new Error('expected a report')
    return report
  }
  const engine = () => {
    const observation = last().value?.get('host1')
    if (observation === undefined) throw new Error('expected host1 to have spoken')
    return observation
  }
  return { reports, last, engine, container: (id) => engine().value.get(idOf(id)), stop }
}

const web = { name: 'web-1', address: '10.2.1.5' }

describe('an engine', () => {
  it('is asked for its events before its containers, by GET of allowed paths only', async () => {
    const docker = await started()
    docker.set('a1', web)
    docker.set('a2', { name: 'old', running: false })
    const source = watch([docker.url])
    await eventually(() => expect(source.engine().evidence).toBe('fresh'))
    docker.emit('start', 'a1')
    docker.emit('disconnect', 'a1', { type: 'network' })
    await eventually(() => expect(docker.requests.length).toBeGreaterThan(4))
    expect(docker.requests.slice(0, 2)).toEqual(['GET /events?filters=...', 'GET /containers/json?all=1'])
    expect(new Set(docker.requests.slice(2))).toEqual(new Set(['GET /containers/ID/json']))
  })

  it('is reported whole once, and nothing secret is kept of it', async () => {
    const docker = await started()
    for (const digit of ['a1', 'a2', 'a3']) docker.set(digit, { name: `web-${digit}`, address: '10.2.1.5' })
    const source = watch([docker.url])
    await eventually(() => expect(source.engine().value.size).toBe(3))
    expect(source.reports.filter((report) => report.value !== null)).toHaveLength(1)
    expect(source.last().status).toMatchObject({ state: 'fresh', error: null, partitions: { total: 1, stale: 0 } })
    expect(JSON.stringify([...source.engine().value])).not.toContain('do-not-keep')
  })

  it('is reported when the last of several has spoken', async () => {
    const docker = await started()
    docker.set('a1', web)
    const silent = await started()
    silent.setFault(() => true)
    const source = watch([docker.url, silent.url], { timeout: 300 })
    await eventually(() => expect(source.last().status.state).toBe('waiting'))
    expect(source.last().value).toBeNull()
    await eventually(() => expect(source.last().value).not.toBeNull())
    expect(source.last().value?.get('host1')?.value.size).toBe(1)
    expect(source.last().value?.get('host2')).toMatchObject({
      evidence: 'stale',
      at: 0,
      why: expect.stringMatching(/no whole answer/),
    })
    expect(source.last().status).toMatchObject({ state: 'stale', at: null, partitions: { total: 2, stale: 1 } })
  })

  it('that does not exist is not waited for', async () => {
    const source = watch([])
    await eventually(() => expect(source.last().value?.size).toBe(0))
    expect(source.last().status.state).toBe('fresh')
  })

  it('whose socket is absent at first is found when it comes', async () => {
    const path = join(tmpdir(), `hd-${process.pid}-late.sock`)
    const source = watch([`unix://${path}`])
    await eventually(() =>
      expect(source.engine()).toMatchObject({ evidence: 'stale', why: expect.stringMatching(/ENOENT/) }),
    )
    expect(source.engine().value.size).toBe(0)
    const docker = await started({ path })
    docker.set('a1', web)
    await eventually(() => expect(source.engine().evidence).toBe('fresh'))
    expect(source.container('a1')).toMatchObject({ name: 'web-1', running: true, addresses: ['10.2.1.5'] })
    expect(source.last().status.errors).toBeGreaterThan(0)
  })

  it('answers over TCP as well', async () => {
    const docker = await started({ tcp: true })
    docker.set('a1', web)
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
  })

  it('answers over TLS to who has the certificate, and to nobody else', async () => {
    const file = (name: string) => new URL(`../fixtures/docker/tls/${name}.pem`, import.meta.url).pathname
    const tls = { cert: readFileSync(file('cert'), 'utf8'), key: readFileSync(file('key'), 'utf8') }
    const docker = await started({ tls })
    docker.set('a1', web)
    const url = docker.url
    const trusted = watch([{ url, ca: file('cert'), cert: file('cert'), key: file('key') }])
    await eventually(() => expect(trusted.container('a1')?.running).toBe(true))
    const stranger = watch([{ url: url.replace('tcp', 'https'), ca: null, cert: null, key: null }])
    await eventually(() =>
      expect(stranger.engine()).toMatchObject({ evidence: 'stale', why: expect.stringMatching(/self-signed/) }),
    )
    const unreadable = watch([{ url, ca: '/nowhere/ca.pem', cert: null, key: null }])
    await eventually(() => expect(unreadable.engine().why).toMatch(/ENOENT.*ca.pem/))
  })
})

describe('a container', () => {
  it('that dies is not running from that event on, though the engine answers nothing more', async () => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    docker.setFault(() => true)
    docker.emit('die', 'a1', { timeNano: Date.now() * 1e6 })
    await eventually(() => expect(source.container('a1')?.running).toBe(false))
  })

  it('is still dead when the engine has gone away since', async () => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    docker.setFault((request) => request.socket.destroy() !== undefined)
    docker.emit('die', 'a1')
    await eventually(() => expect(source.container('a1')?.running).toBe(false))
    docker.cut()
    await eventually(() => expect(source.engine().why).toMatch(/GET \/events/))
    expect(source.container('a1')).toMatchObject({ name: 'web-1', running: false })
  })

  it('that was started again lives on, whatever late news of its earlier death comes', async () => {
    const docker = await started()
    docker.set('a1', { ...web, startedAt: '2026-01-01T10:00:10Z' })
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    const reports = source.reports.length
    docker.emit('die', 'a1', { timeNano: Date.parse('2026-01-01T10:00:09Z') * 1e6 })
    docker.set('b2', { name: 'mark', address: '10.2.1.6' })
    docker.emit('start', 'b2')
    await eventually(() => expect(source.container('b2')?.running).toBe(true))
    const since = source.reports.slice(reports).map((report) => report.value?.get('host1')?.value.get(idOf('a1')))
    expect(since.every((container) => container?.running)).toBe(true)
  })

  it('that starts is found, with the address of its new life', async () => {
    const docker = await started()
    const source = watch([docker.url])
    await eventually(() => expect(source.engine().evidence).toBe('fresh'))
    docker.set('a1', web)
    docker.emit('start', 'a1')
    await eventually(() => expect(source.container('a1')?.addresses).toEqual(['10.2.1.5']))
    docker.emit('die', 'a1')
    docker.set('a1', { ...web, address: '10.2.1.9', startedAt: '2026-01-01T11:00:00Z' })
    docker.emit('start', 'a1')
    await eventually(() =>
      expect(source.container('a1')).toMatchObject({
        running: true,
        addresses: ['10.2.1.9'],
        startedAt: '2026-01-01T11:00:00Z',
      }),
    )
  })

  it('is looked at again when it joins a network or is renamed', async () => {
    const docker = await started()
    docker.set('a1', { name: 'web-1', address: '172.17.0.2' })
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.addresses).toEqual(['172.17.0.2']))
    docker.set('a1', web)
    docker.emit('connect', 'a1', { type: 'network' })
    await eventually(() => expect(source.container('a1')?.addresses).toEqual(['10.2.1.5']))
    docker.set('a1', { ...web, name: 'web-old' })
    docker.emit('rename', 'a1')
    await eventually(() => expect(source.container('a1')?.name).toBe('web-old'))
  })

  it('that gets its address after its start is waited for', async () => {
    const docker = await started()
    docker.set('a1', { name: 'web-1' })
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.addresses).toEqual([]))
    docker.set('a1', web)
    await eventually(() => expect(source.container('a1')?.addresses).toEqual(['10.2.1.5']))
  })

  it('that never gets an address is not asked for without end', async () => {
    const docker = await started()
    docker.set('a1', { name: 'web-1' })
    watch([docker.url], { retryAfter: [1, 1, 1] })
    const inspections = () => docker.requests.filter((request) => request.includes('/ID/')).length
    await eventually(() => expect(inspections()).toBe(4))
    const other = await started()
    other.set('b2', { name: 'mark' })
    watch([other.url], { retryAfter: [1, 1, 1, 1, 1, 1, 1, 1] })
    await eventually(() => expect(other.requests.filter((request) => request.includes('/ID/'))).toHaveLength(9))
    expect(inspections()).toBe(4)
  })

  it('that was removed stays as one that does not run', async () => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    docker.remove('a1')
    docker.emit('destroy', 'a1')
    await eventually(() => expect(source.container('a1')?.running).toBe(false))
  })

  it('that was removed is forgotten when there are too many of them', async () => {
    const docker = await started()
    for (const digit of ['a1', 'a2', 'a3']) docker.set(digit, { name: `web-${digit}`, address: '10.2.1.5' })
    const source = watch([docker.url], { relistEvery: 50, tombstones: { most: 2, age: 3_600_000 } })
    await eventually(() => expect(source.engine().value.size).toBe(3))
    for (const digit of ['a1', 'a2', 'a3']) docker.remove(digit)
    await eventually(() => expect(source.engine().value.size).toBe(2))
    expect([...source.engine().value.values()].some((container) => container.running)).toBe(false)
  })

  it('that was removed is forgotten after a while', async () => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url], { relistEvery: 50, tombstones: { most: 1000, age: 100 } })
    await eventually(() => expect(source.engine().value.size).toBe(1))
    docker.remove('a1')
    await eventually(() => expect(source.engine().value.size).toBe(0))
  })

  it('that did not change keeps its object, and an engine where nothing did keeps its map', async () => {
    const docker = await started()
    docker.set('a1', web)
    docker.set('a2', { name: 'web-2', address: '10.2.1.6' })
    const source = watch([docker.url], { relistEvery: 50 })
    await eventually(() => expect(source.engine().value.size).toBe(2))
    const before = source.engine()
    await eventually(() => expect(source.engine().at).toBeGreaterThan(before.at))
    expect(source.engine().value).toBe(before.value)
    docker.emit('die', 'a2')
    docker.set('a2', { name: 'web-2', running: false })
    await eventually(() => expect(source.container('a2')).toMatchObject({ running: false, addresses: [] }))
    expect(source.container('a1')).toBe(before.value.get(idOf('a1')))
  })
})

describe('when things break', () => {
  it('a stream that is cut is stale and taken up again, with what happened meanwhile', async () => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    docker.set('a1', { ...web, running: false, address: '' })
    docker.set('b2', { name: 'web-2', address: '10.2.1.5' })
    docker.cut()
    await eventually(() => expect(source.container('b2')?.running).toBe(true))
    expect(source.container('a1')?.running).toBe(false)
    expect(source.engine().evidence).toBe('fresh')
    const stale = source.reports.find((report) => report.value?.get('host1')?.evidence === 'stale')
    expect(stale?.value?.get('host1')).toMatchObject({ why: expect.stringMatching(/GET \/events/) })
    expect(stale?.value?.get('host1')?.value.size).toBe(1)
  })

  it('a stream that says nothing any more costs one period of listing', async () => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url], { relistEvery: 100 })
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    docker.set('a1', { ...web, startedAt: '2026-01-01T12:00:00Z', address: '10.2.1.9' })
    docker.set('b2', { name: 'web-2', address: '10.2.1.5' })
    await eventually(() => expect(source.container('a1')?.addresses).toEqual(['10.2.1.9']))
    expect(source.container('b2')?.running).toBe(true)
    docker.remove('b2')
    await eventually(() => expect(source.container('b2')?.running).toBe(false))
    expect(source.last().status.errors).toBe(0)
    await eventually(() => expect(docker.streams()).toBe(1))
  })

  it.each<[string, (docker: FakeDocker) => void, RegExp]>([
    ['garbage instead of an event', (docker) => docker.write('not json\n'), /expected one JSON object a line/],
    ['an event without end', (docker) => docker.write('x'.repeat(300_000)), /a line of more than/],
  ])('%s ends the connection, and a new one begins', async (_case, harm, why) => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url], { maxBytes: 200_000 })
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    harm(docker)
    await eventually(() => {
      expect(source.reports.some((report) => why.test(report.value?.get('host1')?.why ?? ''))).toBe(true)
      expect(source.engine().evidence).toBe('fresh')
    })
    expect(source.container('a1')?.running).toBe(true)
  })

  it.each<[string, Parameters<FakeDocker['setFault']>[0], RegExp]>([
    [
      'an error',
      (_request, response) => {
        response.statusCode = 500
        response.end(JSON.stringify({ message: 'no\u001b[2J' }))
        return true
      },
      /status 500, got .*no\\u001b/,
    ],
    ['a page', (_request, response) => response.end('<html>') !== undefined, /expected JSON, got <html>/],
    ['another answer', (_request, response) => response.end('{}') !== undefined, /expected a list of containers/],
    ['a body without end', (_request, response) => response.end(' '.repeat(300_000)) !== undefined, /more than 200000/],
    [
      'half an answer',
      (_request, response) => {
        response.writeHead(200, { 'Content-Length': '1000' })
        response.write('[')
        setTimeout(() => response.destroy(), 20)
        return true
      },
      /ended early|aborted|hang up/,
    ],
    ['nothing', () => true, /no whole answer within/],
    [
      'another server',
      (_request, response) => {
        response.writeHead(301, { Location: 'http://192.0.2.1/' })
        response.end()
        return true
      },
      /status 301/,
    ],
  ])('%s to a list keeps what was known', async (_case, fault, why) => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url], { relistEvery: 50, timeout: 300, maxBytes: 200_000 })
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    docker.setFault(
      (request, response) => request.url === '/containers/json?all=1' && fault?.(request, response) === true,
    )
    await eventually(() =>
      expect(source.engine()).toMatchObject({ evidence: 'stale', why: expect.stringMatching(why) }),
    )
    expect(source.container('a1')).toMatchObject({ running: true, addresses: ['10.2.1.5'] })
    expect(source.last().status).toMatchObject({ state: 'stale', error: expect.stringMatching(why) })
    docker.setFault(null)
    await eventually(() => expect(source.engine().evidence).toBe('fresh'))
    expect(source.last().status.error).toBeNull()
  })

  it('one container that cannot be inspected leaves the others as they are, and is known from the list', async () => {
    const docker = await started()
    docker.set('a1', web)
    docker.set('b2', { name: 'stuck', address: '10.2.1.6' })
    docker.setFault((request) => request.url?.includes(idOf('b2')) === true)
    const source = watch([docker.url], { timeout: 300 })
    await eventually(() => expect(source.container('b2')).toMatchObject({ running: true, addresses: ['10.2.1.6'] }))
    expect(source.engine().evidence).toBe('stale')
    docker.set('a1', { ...web, address: '10.2.1.9' })
    docker.emit('start', 'a1')
    await eventually(() => expect(source.container('a1')?.addresses).toEqual(['10.2.1.9']))
    docker.setFault(null)
    docker.emit('start', 'b2')
    await eventually(() => expect(source.engine().evidence).toBe('fresh'))
  })

  it('an answer that was on its way when the container died does not bring it back', async () => {
    const docker = await started()
    docker.set('a1', web)
    const source = watch([docker.url])
    await eventually(() => expect(source.container('a1')?.running).toBe(true))
    let release = () => {}
    docker.setFault((request, response) => {
      if (!request.url?.includes(idOf('a1'))) return false
      docker.setFault(null)
      const alive = { Id: idOf('a1'), Name: '/web-1', State: { Running: true, StartedAt: '2026-01-01T10:00:00Z' } }
      release = () => response.end(JSON.stringify(alive))
      return true
    })
    docker.emit('connect', 'a1', { type: 'network' })
    await eventually(() => expect(docker.requests.filter((request) => request.includes('/ID/'))).toHaveLength(2))
    docker.set('a1', { ...web, running: false, address: '' })
    docker.emit('die', 'a1')
    await eventually(() => expect(source.container('a1')?.running).toBe(false))
    const reports = source.reports.length
    release()
    await eventually(() => expect(docker.requests.filter((request) => request.includes('/ID/'))).toHaveLength(3))
    await eventually(() => expect(source.container('a1')?.addresses).toEqual([]))
    const since = source.reports.slice(reports).map((report) => report.value?.get('host1')?.value.get(idOf('a1')))
    expect(since.some((container) => container?.running)).toBe(false)
  })

  it('an engine that ends every connection is asked at most once in the shortest time', async () => {
    const docker = await started()
    const source = watch([docker.url], { backoff: { first: 1, longest: 1, shortest: 600_000 } })
    await eventually(() => expect(source.engine().evidence).toBe('fresh'))
    docker.cut()
    await eventually(() => expect(source.engine().evidence).toBe('stale'))
    const other = await started()
    const mark = watch([other.url])
    await eventually(() => expect(mark.engine().evidence).toBe('fresh'))
    expect(docker.requests).toEqual(['GET /events?filters=...', 'GET /containers/json?all=1'])
  })

  it('a source that is stopped ends at once, in whatever it is', async () => {
    const docker = await started()
    docker.setFault(() => true)
    const source = watch([docker.url, 'unix:///nowhere.sock'])
    await eventually(() => expect(docker.requests).toHaveLength(1))
    await source.stop()
    const following = await started()
    const second = watch([following.url])
    await eventually(() => expect(second.engine().evidence).toBe('fresh'))
    await second.stop()
    await eventually(() => expect(following.streams()).toBe(0))
  })

  it('a URL that is none is an error like any other', async () => {
    const source = watch(['ftp://user:password@host'])
    await eventually(() => expect(source.engine().why).toMatch(/expected http/))
    expect(JSON.stringify(source.reports.map((report) => report.status))).not.toContain('password')
  })
})
