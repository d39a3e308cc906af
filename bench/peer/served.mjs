// Real requests through HAProxy that prove what is served: every route, and each change.

import { setTimeout as delay } from 'node:timers/promises'
import { keepAlive } from './connection.mjs'

const samples = 20
const sweepers = 16
const probers = 4
const longestStart = 120_000
const longestChange = 60_000

/**
 * Milliseconds from `start` until every route is served by an instance of its service. A few routes are asked again and again;
 * once all of these are served, each route is asked once. If all of them answer, they were served when the samples were; if
 * not, the last of them tells the time.
 */
export async function untilAllServed({ edge, targets, start, failed }) {
  const open = Array.from({ length: sweepers }, () => keepAlive(edge))
  try {
    const step = Math.max(1, Math.floor(targets.length / samples))
    const sample = targets.filter((_, index) => index % step === 0 || index === targets.length - 1)
    await all(sample)
    let at = performance.now()
    let missing = await unserved(open, targets)
    while (missing.length > 0) {
      missing = await unserved(open, missing)
      at = performance.now()
      check()
    }
    return at - start
  } finally {
    for (const one of open) one.close()
  }

  async function all(some) {
    while ((await unserved(open.slice(0, probers), some)).length > 0) {
      check()
      await delay(5)
    }
  }

  function check() {
    if (failed() !== null) throw new Error(failed())
    if (performance.now() - start > longestStart) throw new Error(`not all routes are served after ${longestStart} ms`)
  }
}

/** Those whose answer is not 200 by an instance of their own service. */
async function unserved(connections, targets) {
  const missing = []
  let next = 0
  await Promise.all(
    connections.map(async (connection) => {
      for (let target = targets[next++]; target !== undefined; target = targets[next++]) {
        const { status, body } = await connection.ask(target.host, target.path)
        if (status !== 200 || !target.instances.has(body)) missing.push(target)
      }
    }),
  )
  return missing
}

/**
 * Milliseconds from just before `write` until requests show that `where` answers, or (`gone`) does not any more; Infinity if
 * they don't within a minute. A turn asks some more times than there are instances, over four connections. It answers as soon
 * as one of these comes from `where`; it has gone when nobody of two turns in a row was it, and was gone after the first.
 */
export async function untilShown({ edge, target, where, gone, turn, write, failed }) {
  const connections = Array.from({ length: probers }, () => keepAlive(edge))
  try {
    let start = performance.now()
    while (((await ask(connections, target, turn, where)).seenAt !== null) !== gone) check(start)
    let refused = null
    start = performance.now()
    write().catch((error) => {
      refused = error
    })
    let firstWithout = null
    while (performance.now() - start < longestChange) {
      const { seenAt, allServed } = await ask(connections, target, turn, where)
      const at = performance.now()
      if (!gone && seenAt !== null) return seenAt - start
      if (seenAt !== null || !allServed) firstWithout = null
      else if (gone && firstWithout !== null) return firstWithout - start
      else firstWithout = at
      if (refused !== null) throw refused
      check(start)
      await delay(1)
    }
    return Number.POSITIVE_INFINITY
  } finally {
    for (const one of connections) one.close()
  }

  function check(since) {
    if (failed() !== null) throw new Error(failed())
    if (performance.now() - since > 2 * longestChange) throw new Error(`${where} is not as it was before the change`)
  }
}

/** Looks now and then, which costs next to nothing, until `where` answers; for a minute at most. */
export async function untilAnswers({ edge, target, where, failed }) {
  const connection = keepAlive(edge)
  const end = performance.now() + longestChange
  while ((await connection.ask(target.host, target.path)).body !== where && performance.now() < end) {
    if (failed() !== null) throw new Error(failed())
    await delay(50)
  }
  connection.close()
}

async function ask(connections, target, times, where) {
  const turn = { seenAt: null, allServed: true }
  let left = times
  await Promise.all(
    connections.map(async (connection) => {
      while (left-- > 0) {
        const { status, body } = await connection.ask(target.host, target.path)
        if (status !== 200) turn.allServed = false
        else if (body === where) turn.seenAt ??= performance.now()
      }
    }),
  )
  return turn
}
