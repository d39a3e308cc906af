// One system with one catalog, from nothing to all its figures.

import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { addressOf, instancesOf, targetOf } from './catalog.mjs'
import { timeChanges } from './changes.mjs'
import { startProgram, startScript } from './children.mjs'
import { measureChurn } from './churn.mjs'
import { startConsul } from './consul.mjs'
import { startHaproxy } from './haproxy.mjs'
import { freePorts, ownAddress } from './ports.mjs'
import { watchMemory, watchOthers } from './processes.mjs'
import { untilAllServed } from './served.mjs'
import { measureThroughput } from './throughput.mjs'

/** Requests of a sample of the throughput, for each round of changes. */
const requestsPerRound = 4_000

/**
 * Starts Consul with the catalog, HAProxy and the containers; then the controller, and measures. To be called in a scope of its
 * own, which ends all of it.
 */
export async function measureSystem({ system, size, rounds, programs, connections, folder, say }) {
  const containers = startScript('containers.mjs')
  const client = startScript('load.mjs')
  const { port } = await containers.ask({ what: 'listen' })
  const address = ownAddress()
  const consul = await startConsul({ bin: programs.consul, folder, address, connections })
  say('loading the catalog')
  await consul.load(instancesOf(size, port))

  const place = await placeOf({ folder, address, programs, consul })
  const prepared = system.prepare(place)
  const haproxy = await startHaproxy({
    bin: programs.haproxy,
    file: join(prepared.files, 'haproxy.cfg'),
    masterSocket: place.masterSocket,
  })
  const edge = { address, port: place.ports.http }

  say('start')
  const start = performance.now()
  const { command, args, env } = prepared
  const controller = startProgram(system.name, command, args, { env, log: join(folder, 'controller.log') })
  const failed = () => controller.failed() ?? haproxy.failed() ?? consul.failed()
  const roots = { controller: controller.pid, haproxy: haproxy.pid, consul: consul.pid }
  const others = watchOthers()
  const memory = watchMemory({ controller: controller.pid, haproxy: haproxy.pid })
  try {
    const served = await untilAllServed({ edge, targets: targetsOf(size, port), start, failed })
    const run = { size, consul, containers, edge, failed, roots, reloads: haproxy.reloads }
    const times = await timeChanges(run, rounds, say)
    const churn = await measureChurn(run, { from: rounds, rounds, client, say })
    const peaks = memory.stop()
    await controller.stop()
    const requests = requestsPerRound * rounds
    const throughput = await measureThroughput({ files: prepared.files, place, size, client, requests, say })
    const result = { name: system.name, start: served, times, ...churn, memory: peaks, throughput }
    return { ...result, others: others.share() }
  } finally {
    memory.stop()
  }
}

async function placeOf({ folder, address, programs, consul }) {
  const [http, stats, status] = await freePorts(3, address)
  const run = join(folder, 'run')
  mkdirSync(run)
  return {
    folder,
    address,
    ports: { http, stats, status },
    haproxy: programs.haproxy,
    consul: consul.url,
    masterSocket: join(run, 'master.sock'),
    statsSocket: join(run, 'stats.sock'),
  }
}

/** What to ask for each service, and who may answer. */
function targetsOf({ services, instances }, port) {
  return Array.from({ length: services }, (_, s) => ({
    ...targetOf(s),
    instances: new Set(Array.from({ length: instances }, (_, i) => `${addressOf(s * instances + i)}:${port}`)),
  }))
}
