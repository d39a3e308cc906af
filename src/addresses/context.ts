import type { Binding, Instance, ModelSettings } from '../types.ts'
import { registeredAddress } from './agreement.ts'
import type { Evidence } from './identity.ts'
import type { AddressVerdict } from './ipv4.ts'
import type { RegistratorId } from './registrator-id.ts'

/** Everything known about addresses at one moment, indexed. */
export interface AddressBook extends Evidence {
  readonly fallback: ModelSettings['weave']['fallback']
  /** Of the meta key that gives an address. */
  readonly metaKey: string
}

/** The address that the catalog gives for the container itself, if it may be one. */
export interface Claim {
  readonly address: string
  readonly source: 'catalog' | 'weave-address'
  readonly verdict: AddressVerdict
}

/** One instance with all that its address can be found by. */
export interface Context {
  readonly instance: Instance
  readonly id: RegistratorId | null
  readonly claim: Claim
  readonly book: AddressBook
  /** What was last proved of an instance that is registered as it was then. */
  readonly binding: Binding | null
}

/** The first usable one; when none is, the one that was meant most explicitly. */
export function claimOf(instance: Instance, { rules, metaKey }: AddressBook): Claim {
  const registered = registeredAddress(instance)
  const verdict = rules.judge(registered)
  if (verdict === 'usable') return { address: registered, source: 'catalog', verdict }
  let refused: Claim | null = null
  for (const address of [instance.weaveAddress, instance.meta.get(metaKey)]) {
    if (address == null || address === '') continue
    const claim = { address, source: 'weave-address', verdict: rules.judge(address) } as const
    if (claim.verdict === 'usable') return claim
    refused ??= claim
  }
  return refused ?? { address: registered, source: 'catalog', verdict }
}
