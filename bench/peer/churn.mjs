// What a fixed churn costs under a steady load: processor time, failed requests, reloads.

import { setTimeout as delay } from 'node:timers/promises'
import { targetOf } from './catalog.mjs'
import { changing, roundOf } from './changes.mjs'
import { processorSeconds, readProcesses } from './processes.mjs'

export const steadyLoad = { connections: 16, perSecond: 800 }
/** Between two changes. */
const pace = 1_000
/** Until the load runs evenly; and for what the last change leaves to do. */
const settle = 1_000

/**
 * Seconds of processor time by who spent it, first under the load alone (`quiet`, as a share of the same time), then with a
 * change each second (`churn`). The load asks the services that change. Every second instance that leaves has died by then.
 */
export async function measureChurn(run, { from, rounds, client, say }) {
  const services = changing(run.size)
  await client.ask({ what: 'start', edge: run.edge, targets: services.map(targetOf), ...steadyLoad })
  await delay(settle)

  const longest = rounds * 5 * pace + settle
  say('load alone')
  const quietTime = Math.ceil(longest / 4)
  const quiet = await spent(run.roots, () => delay(quietTime))

  const reloads = await run.reloads()
  const churn = await spent(run.roots, async () => {
    const start = performance.now()
    let due = start
    for (let number = 0; number < rounds; number++) {
      say(`churn, round ${number + 1} of ${rounds}`)
      const round = await roundOf(run, from + number, services[number % services.length], number % 2 === 0)
      for (const { write } of round.changes) {
        await delay(Math.max(0, due - performance.now()))
        await write()
        due += pace
      }
    }
    await delay(Math.max(0, start + longest - performance.now()))
  })
  const load = await client.ask({ what: 'stop' })
  return {
    changes: rounds * 5,
    churn,
    // a time as long as the churn
    quiet: Object.fromEntries(Object.entries(quiet).map(([name, seconds]) => [name, (seconds * longest) / quietTime])),
    load,
    reloads: (await run.reloads()) - reloads,
  }
}

/** Seconds of processor time that each root, with all it started, spent during the work. */
async function spent(roots, work) {
  const now = () => {
    const processes = readProcesses()
    return Object.fromEntries(Object.entries(roots).map(([name, pid]) => [name, processorSeconds(processes, pid)]))
  }
  const before = now()
  await work()
  const after = now()
  return Object.fromEntries(Object.keys(roots).map((name) => [name, after[name] - before[name]]))
}
