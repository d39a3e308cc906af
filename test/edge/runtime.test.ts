import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Instance } from '../../src/types.ts'
import { startEdge } from '../support/edge.ts'
import { at, body, containers } from '../support/edge-site.ts'
import { haproxyBin, request, temporaryFolder, until } from '../support/haproxy.ts'
import { startTraffic } from '../support/traffic.ts'
import { instance } from '../support/worlds.ts'

/** Changes of instances and routes, told to a running HAProxy: none of them is a reload. */

/** HAProxy 2.6 closes idle connections to a server a part every five seconds, and deletes it when none is left. */
const untilDeleted = 40_000

describe('instances that come, go, sicken and recover', () => {
  it('lose no request and need no reload', async () => {
    const [a, b, c] = await containers('s0', 's1', 's2')
    const [one, two, three] = [at('web', a, 'shop.example'), at('web', b, 'shop.example'), at('web', c, 'shop.example')]
    const edge = await startEdge([one, two])
    await edge.settled()
    const { pid } = await edge.readBack()
    const traffic = startTraffic(edge.folder, { host: 'shop.example' })
    const steps: readonly (readonly Instance[])[] = [
      [one, two, three],
      [one, { ...two, health: 'critical' }, three],
      [one, two, three],
      [{ ...one, weights: { passing: 9, warning: 1 } }, two, three],
      [{ ...one, health: 'maintenance' }, two, three],
      [two, three],
      [three],
      [one, two, three],
    ]
    for (let round = 0; round < 3; round++) {
      for (const instances of steps) {
        edge.show(instances)
        await edge.settled(untilDeleted)
      }
    }
    await traffic.stop()
    expect(traffic.failures).toEqual([])
    expect(traffic.count()).toBeGreaterThan(100)
    expect((await edge.readBack()).pid).toBe(pid)
    expect(edge.state().haproxy.reloads).toEqual({ success: 0, failure: 0 })
  }, 120_000)

  it('are told at once, and journaled before', async () => {
    const [a, b] = await containers('s0', 's1')
    const [one, two] = [at('web', a, 'shop.example'), at('web', b, 'shop.example')]
    const edge = await startEdge([one])
    await edge.settled()
    edge.show([one, two])
    const { history, candidate } = await edge.settled()
    expect(history.at(-1)).toMatchObject({
      hash: candidate?.hash,
      action: 'runtime',
      cause: ['catalog'],
      diff: { servers: { added: [`web/${b.name}`], removed: [], changed: [] } },
    })
    expect(edge.turns.findLast(({ change }) => change !== null)?.durations).not.toHaveProperty('validate')
  })
})

describe('routes of backends that are there', () => {
  it('come, change and go without a reload', async () => {
    const [a] = await containers('s0')
    const web = at('web', a, 'shop.example')
    const edge = await startEdge([web])
    await edge.settled()
    const show = async (...routes: readonly string[]) => {
      edge.show([{ ...web, tags: routes.map((route) => `heddle.route=${route}`) }])
      await edge.settled()
    }
    const sent = async (path: string) =>
      (await request(edge.folder, { host: 'shop.example', path })).body.split('\n')[1]
    await show('shop.example', 'other.example/api')
    expect(await body(edge, 'other.example', '/api')).toBe('s0')
    await show('shop.example strip=/ add=/v1')
    expect(await body(edge, 'other.example', '/api')).toBe('404')
    await show('shop.example/api strip add=/v2')
    expect(await sent('/api/x')).toBe('/v2/x')
    await show('shop.example/api strip add=/v3')
    expect(await sent('/api/x')).toBe('/v3/x')
    expect(edge.state().haproxy.reloads).toEqual({ success: 0, failure: 0 })
  })
})

describe('a burst of a thousand changes', () => {
  it('ends in the right state right after it, without a reload', async () => {
    const many = (round: number) =>
      Array.from({ length: 1000 }, (_, index) =>
        instance(`svc-${index % 50}`, `i${index}`, {
          address: `127.5.${Math.floor(index / 250) + (index % 3 === round % 3 ? 10 : 0)}.${1 + (index % 250)}`,
          tags: [`heddle.route=svc-${index % 50}.example`],
          health: index % 7 === round % 7 ? 'critical' : 'passing',
        }),
      )
    const edge = await startEdge(many(0))
    await edge.settled()
    for (let round = 1; round <= 10; round++) {
      edge.show(many(round))
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    const { candidate, running } = await edge.settled()
    expect(running?.revision).toBe(candidate?.hash)
    const read = await edge.readBack()
    const states = [...read.servers.values()].flatMap((own) => [...own.values()].map(({ state }) => state))
    expect(states.filter((state) => state === 'maint')).toHaveLength(
      many(10).filter((one) => one.health === 'critical').length,
    )
    expect(states).toHaveLength(1000)
    expect(edge.state().haproxy.reloads).toEqual({ success: 0, failure: 0 })
  })
})

describe('the files on disk', () => {
  it('follow what changes, so that a HAProxy which restarts serves the same', async () => {
    const [a, b] = await containers('s0', 's1')
    const edge = await startEdge([at('web', a, 'shop.example')])
    await edge.settled()
    edge.show([at('web', b, 'shop.example'), at('api', a, 'api.example')])
    const { candidate } = await edge.settled()
    await until(() => edge.installed().then((hash) => hash === candidate?.hash))
    process.kill((await edge.readBack()).pid, 'SIGKILL')
    await until(async () => (await body(edge, 'shop.example').catch(() => '')) === 's1')
    expect(await body(edge, 'api.example')).toBe('s0')
    const read = await edge.readBack()
    expect(read.revision).toBe(candidate?.hash)
    // it began with its own section
    expect(read.seats?.size).toBe(0)
    await until(() => edge.state().running?.pid === read.pid)
    expect(edge.turns.flatMap(({ drift }) => drift.map(({ what }) => what))).toContain('worker')
  })
})

describe('an edge where nothing happens', () => {
  it('turns a few times a second, and no more', async () => {
    const [a] = await containers('s0')
    const web = at('web', a, 'shop.example')
    const edge = await startEdge([web])
    await edge.settled()
    edge.show([{ ...web, weights: { passing: 3, warning: 1 } }])
    await edge.settled()
    // files, memory, a reading of everything: all that follows a change
    await until(() => edge.turns.some(({ check }) => check !== null))
    const [turns, started] = [edge.turns.length, performance.now()]
    await until(() => performance.now() - started > 3_000)
    expect(edge.turns.length - turns).toBeLessThan(60)
  })
})

describe('a set of files that nobody has checked as a whole', () => {
  it('is checked when nobody waits for it, and a refusal is counted and shown as what it is', async () => {
    const folder = await temporaryFolder()
    const [bin, refuses] = [join(folder, 'haproxy'), join(folder, 'refuses')]
    const refusal = `[ "$1" = -c ] && [ -e ${refuses} ] && { echo 'no way' >&2; exit 1; }`
    await writeFile(bin, `#!/bin/sh\n${refusal}\nexec ${haproxyBin} "$@"\n`, { mode: 0o755 })
    const [a, b] = await containers('s0', 's1')
    const web = at('web', a, 'shop.example')
    const edge = await startEdge([web], { bin })
    await edge.settled()
    edge.show([web, at('web', b, 'shop.example')])
    await until(() => edge.turns.some(({ check }) => check === 'success'))

    await writeFile(refuses, '')
    edge.show([web])
    // checks keep to a hundredth of the time: one that took 0.1 s lets the next one wait for 10 s
    await until(() => edge.turns.some(({ check }) => check === 'failure'), 60_000)
    expect(edge.state().notices.get('check')).toContain('this is a bug of heddle')
    expect(await body(edge, 'shop.example')).toBe('s0')
    // from now on nothing is installed unchecked, and traffic follows all the same
    const before = await edge.installed()
    edge.show([web, at('web', b, 'shop.example', { weights: { passing: 5, warning: 1 } })])
    await edge.settled()
    await until(() => edge.state().haproxy.error?.includes('no way'))
    expect(await edge.installed()).toBe(before)

    await rm(refuses)
    await until(async () => (await edge.installed()) !== before)
    await until(() => edge.state().haproxy.error === null)
  }, 120_000)
})

describe('a server that somebody else has added just before', () => {
  it('is taken as it is read back, and made what it should be', async () => {
    const [a, b] = await containers('s0', 's1')
    const web = at('web', a, 'shop.example')
    const edge = await startEdge([web])
    await edge.settled()
    // the command that adds it is refused
    await edge.meddle(`add server web/${b.name} ${b.name}`)
    edge.show([web, at('web', b, 'shop.example')])
    await edge.settled()
    expect(edge.state().running?.servers.get('web')?.get(b.name)?.state).toBe('ready')
  })
})

describe('another heddle after this one', () => {
  it('knows what the servers were made from, so that a change meanwhile is no reload and says what it is', async () => {
    const [a, b] = await containers('s0', 's1')
    const tags = ['heddle.route=shop.example', 'heddle.maxconn=7']
    const web = at('web', a, '', { tags })
    const first = await startEdge([web], { isHaproxyKept: true })
    await first.settled()
    const memory = first.memory()
    await first.end()

    const next = await startEdge([web, at('web', b, '', { tags })], { memory, after: first })
    const { history } = await next.settled()
    expect(history.at(-1)).toMatchObject({
      action: 'runtime',
      diff: { servers: { added: [`web/${b.name}`], changed: [] } },
    })
    next.show([web].map((one) => ({ ...one, tags: ['heddle.route=shop.example', 'heddle.maxconn=9'] })))
    await next.settled()
    expect(next.turns.flatMap(({ steps }) => steps.map((step) => step.do))).toContain('limit')
    expect(next.state().haproxy.reloads).toEqual({ success: 0, failure: 0 })
  })

  it('goes on without a reload where a service sits in a spare section', async () => {
    const [a, b] = await containers('s0', 's1')
    const web = at('web', a, 'shop.example')
    const api = at('api', b, 'api.example')
    const first = await startEdge([web], {
      settings: { tidy: { quiet: 60_000, longest: 60_000 } },
      isHaproxyKept: true,
    })
    await first.settled()
    first.show([web, api])
    await first.settled()
    const { pid, seats } = await first.readBack()
    expect(seats?.get('api')).toBe(':spare1')
    const memory = first.memory()
    await first.end()

    const next = await startEdge([web, api, at('web', b, 'shop.example')], {
      memory,
      after: first,
      settings: { tidy: { quiet: 60_000, longest: 60_000 } },
    })
    const { running } = await next.settled()
    expect(running?.pid).toBe(pid)
    expect(running?.seats?.get('api')).toBe(':spare1')
    expect(running?.servers.get('web')?.size).toBe(2)
    expect(next.state().haproxy.reloads).toEqual({ success: 0, failure: 0 })
  })
})
