import type { Instance } from '../../types.ts'
import { inOrder } from './decode.ts'
import type { Scheme } from './scheme.ts'
import { asker, fateOfInstance, type RegistryRead } from './visibility.ts'

/** What a partition is known to have, and the rule by which an answer changes that: nothing leaves because it is hidden. */
export interface PartitionView {
  /** Those that are hidden are as they were when they were last seen. */
  readonly instances: () => readonly Instance[]
  readonly isHidden: (key: string) => boolean
  /** The last answer had all that is known, and could be believed: one like it has nothing new. */
  readonly isWhole: () => boolean
  /** Tells the table what `query` has answered; 'doubtful' while something is hidden. */
  readonly show: (query: string, shown: readonly Instance[], isFiltered: boolean) => Promise<'doubtful' | null>
  /** Tells the table that nothing of what `query` has answered can be believed. */
  readonly doubt: (query: string, why: string) => 'doubtful'
}

/** `read` says which instances the partition has. */
export function partitionView(scheme: Scheme, read: RegistryRead, signal: AbortSignal): PartitionView {
  const { client, table, prefix } = scheme
  const { name } = read
  let instances: readonly Instance[] = []
  let hidden: ReadonlySet<string> = new Set()
  let isWhole = true

  return {
    instances: () => instances,
    isHidden: (key) => hidden.has(key),
    isWhole: () => isWhole,
    show: async (query, shown, isFiltered) => {
      const ask = asker(client, signal)
      const lost = isFiltered ? missing(instances, shown) : []
      const registered = [...shown]
      const kept: Instance[] = []
      let why: string | null = null
      for (const instance of lost) {
        const fate = await fateOfInstance(ask, read, instance, prefix)
        if (fate.kind === 'registered') registered.push(fate.instance)
        if (fate.kind !== 'hidden') continue
        kept.push(instance)
        why ??= fate.why
      }
      hidden = new Set(kept.map(({ key }) => key))
      instances = inOrder([...registered, ...kept])
      isWhole = instances.length === shown.length
      table.answered(name, query, inOrder(registered), why === null ? null : { why, hidden })
      return why === null ? null : 'doubtful'
    },
    doubt: (query, why) => {
      isWhole = false
      table.doubted(name, query, why)
      return 'doubtful'
    },
  }
}

/** Those of `before` that are not in `after`. */
export function missing(before: readonly Instance[], after: readonly Instance[]): readonly Instance[] {
  const present = new Set(after.map(({ key }) => key))
  return before.filter(({ key }) => !present.has(key))
}
