import type { Endpoint } from '../types.ts'
import { weaveOwnerOf } from './agreement.ts'
import { hostPort, portsOf } from './container-ports.ts'
import type { Located } from './containers.ts'
import type { Context } from './context.ts'
import { notRunning, reachable, registeredText, reused, reusedInWeave, unresolved } from './endpoints.ts'
import type { WeaveAddress } from './weave-names.ts'

/** Null: the report has no address for it. */
export function fromReport(context: Context, own: Located | null): Endpoint | null {
  const { instance, id, book } = context
  if (book.weave === null) return null
  const names = [own?.container.name, id?.name, instance.service].filter((name) => name !== undefined)
  let found = own === null ? [] : book.weave.ofContainer(own.container.id)
  for (const name of names) {
    if (found.length > 0) break
    found = book.weave.ofName(instance, name).filter(({ containerId }) => own === null || !isOther(own, containerId))
  }
  const usable = found.filter((given) => book.rules.judge(given.address) === 'usable')
  const [given] = usable
  if (given === undefined) return null
  if (new Set(usable.map(({ address }) => address)).size > 1) {
    const addresses = [...new Set(usable.map(({ address }) => address))].sort().join(', ')
    return unresolved(instance, 'ambiguous-address', registeredText(instance), `weave gives several: ${addresses}`)
  }
  return takeGiven(context, own, given)
}

/** Names can be given to anything; a whole container id of another container is not ours. */
function isOther(own: Located, containerId: string): boolean {
  return /^[0-9a-f]{64}$/.test(containerId) && containerId !== own.container.id
}

function takeGiven(context: Context, own: Located | null, given: WeaveAddress): Endpoint {
  const { instance, id, book } = context
  const { address, containerId, source } = given
  const owners = book.containers.owners(address)
  const owner = owners.find(({ container }) => container.id === containerId)
  if (owner === undefined && owners[0] !== undefined) return reused(context, owners[0])
  const weaveOwner = weaveOwnerOf(address, book)
  if (weaveOwner !== null && weaveOwner !== containerId) return reusedInWeave(context, weaveOwner)
  const isProved = owner !== undefined || weaveOwner === containerId
  if (!isProved && book.weave?.isContested(address)) {
    const reason = `weave has names of several containers for ${address}`
    return unresolved(instance, 'ambiguous-address', registeredText(instance), reason)
  }
  const located = own ?? book.containers.byId(containerId)
  if (located?.container.running === false) return notRunning(instance, located)
  const ports = located === null ? null : portsOf(located, book.containers)
  const port = (ports === null ? null : hostPort(ports, instance.port, id)) ?? id?.port ?? instance.port
  return reachable(context, address, port, source, located)
}
