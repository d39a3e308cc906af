import { setTimeout as delay } from 'node:timers/promises'
import { z } from 'zod'
import type { Ms } from '../../types.ts'
import type { SampleCatalog } from './catalog.ts'
import type { Client, Seen } from './client.ts'
import type { Containers } from './containers.ts'
import { toService } from './judge.ts'
import type { SampleInstance } from './sample.ts'

/** One change of the catalog, and when the traffic followed it. */
export interface Change {
  readonly what: string
  /** What was seen when it was followed, `traffic`. */
  readonly sign: string
  /** From the call to the catalog until the sign; null: not within `longestWait`. */
  readonly followedAfter: Ms | null
}

export interface Scene {
  readonly containers: Containers
  readonly catalog: SampleCatalog
  readonly client: Client
  /** Base URL of heddle's status endpoint. */
  readonly status: string
  /** The sample's containers at first; steps change it. */
  readonly fleet: Map<string, SampleInstance>
  readonly nextAddress: (node: string) => string
  readonly nextId: (service: string) => string
  readonly report: (change: Change) => void
  readonly signal: AbortSignal
}

const longestWait: Ms = 15_000
/** How long a container goes on after it was deregistered, as an orchestrator's grace period. */
const grace: Ms = 3000
const pause: Ms = 1000
/** So many answers of others in a row say that an instance gets no more requests. */
const quietAnswers = 20

/** Changes the catalog until the signal is aborted, one change after the other. */
export async function playScenario(scene: Scene): Promise<void> {
  const steps = [replaceOne, failAndRecover, rollOut, askForNonsense, addService]
  for (let turn = 0; !scene.signal.aborted; turn++) {
    await rest(pause, scene.signal)
    await steps[turn % steps.length]?.(scene)
  }
}

/** A container comes up on another host and an old one goes. */
async function replaceOne(scene: Scene): Promise<void> {
  const [oldest] = instancesOf(scene, 'cart')
  if (oldest === undefined) return
  await bringUp(scene, successor(scene, oldest, otherNode(oldest.node)))
  await rest(pause, scene.signal)
  await takeDown(scene, oldest)
}

async function failAndRecover(scene: Scene): Promise<void> {
  const instance = instancesOf(scene, 'shop')[1]
  if (instance === undefined) return
  const sick: SampleInstance = { ...instance, health: 'critical' }
  await follow(scene, {
    what: `${describe(instance)}: its check is critical`,
    service: 'shop',
    sign: 'last request',
    act: () => scene.catalog.register(sick),
    isSeen: isGone(instance),
    withdraw: instance.id,
  })
  await rest(pause, scene.signal)
  await follow(scene, {
    what: `${describe(instance)}: its check passes again`,
    service: 'shop',
    sign: 'traffic',
    act: async () => {
      scene.client.setWithdrawn(instance.id, null)
      await scene.catalog.register(instance)
    },
    isSeen: isThere(instance),
  })
}

/** Every container of a service is replaced, one by one. */
async function rollOut(scene: Scene): Promise<void> {
  for (const instance of instancesOf(scene, 'api')) {
    await bringUp(scene, successor(scene, instance, instance.node))
    await takeDown(scene, instance)
  }
}

/** One service writes a tag that is no route: it is shown, and everybody is served as before. */
async function askForNonsense(scene: Scene): Promise<void> {
  const [instance] = instancesOf(scene, 'blog')
  if (instance === undefined) return
  const tag = 'heddle.route=blog.localhost/ stripp'
  await follow(scene, {
    what: `${instance.id} asks for nonsense: ${tag}`,
    service: 'blog',
    sign: 'shown as a problem',
    act: () => scene.catalog.register({ ...instance, tags: [...instance.tags, tag] }),
    condition: async () => (await hasProblem(scene, 'blog')) === true,
  })
  await rest(pause, scene.signal)
  await follow(scene, {
    what: `${instance.id} asks for nonsense no more`,
    service: 'blog',
    sign: 'problem gone',
    act: () => scene.catalog.register(instance),
    condition: async () => (await hasProblem(scene, 'blog')) === false,
  })
}

/** A service nobody knew gets a route, and leaves again. */
async function addService(scene: Scene): Promise<void> {
  const [like] = instancesOf(scene, 'docs')
  if (like === undefined) return
  const tags = ['heddle.route=promo.localhost/', 'heddle.linger=1s']
  const instance = { ...successor(scene, { ...like, service: 'promo' }, otherNode(like.node)), tags, meta: {} }
  const probe = toService('promo.localhost', '/', 'promo')
  await scene.containers.start(instance)
  const isServed = await follow(scene, {
    what: `a new service: ${describe(instance)}, ${tags[0]}`,
    service: 'promo',
    sign: 'traffic',
    act: () => scene.catalog.register(instance),
    condition: async () => (await scene.client.ask(probe)) === null,
  })
  if (isServed) scene.client.add(probe)
  await rest(2 * pause, scene.signal)
  await scene.client.remove(probe)
  await follow(scene, {
    what: 'the service promo leaves',
    service: 'promo',
    sign: 'last request',
    act: () => scene.catalog.deregister(instance),
    condition: async () => (await scene.client.ask(probe)) !== null,
  })
  stopLater(scene, instance)
}

// ---------------------------------------------------------------------------------------------- parts of a step

interface Following {
  readonly what: string
  readonly service: string
  readonly sign: string
  readonly act: () => Promise<void>
  /** Sees the client's answers from the change on; true when it was followed. */
  readonly isSeen?: Sight
  /** Asked again and again, in place of `isSeen`. */
  readonly condition?: () => Promise<boolean>
  /** Id of an instance that the change takes away. */
  readonly withdraw?: string
}

/** Both functions look at the same answers; `at` is the moment that counts, null when nothing was seen. */
interface Sight {
  readonly isDone: (seen: Seen) => boolean
  readonly at: (doneAt: Ms, since: Ms) => Ms
}

function isThere(instance: SampleInstance): Sight {
  return { isDone: ({ container }) => container.instance === instance.id, at: (doneAt) => doneAt }
}

function isGone(instance: SampleInstance): Sight {
  let last = 0
  let others = 0
  return {
    isDone({ container, startedAt }) {
      if (container.instance === instance.id) {
        last = startedAt
        others = 0
      } else if (container.service === instance.service) others++
      return others >= quietAnswers
    },
    at: (_, since) => Math.max(last, since),
  }
}

/** Makes a change and waits until it shows; says so. False: it did not, or the demo ended before. */
async function follow(scene: Scene, following: Following): Promise<boolean> {
  const { client, signal } = scene
  const relax = client.hurry(following.service)
  try {
    await rest(200, signal)
    if (signal.aborted) return false
    const patience = AbortSignal.any([signal, AbortSignal.timeout(longestWait)])
    const since = Date.now()
    if (following.withdraw !== undefined) client.setWithdrawn(following.withdraw, since)
    const { isSeen, condition } = following
    const seen = isSeen === undefined ? null : client.until(isSeen.isDone, patience)
    await following.act()
    const doneAt = seen === null ? await until(condition ?? (async () => true), patience) : await seen
    if (signal.aborted) return false
    const at = doneAt === null ? null : (isSeen?.at(doneAt, since) ?? doneAt)
    scene.report({ what: following.what, sign: following.sign, followedAfter: at === null ? null : at - since })
    return at !== null
  } finally {
    relax()
  }
}

async function until(condition: () => Promise<boolean>, signal: AbortSignal): Promise<Ms | null> {
  while (!signal.aborted) {
    if (await condition()) return Date.now()
    await rest(10, signal)
  }
  return null
}

async function bringUp(scene: Scene, instance: SampleInstance): Promise<void> {
  if (scene.signal.aborted) return
  await scene.containers.start(instance)
  scene.fleet.set(instance.id, instance)
  await follow(scene, {
    what: `${describe(instance)} came up`,
    service: instance.service,
    sign: 'traffic',
    act: () => scene.catalog.register(instance),
    isSeen: isThere(instance),
  })
}

async function takeDown(scene: Scene, instance: SampleInstance): Promise<void> {
  if (scene.signal.aborted) return
  scene.fleet.delete(instance.id)
  await follow(scene, {
    what: `${describe(instance)} left the catalog`,
    service: instance.service,
    sign: 'last request',
    act: () => scene.catalog.deregister(instance),
    isSeen: isGone(instance),
    withdraw: instance.id,
  })
  stopLater(scene, instance)
}

/** The container ends when its grace period is over, whether traffic followed or not. */
function stopLater(scene: Scene, instance: SampleInstance): void {
  void rest(grace, scene.signal).then(async () => {
    if (!scene.signal.aborted) await scene.containers.stop(instance)
  })
}

/** In order of age: ids count up. */
function instancesOf(scene: Scene, service: string): readonly SampleInstance[] {
  return [...scene.fleet.values()].filter((instance) => instance.service === service)
}

/** A new container of the same service, on a new address. */
function successor(scene: Scene, instance: SampleInstance, node: string): SampleInstance {
  const nodeAddress = `127.2.0.${node.replace('host', '')}`
  return { ...instance, id: scene.nextId(instance.service), node, nodeAddress, address: scene.nextAddress(node) }
}

function otherNode(node: string): string {
  return node === 'host3' ? 'host1' : 'host3'
}

function describe(instance: SampleInstance): string {
  return `${instance.id} on ${instance.node} (${instance.address})`
}

const problemsSchema = z.array(z.object({ service: z.string() }))

/** Whether heddle shows a problem of a service; null when it gives no answer. */
async function hasProblem(scene: Scene, service: string): Promise<boolean | null> {
  try {
    const response = await fetch(`${scene.status}/api/v1/problems`, { signal: AbortSignal.timeout(5000) })
    return problemsSchema.parse(await response.json()).some((problem) => problem.service === service)
  } catch {
    return null
  }
}

async function rest(duration: Ms, signal: AbortSignal): Promise<void> {
  await delay(duration, undefined, { signal }).catch(() => {})
}
