// The clients of a run, in a process of their own: a steady load that looks at every answer, and as much as one route takes.

import { setTimeout as delay } from 'node:timers/promises'
import { answerMessages } from './children.mjs'
import { keepAlive } from './connection.mjs'
import { percentile } from './statistics.mjs'

let steady = null

answerMessages((message) => {
  if (message.what === 'start') {
    steady = startSteady(message)
    return
  }
  return message.what === 'stop' ? steady.stop() : saturate(message)
})

/**
 * Each connection has its share of the rate and goes through the targets. A request counts from when it was due, not from when
 * the one before it let it go.
 */
function startSteady({ edge, targets, connections, perSecond }) {
  const every = (1_000 * connections) / perSecond
  const start = performance.now()
  const seen = { latencies: [], failures: {} }
  let isOver = false
  const clients = Array.from({ length: connections }, async (_, index) => {
    const connection = keepAlive(edge)
    for (let sent = 0; !isOver; sent++) {
      const due = start + (sent + index / connections) * every
      await delay(Math.max(0, due - performance.now()))
      // timers may be a little early
      const from = Math.min(due, performance.now())
      const { host, path } = targets[(sent + index) % targets.length]
      count(seen, await connection.ask(host, path), performance.now() - from)
    }
    connection.close()
  })
  return {
    stop: async () => {
      isOver = true
      await Promise.all(clients)
      return result(seen)
    },
  }
}

/** Every connection asks again as soon as it has an answer. */
async function saturate({ edge, target, connections, requests }) {
  const seen = { latencies: [], failures: {} }
  let left = requests
  const start = performance.now()
  await Promise.all(
    Array.from({ length: connections }, async () => {
      const connection = keepAlive(edge)
      while (left-- > 0) {
        const asked = performance.now()
        count(seen, await connection.ask(target.host, target.path), performance.now() - asked)
      }
      connection.close()
    }),
  )
  return { ...result(seen), perSecond: (requests * 1_000) / (performance.now() - start) }
}

function count(seen, { status, failure = String(status) }, latency) {
  seen.latencies.push(latency)
  if (failure !== '200') seen.failures[failure] = (seen.failures[failure] ?? 0) + 1
}

function result({ latencies, failures }) {
  const [p50, p99, max] = [50, 99, 100].map((part) => percentile(latencies, part))
  return { requests: latencies.length, failures, p50, p99, max }
}
