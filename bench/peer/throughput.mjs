// What a request costs HAProxy at the last route of a catalog: the files that a system has made, in a HAProxy with one thread.

import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { targetOf } from './catalog.mjs'
import { startProgram } from './children.mjs'
import { keepAlive } from './connection.mjs'
import { ownAddress } from './ports.mjs'
import { processorSeconds, readProcesses } from './processes.mjs'
import { percentile } from './statistics.mjs'

const connections = 8
const samples = 3
const longestStart = 30_000

/** Medians of three: microseconds of processor time a request, requests per second, latencies. */
export async function measureThroughput({ files, place, size, client, requests, say }) {
  say('throughput')
  const target = targetOf(size.services - 1)
  const { pid, edge, stop } = await startAlone(files, place, target)
  await client.ask({ what: 'saturate', edge, target, connections, requests: Math.ceil(requests / 5) })
  const seen = []
  for (let sample = 0; sample < samples; sample++) {
    const before = processorSeconds(readProcesses(), pid)
    const result = await client.ask({ what: 'saturate', edge, target, connections, requests })
    if (Object.keys(result.failures).length > 0) throw new Error(`failed requests: ${JSON.stringify(result.failures)}`)
    const microseconds = ((processorSeconds(readProcesses(), pid) - before) * 1e6) / requests
    seen.push({ ...result, microseconds })
  }
  await stop()
  const median = (key) =>
    percentile(
      seen.map((one) => one[key]),
      50,
    )
  return {
    microseconds: median('microseconds'),
    perSecond: median('perSecond'),
    p50: median('p50'),
    p99: median('p99'),
  }
}

/** The same files, but that it listens elsewhere. On one processor, and so with one thread. */
async function startAlone(files, place, target) {
  const folder = join(place.folder, 'alone')
  const address = ownAddress()
  cpSync(files, folder, { recursive: true, dereference: true })
  const file = join(folder, 'haproxy.cfg')
  const text = readFileSync(file, 'utf8').replaceAll(`${place.address}:`, `${address}:`)
  writeFileSync(file, text.replaceAll(place.statsSocket, join(folder, 'stats.sock')))
  const program = startProgram('HAProxy', 'taskset', ['-c', '0', place.haproxy, '-db', '-f', file])
  const edge = { address, port: place.ports.http }
  const probe = keepAlive(edge, 1_000)
  const end = performance.now() + longestStart
  for (;;) {
    const answer = await probe.ask(target.host, target.path)
    if (answer.status === 200) break
    if (program.failed() !== null) throw new Error(program.failed())
    if (performance.now() > end)
      throw new Error(`a HAProxy with the same files does not serve the last route: ${JSON.stringify(answer)}`)
    await delay(20)
  }
  probe.close()
  return { ...program, edge }
}
