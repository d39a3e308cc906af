import { existsSync } from 'node:fs'
import { backoff, pause } from '../backoff.ts'
import type { HaproxySockets } from '../haproxy/worker.ts'
import type { CatalogObservation, Memory, Ms, Observation, WeaveReport, World } from '../types.ts'
import { type ConsulSettings, consulSource, readNodeName } from './consul/source.ts'
import { type DockerEndpoint, dockerSource } from './docker/source.ts'
import { type Slot, silent, sourceSlot } from './slot.ts'
import { type Snapshot, snapshotFileSource } from './snapshot-file.ts'
import type { Source, SourceStatus } from './source.ts'
import { type UnreachableServers, unreachableSource } from './unreachable/source.ts'
import { weaveSource } from './weave.ts'

/** Where the world is observed. */
export interface WorldSettings {
  /** A file that takes the place of every other source; null: the real ones. */
  readonly snapshot: string | null
  readonly consul: ConsulSettings
  /** Docker engines by Consul node; null: the local socket, if it is there. */
  readonly docker: ReadonlyMap<string, DockerEndpoint> | null
  /** Consul node of the local socket; null: what the agent says. */
  readonly node: string | null
  readonly router: string | null
  /** Sockets of the HAProxy whose unreachable servers are looked for, a snapshot or not; null: none are. */
  readonly unreachable: HaproxySockets | null
}

export interface WorldWatch {
  /** Null until every source has spoken once. */
  readonly world: () => World | null
  readonly statuses: () => ReadonlyMap<string, SourceStatus>
  /** The memory that a snapshot file carries. */
  readonly memory: () => Memory | null
  /** Starts, exchanges and ends sources; those whose settings did not change go on. */
  readonly follow: (settings: WorldSettings) => void
  /** Resolves when all sources have ended. */
  readonly close: () => Promise<void>
}

type Engines = World['engines']

/** Of asking the agent who it is. */
const retry = { first: 250, longest: 10_000 }
const localSocket = '/var/run/docker.sock'
/** How often an absent local socket is looked for. */
const lookEvery: Ms = 5_000
const noEngines: Engines = new Map()

/** Observes everything at once. `onReport` is called with the name of the source after each of its reports. */
export function watchWorld(onReport: (source: string) => void): WorldWatch {
  const snapshot = sourceSlot<Snapshot>(() => onReport('snapshot'))
  const consul = sourceSlot<CatalogObservation>(() => onReport('consul'))
  const docker = sourceSlot<Engines>(() => onReport('docker'))
  const weave = sourceSlot<Observation<WeaveReport>>(() => onReport('weave'))
  // no partition of the input, so in no status: it holds nobody up, and what HAProxy's sockets say is told elsewhere
  const unreachable = sourceSlot<UnreachableServers>(() => onReport('unreachable'))
  let inUse = new Map<string, Pick<Slot<unknown>, 'status'>>()

  return {
    // a machine without Docker has nothing to say about it
    statuses: () => new Map([...inUse].map(([name, slot]) => [name, slot.status()] as const).filter(hasSubject)),
    memory: () => snapshot.value()?.memory ?? null,
    world: () => {
      const found = unreachable.value()
      const always = { at: Date.now(), ...(found === null ? {} : { unreachable: found }) }
      if (inUse.has('snapshot')) {
        const seen = snapshot.value()
        return seen === null ? null : { catalog: seen.catalog, engines: seen.engines, weave: seen.weave, ...always }
      }
      const catalog = consul.value()
      const engines = inUse.has('docker') ? docker.value() : noEngines
      const report = weave.value()
      if (catalog === null || engines === null || (inUse.has('weave') && report === null)) return null
      return { catalog, engines, weave: report, ...always }
    },
    follow: (settings) => {
      const { snapshot: file, router, unreachable: sockets } = settings
      snapshot.use(
        key(file, settings.consul.exposePrefix),
        file === null ? null : snapshotFileSource(file, settings.consul.exposePrefix),
      )
      consul.use(key(file, settings.consul), file === null ? consulSource(settings.consul) : null)
      const engines = file === null ? enginesSource(settings) : null
      docker.use(key(file, settings.docker === null ? [settings.node, settings.consul] : [...settings.docker]), engines)
      weave.use(key(file, router), file === null && router !== null ? weaveSource(router) : null)
      unreachable.use(key(sockets), sockets === null ? null : unreachableSource(sockets))
      inUse = new Map<string, Pick<Slot<unknown>, 'status'>>(
        file === null ? [['consul', consul]] : [['snapshot', snapshot]],
      )
      if (engines !== null) inUse.set('docker', docker)
      if (file === null && router !== null) inUse.set('weave', weave)
    },
    close: async () => {
      await Promise.all([snapshot.close(), consul.close(), docker.close(), weave.close(), unreachable.close()])
    },
  }
}

function hasSubject([name, { state, error, partitions }]: readonly [string, SourceStatus]): boolean {
  return name !== 'docker' || state === 'waiting' || error !== null || partitions.total > 0
}

function key(...parts: readonly unknown[]): string {
  return JSON.stringify(parts)
}

function enginesSource({ docker, node, consul }: WorldSettings): Source<Engines> | null {
  if (docker === null) return localEngineSource(node, consul)
  return docker.size === 0 ? null : dockerSource(docker)
}

/**
 * The engine of this machine, if there is one: its socket may come later, and goes while it is restarted. Which Consul node that
 * is only the agent can tell, if the settings don't. Neither holds anybody up.
 */
function localEngineSource(node: string | null, consul: ConsulSettings): Source<Engines> {
  return async (report, signal) => {
    while (!existsSync(localSocket) && !signal.aborted) {
      report({ value: 'unknown', status: { ...silent, state: 'fresh' } })
      await pause(lookEvery, signal)
    }
    let name = node
    for (let failures = 1; name === null && !signal.aborted; failures++) {
      name = await readNodeName(consul, signal)
      if (name !== null) break
      const error = 'the Consul agent does not say which node this is; set weave.node'
      report({ value: 'unknown', status: { ...silent, state: 'stale', error, errors: failures } })
      await pause(backoff(failures, retry), signal)
    }
    if (name === null) return
    await dockerSource(new Map([[name, { url: `unix://${localSocket}`, ca: null, cert: null, key: null }]]))(
      report,
      signal,
    )
  }
}
