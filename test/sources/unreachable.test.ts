import { describe, expect, it } from 'vitest'
import { reload } from '../../src/haproxy/reload.ts'
import type { Report } from '../../src/sources/source.ts'
import {
  type UnreachableOptions,
  type UnreachableServers,
  unreachableSource,
} from '../../src/sources/unreachable/source.ts'
import { commandsTo } from '../support/cli.ts'
import {
  atEnd,
  httpServer,
  install,
  minimalCandidate,
  ownAddress,
  request,
  startHaproxy,
  until,
  type WorkFolder,
  workFolder,
} from '../support/haproxy.ts'
import { freePort } from '../support/ports.ts'

/** A real HAProxy whose servers refuse connections, and heddle's look at it. */

const quick = {
  looks: { shortest: 20, longest: 100 },
  probes: { every: 1, timeout: 500 },
  backoff: { first: 20, longest: 100 },
}

interface Followed {
  /** Names of those in the newest report. */
  readonly now: () => readonly string[]
  readonly reports: readonly UnreachableServers[]
  readonly end: () => Promise<void>
}

function follow(folder: WorkFolder, options: Partial<UnreachableOptions> = {}): Followed {
  const reports: UnreachableServers[] = []
  const controller = new AbortController()
  const report = ({ value }: Report<UnreachableServers>) => {
    if (value !== null) reports.push(value)
  }
  const ended = unreachableSource(folder, { ...quick, ...options })(report, controller.signal)
  const end = async () => {
    controller.abort()
    await ended
  }
  atEnd(end)
  return { now: () => [...(reports.at(-1)?.keys() ?? [])].sort(), reports, end }
}

/** Where nobody listens until somebody does. */
async function closedPlace() {
  const address = ownAddress()
  const place = { address, port: await freePort(address) }
  return { ...place, name: `${address}:${place.port}`, open: () => httpServer(place) }
}

/** A HAProxy with these servers behind `/backend/`. */
async function site(backends: Readonly<Record<string, readonly string[]>>) {
  const folder = await workFolder()
  const routes = Object.fromEntries(Object.keys(backends).map((name) => [`/${name}/`, name]))
  const candidate = minimalCandidate(folder, { backends, routes })
  await install(folder, candidate)
  await startHaproxy(folder)
  return { folder, candidate, routes }
}

/** Users go on asking until that has come about: what was before the first look does not count. */
async function untilAsked(folder: WorkFolder, backend: string, isSo: () => boolean): Promise<void> {
  await until(async () => {
    await request(folder, { path: `/${backend}/` })
    return isSo()
  })
}

const isThere = (names: readonly string[]) => (followed: Followed) => () =>
  JSON.stringify(followed.now()) === JSON.stringify([...names].sort())
const nobody = isThere([])

describe('a server that refuses connections', () => {
  it('is reported when another one of its backend answers, and until it answers itself', async () => {
    const [live, dead] = [await httpServer(), await closedPlace()]
    const { folder } = await site({ 'shop:a1b2c3': [dead.name, live.name] })
    const followed = follow(folder)
    await untilAsked(folder, 'shop:a1b2c3', isThere([dead.name])(followed))
    const [first] = followed.reports
    expect(first?.get(dead.name)?.why).toBe(
      `HAProxy gets no connection, nor does heddle (connection refused), while ${live.name} answers`,
    )
    // HAProxy has it still, and misses more connections: that is no news
    for (let count = 0; count < 20; count++) await request(folder, { path: '/shop:a1b2c3/' })
    await dead.open()
    await until(nobody(followed))
    expect(followed.reports).toHaveLength(2)
    await followed.end()
  })

  it('stays reported when the last other one refuses them too, which is then reported as well', async () => {
    const [live, dead] = [await httpServer(), await closedPlace()]
    const { folder } = await site({ web: [dead.name, live.name] })
    // not asked again by then: while HAProxy does not miss the other one, it would look as if heddle were cut off
    const followed = follow(folder, { backoff: { first: 60_000, longest: 60_000 } })
    await untilAsked(folder, 'web', isThere([dead.name])(followed))
    await commandsTo(folder, `set server web/${dead.name} state maint`)
    await live.close()
    await untilAsked(folder, 'web', isThere([dead.name, live.name])(followed))
    await followed.end()
  })

  it('is forgotten when it leaves HAProxy', async () => {
    const [live, dead] = [await httpServer(), await closedPlace()]
    const { folder } = await site({ web: [dead.name, live.name] })
    const followed = follow(folder)
    await untilAsked(folder, 'web', isThere([dead.name])(followed))
    await commandsTo(folder, `set server web/${dead.name} state maint`, `del server web/${dead.name}`)
    await until(nobody(followed))
    await followed.end()
  })

  it('stays reported over a reload, and the new worker is looked at', async () => {
    const [live, dead, later] = [await httpServer(), await closedPlace(), await closedPlace()]
    const { folder, routes } = await site({ web: [dead.name, live.name] })
    const followed = follow(folder)
    await untilAsked(folder, 'web', isThere([dead.name])(followed))
    const backends = { web: [`${dead.name} disabled`, live.name, later.name] }
    const next = minimalCandidate(folder, { backends, routes })
    await install(folder, next)
    expect(await reload({ ...folder, expected: { structure: next.structure, revision: next.hash } })).toMatchObject({
      kind: 'reloaded',
    })
    await untilAsked(folder, 'web', isThere([dead.name, later.name])(followed))
    expect(followed.reports).toHaveLength(2)
    await followed.end()
  })
})

describe('a heddle that is not on the network of the containers', () => {
  it('reports nobody, whatever HAProxy misses', async () => {
    const [dead, alias, live] = [await closedPlace(), await closedPlace(), await httpServer()]
    const [otherDead, otherLive] = [await closedPlace(), await httpServer()]
    const { folder } = await site({ far: [dead.name, alias.name], near: [otherDead.name, otherLive.name] })
    // HAProxy reaches it at an address that heddle knows nothing of
    const { address, port } = live
    await commandsTo(folder, `set server far/${alias.name} addr ${address} port ${port}`)
    const followed = follow(folder)
    // in this order, so that no look sees the second alone
    await until(async () => {
      for (const path of ['/far/', '/near/']) await request(folder, { path })
      return followed.now().includes(otherDead.name)
    })
    await otherDead.open()
    await until(nobody(followed))
    expect(followed.reports.flatMap((report) => [...report.keys()])).toEqual([otherDead.name])
    // as soon as it is on it, it sees who is at fault
    await alias.open()
    await untilAsked(folder, 'far', () => followed.now().includes(dead.name))
    await followed.end()
  })

  it('gives up what it has found', async () => {
    const [dead, alias, live] = [await closedPlace(), await closedPlace(), await httpServer()]
    const { folder } = await site({ web: [dead.name, alias.name] })
    await commandsTo(folder, `set server web/${alias.name} addr ${live.address} port ${live.port}`)
    const door = await alias.open()
    const followed = follow(folder)
    await untilAsked(folder, 'web', isThere([dead.name])(followed))
    await commandsTo(folder, `set server web/${dead.name} state maint`)
    await door.close()
    await until(nobody(followed))
    expect((await request(folder, { path: '/web/' })).status).toBe(200)
    await followed.end()
  })
})

describe('a HAProxy that does not answer', () => {
  it('is waited for, and asked again as soon as it is there', async () => {
    const [live, dead, folder] = [await httpServer(), await closedPlace(), await workFolder()]
    const followed = follow(folder)
    await install(folder, minimalCandidate(folder, { backends: { web: [dead.name, live.name] } }))
    const first = await startHaproxy(folder)
    await untilAsked(folder, 'web', isThere([dead.name])(followed))
    await first.stop()
    await startHaproxy(folder)
    expect(followed.now()).toEqual([dead.name])
    await dead.open()
    await until(nobody(followed))
    await followed.end()
  })

  it('keeps nobody from ending', async () => {
    const followed = follow(await workFolder())
    await followed.end()
    expect(followed.reports).toEqual([])
  })
})
