import { isDeepStrictEqual } from 'node:util'
import { afterEach, describe, expect, it } from 'vitest'
import { ask } from '../../src/haproxy/cli.ts'
import type { Instance, Running } from '../../src/types.ts'
import { type Edge, startEdge } from '../support/edge.ts'
import { until } from '../support/haproxy.ts'
import { type Random, randomOf } from '../support/random.ts'
import { instance } from '../support/worlds.ts'

/**
 * Random sequences of changes, with reloads, killed workers and foreign hands in between, against a real HAProxy. Whatever
 * happened on the way, the end has to be what a fresh edge with the same memory has.
 */

const names = ['web', 'api', 'shop', 'cart', 'mail', 'odd name'] as const

interface Site {
  readonly edge: Edge
  readonly random: Random
  instances: readonly Instance[]
}

const routesOf = (name: string) => [
  `${name.replace(' ', '')}.example`,
  `shared.example/${name.replace(' ', '')}`,
  `shared.example/${name.replace(' ', '')} strip timeout=30s`,
  `shared.example/${name.replace(' ', '')} add=/v2`,
  `shared.example/other`,
  `*.${name.replace(' ', '')}.example/a$ host=inside.example`,
]
const options = [
  'heddle.sticky',
  'heddle.balance=leastconn',
  'heddle.maxconn=7',
  'heddle.maxconn=9',
  'heddle.proto=h2c',
]

let next = 0
function newInstance(random: Random): Instance {
  const service = random.one(names)
  next += 1
  const tags = [random.one(routesOf(service)), ...(random.chance(0.3) ? [random.one(routesOf(service))] : [])]
  return instance(service, `i${next}`, {
    address: `127.3.${random.below(4)}.${1 + random.below(9)}`,
    port: 8080 + random.below(2),
    tags: [...tags.map((route) => `heddle.route=${route}`), ...(random.chance(0.2) ? [random.one(options)] : [])],
    createIndex: next,
  })
}

function replace(site: Site, change: (one: Instance) => Instance | null): void {
  const chosen = site.random.one(site.instances)
  site.instances = site.instances.flatMap((one) => (one === chosen ? (change(one) ?? []) : [one]))
}

const arrival = (site: Site) => {
  site.instances = [...site.instances, newInstance(site.random)]
}

/** More come than go. */
const catalogChanges: readonly ((site: Site) => void)[] = [
  ...[arrival, arrival, arrival, arrival],
  (site) => replace(site, () => null),
  (site) =>
    replace(site, (one) => ({ ...one, health: site.random.one(['passing', 'critical', 'maintenance', 'warning']) })),
  (site) => replace(site, (one) => ({ ...one, weights: { passing: 1 + site.random.below(300), warning: 1 } })),
  (site) => replace(site, (one) => ({ ...one, tags: newInstance(site.random).tags })),
  (site) => replace(site, (one) => ({ ...one, tags: [...one.tags, site.random.one(options)] })),
  (site) =>
    replace(site, (one) => ({ ...one, tags: [...one.tags, site.random.one(['heddle.backup', 'heddle.weight=5'])] })),
  (site) => replace(site, (one) => ({ ...one, address: `127.4.0.${1 + site.random.below(200)}` })),
  (site) => {
    const gone = site.random.one(names)
    if (site.random.chance(0.5)) site.instances = site.instances.filter(({ service }) => service !== gone)
  },
]

async function aServer({ edge, random }: Site): Promise<string | null> {
  const table = await edge.meddle('show servers state').catch(() => '')
  const rows = table.split('\n').filter((line) => /^\d+ [^:#]/.test(line))
  const cells = rows.length === 0 ? [] : random.one(rows).split(' ')
  return cells.length < 4 ? null : `${cells[1]}/${cells[3]}`
}

async function aRoute({ edge, random }: Site): Promise<string | null> {
  const rows = (await edge.meddle('show map routes.map').catch(() => '')).split('\n').filter((line) => line !== '')
  return rows.length === 0 ? null : (random.one(rows).split(' ')[1] ?? null)
}

/** On a server or a route of those that are there; what comes of it does not matter. */
const foreignHands: readonly ((site: Site) => Promise<unknown>)[] = [
  ...['state maint', 'state drain', 'weight 3', 'health down', 'addr 127.9.9.9 port 99'].map(
    (change) => async (site: Site) => site.edge.meddle(`set server ${await aServer(site)} ${change}`),
  ),
  async (site) => {
    const server = await aServer(site)
    await site.edge.meddle(`set server ${server} state maint`)
    await site.edge.meddle(`del server ${server}`)
  },
  async (site) => {
    const [backend] = (await aServer(site))?.split('/') ?? []
    await site.edge.meddle(`add server ${backend}/stranger 127.9.9.9:99`)
    await site.edge.meddle(`set server ${backend}/stranger state ready`)
  },
  async (site) => site.edge.meddle(`del map routes.map ${await aRoute(site)}`),
  async (site) => site.edge.meddle(`set map routes.map ${await aRoute(site)} web|web`),
  async (site) => site.edge.meddle('add map routes.map stranger.example/ web|web'),
  async (site) => site.edge.meddle('clear map routes.map'),
  async (site) => site.edge.meddle('add map seats.map :spare3 stranger'),
  async (site) => site.edge.meddle('set map revision.map revision 000000000000'),
  async (site) => site.edge.meddle('clear map revision.map'),
]

const disasters: readonly ((site: Site) => Promise<unknown>)[] = [
  async ({ edge }) => process.kill((await edge.readBack()).pid, 'SIGKILL'),
  async ({ edge }) => {
    const { masterSocket } = edge.folder
    await ask(masterSocket, 'reload', { timeout: 5_000 })
  },
]

/** What matters of a worker: where it came from, and in which section a backend sits, does not. */
function essence({ servers, maps }: Running) {
  const sorted = <V>(map: ReadonlyMap<string, V>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1))
  return {
    servers: sorted(servers).map(([id, own]) => [
      id,
      sorted(own).map(([name, { weight, state, address }]) => `${name} ${weight} ${state} ${address}`),
    ]),
    maps: sorted(maps)
      .filter(([file]) => file !== 'revision.map')
      .map(([file, entries]) => [file, sorted(entries)]),
  }
}

let edges: Edge[] = []
afterEach(async () => {
  for (const edge of edges) await edge.end()
  edges = []
})

async function start(instances: readonly Instance[], more: Parameters<typeof startEdge>[1] = {}): Promise<Edge> {
  const edge = await startEdge(instances, { settings: { tidy: { quiet: 400, longest: 1_000 } }, ...more })
  edges.push(edge)
  return edge
}

async function play(seed: number, length: number): Promise<Edge> {
  const random = randomOf(seed)
  const instances = Array.from({ length: 5 }, () => newInstance(random))
  const site: Site = { edge: await start(instances), random, instances }
  await site.edge.settled()
  for (let step = 0; step < length; step++) {
    const kind = random.below(10)
    if (kind < 7 && site.instances.length > 0) {
      for (let count = 1 + random.below(3); count > 0 && site.instances.length > 0; count--)
        random.one(catalogChanges)(site)
      site.edge.show(site.instances)
    } else if (kind < 9)
      await random
        .one(foreignHands)(site)
        .catch(() => {})
    else if (random.chance(0.5))
      await random
        .one(disasters)(site)
        .catch(() => {})
    if (random.chance(0.3)) await site.edge.settled(30_000)
  }
  return site.edge
}

describe('whatever happens on the way', () => {
  it.each([1, 2, 3, 4, 5, 6])(
    'the end is that of a fresh edge (sequence %i)',
    async (seed) => {
      const edge = await play(seed, 40)
      await edge.settled(30_000)
      const { decision } = edge.state()
      const fresh = await start(edge.shown(), decision === null ? {} : { memory: decision.memory })
      await fresh.settled()
      // what somebody else has done at the very end is found at the next reading of all
      await until(async () => isDeepStrictEqual(essence(await edge.readBack()), essence(await fresh.readBack()))).catch(
        () => {},
      )
      await edge.settled(30_000)
      expect(essence(await edge.readBack())).toEqual(essence(await fresh.readBack()))
    },
    120_000,
  )
})
