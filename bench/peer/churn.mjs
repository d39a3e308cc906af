// What a fixed churn costs under a steady load: processor time, failed requests, reloads.

import { setTimeout as delay } from 'node:timers/promises'
import { targetOf } from './catalog.mjs'
import { changing, kinds, roundOf } from './changes.mjs'
import { processorSeconds, readProcesses } from './processes.mjs'
import { untilAnswers } from './served.mjs'

export const steadyLoad = { connections: 16, perSecond: 800 }
/** Between two changes. */
const pace = 1_000
/** Until the load runs evenly; and for what the last change leaves to do. */
const settle = 1_000

/**
 * Seconds of processor time by who spent it, first under the load alone (`quiet`, of the same time), then with a change each
 * second (`churn`), until the last one is served. The load asks the services that change. Every second instance that leaves has
 * died by then.
 */
export async function measureChurn(run, { from, rounds, client, say }) {
  const services = changing(run.size)
  const changes = rounds * kinds.length
  await untilCalm(run.roots)
  await client.ask({ what: 'start', edge: run.edge, targets: services.map(targetOf), ...steadyLoad })
  await delay(settle)

  say('load alone')
  const quiet = await spent(run.roots, () => delay(changes * pace))

  const reloads = await run.reloads()
  const churn = await spent(run.roots, async () => {
    let due = performance.now()
    let last = null
    for (let number = 0; number < rounds; number++) {
      say(`churn, round ${number + 1} of ${rounds}`)
      const round = await roundOf(run, from + number, services[number % services.length], number % 2 === 0)
      for (const change of round) {
        await delay(Math.max(0, due - performance.now()))
        await change.write()
        due += pace
        last = change
      }
    }
    await untilAnswers({ edge: run.edge, target: last.target, where: last.where, failed: run.failed })
    await delay(settle)
  })
  const load = await client.ask({ what: 'stop' })
  return {
    changes,
    churn: churn.seconds,
    quiet: mapValues(quiet.seconds, (seconds) => (seconds * churn.time) / quiet.time),
    load,
    reloads: (await run.reloads()) - reloads,
  }
}

/** What earlier changes left to do, reloads above all, would count as that of the load. A minute at most. */
async function untilCalm(roots) {
  let calm = 0
  for (let second = 0; second < 60 && calm < 10; second++) {
    const { seconds } = await spent(roots, () => delay(1_000))
    const all = Object.values(seconds).reduce((sum, one) => sum + one, 0)
    calm = all < 0.1 ? calm + 1 : 0
  }
}

/** Seconds of processor time that each root, with all it started, spent during the work; and how long that took. */
async function spent(roots, work) {
  const start = performance.now()
  const now = () => {
    const processes = readProcesses()
    return mapValues(roots, (pid) => processorSeconds(processes, pid))
  }
  const before = now()
  await work()
  const after = now()
  return {
    seconds: mapValues(after, (seconds, name) => seconds - before[name]),
    time: performance.now() - start,
  }
}

function mapValues(record, map) {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, map(value, key)]))
}
