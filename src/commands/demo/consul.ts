import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { SampleCatalog } from './catalog.ts'
import { type Child, type Environment, findProgram, freePort, startChild, withoutSettings } from './processes.ts'
import type { SampleInstance } from './sample.ts'
import { toEntry } from './sample.ts'

/** A real Consul with the demo's containers in its catalog. */
export interface SampleConsul {
  readonly url: string
  readonly child: Child
  readonly catalog: SampleCatalog
}

const cachedVersion = 'consul-1.13.9'

/** Path of a Consul on PATH or in the cache folder that the tests build one into, or null. */
export function findConsul(env: Environment): Promise<string | null> {
  const cache = env.XDG_CACHE_HOME || join(env.HOME ?? '/', '.cache')
  return findProgram('consul', env, [join(cache, 'heddle', cachedVersion)])
}

/** Starts Consul in memory on free ports and registers the instances. Rejects when it does not come up. */
export async function startConsul(
  program: string,
  initial: readonly SampleInstance[],
  env: Environment,
  signal: AbortSignal,
): Promise<SampleConsul> {
  // A free port can be taken by somebody else before Consul has it.
  for (let attempt = 1; ; attempt++) {
    const [http, server, serf] = [await freePort(), await freePort(), await freePort()]
    const child = startChild('consul', program, agentArguments({ http, server, serf }), withoutSettings(env))
    const url = `http://127.0.0.1:${http}`
    try {
      await waitForLeader(url, child, signal)
      const catalog = consulCatalog(url)
      for (const instance of initial) await catalog.register(instance)
      return { url, child, catalog }
    } catch (error) {
      await child.stop()
      if (attempt === 3 || signal.aborted) throw error
    }
  }
}

function agentArguments(ports: { http: number; server: number; serf: number }): readonly string[] {
  const listen = ['-bind=127.0.0.1', '-client=127.0.0.1', `-http-port=${ports.http}`, `-server-port=${ports.server}`]
  const off = ['-dns-port=-1', '-grpc-port=-1', '-serf-wan-port=-1', '-disable-host-node-id']
  return ['agent', '-dev', '-node=demo', '-log-level=warn', ...listen, `-serf-lan-port=${ports.serf}`, ...off]
}

async function waitForLeader(url: string, child: Child, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + 30_000
  while (Date.now() < deadline && child.isRunning()) {
    signal.throwIfAborted()
    const leader = await fetch(`${url}/v1/status/leader`, { signal: AbortSignal.timeout(1000) })
      .then((response) => (response.ok ? response.json() : ''))
      .catch(() => '')
    if (typeof leader === 'string' && leader !== '') return
    await delay(50)
  }
  throw new Error(`Consul did not come up:\n${child.lastLines()}`)
}

function consulCatalog(url: string): SampleCatalog {
  async function put(path: string, body: unknown): Promise<void> {
    const deadline = AbortSignal.timeout(5000)
    const response = await fetch(`${url}${path}`, { method: 'PUT', body: JSON.stringify(body), signal: deadline })
    const text = await response.text()
    if (!response.ok) throw new Error(`expected 200 for PUT ${path}, got ${response.status}: ${text.slice(0, 200)}`)
  }
  return {
    register(instance) {
      const { Node, Service, Checks } = toEntry(instance, 0)
      const { CreateIndex: _, ...service } = Service
      const checks = Checks.map((check) => ({ ...check, Node: Node.Node, Name: check.CheckID }))
      return put('/v1/catalog/register', { Node: Node.Node, Address: Node.Address, Service: service, Checks: checks })
    },
    deregister: (instance) => put('/v1/catalog/deregister', { Node: instance.node, ServiceID: instance.id }),
  }
}
