// What changes in the catalog, in rounds of five: an instance more, its check turns critical and passing again, it leaves; and a
// service that was not there before.

import { setTimeout as delay } from 'node:timers/promises'
import { addressOf, instanceOf, nodeOf, routeOf, targetOf } from './catalog.mjs'
import { untilShown } from './served.mjs'
import { repeatableRandom } from './statistics.mjs'

export const kinds = ['register', 'critical', 'passing', 'deregister', 'new service']
/** Between two timed changes, so that neither is in the shadow of the other nor in step with anybody's clock. */
const pause = { shortest: 500, longest: 1_500 }

/** Services that change in turn, the last of the catalog among them. */
export function changing({ services }, count = 8) {
  const some = Math.min(count, services)
  return Array.from({ length: some }, (_, index) => Math.floor(((index + 1) * services) / some) - 1)
}

/**
 * The changes of round `number` of a run, for service `s`; the new service stays. Both instances are containers of their own,
 * which answer before they are registered; with `dies` the one that leaves has died when it is deregistered, as for registrator.
 */
export async function roundOf({ size, consul, containers }, number, s, dies) {
  const add = async (offset, { service, tag, id }) => {
    const unused = size.services * size.instances + 2 * number + offset
    const { port } = await containers.ask({ what: 'listen', address: addressOf(unused) })
    const where = `${addressOf(unused)}:${port}`
    return { where, instance: instanceOf({ service, tag, id, node: nodeOf(unused, size.hosts), where }) }
  }
  const more = await add(0, { service: `web-${s}`, tag: routeOf(s).tag, id: `web-${s}-more-${number}` })
  const host = `new-${number}.example.com`
  const fresh = await add(1, { service: `new-${number}`, tag: `heddle.route=${host}`, id: `new-${number}-0` })
  const leave = async () => {
    if (dies) await containers.ask({ what: 'die', address: more.instance.address })
    await consul.deregister(more.instance)
  }
  const target = targetOf(s)
  const { where } = more
  return [
    { kind: 'register', target, where, gone: false, write: () => consul.register(more.instance) },
    { kind: 'critical', target, where, gone: true, write: () => consul.setCheck(more.instance, 'critical') },
    { kind: 'passing', target, where, gone: false, write: () => consul.setCheck(more.instance, 'passing') },
    { kind: 'deregister', target, where, gone: true, write: leave },
    {
      kind: 'new service',
      target: { host, path: '/' },
      where: fresh.where,
      gone: false,
      write: () => consul.register(fresh.instance),
    },
  ]
}

/** Milliseconds of each change, by its kind. Nothing dies here: an instance that refuses proves nothing about HAProxy. */
export async function timeChanges(run, rounds, say) {
  const times = Object.fromEntries(kinds.map((kind) => [kind, []]))
  const services = changing(run.size)
  const random = repeatableRandom()
  for (let number = 0; number < rounds; number++) {
    say(`changes, round ${number + 1} of ${rounds}`)
    const round = await roundOf(run, number, services[number % services.length], false)
    for (const { kind, target, where, gone, write } of round) {
      await delay(pause.shortest + random() * (pause.longest - pause.shortest))
      const turn = run.size.instances + 3
      times[kind].push(await untilShown({ edge: run.edge, target, where, gone, turn, write, failed: run.failed }))
    }
  }
  return times
}
