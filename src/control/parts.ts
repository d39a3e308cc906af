import type { WorldWatch } from '../sources/world.ts'
import type { Memory, RevisionRecord } from '../types.ts'
import type { Target } from './apply.ts'
import type { Wakes } from './flow.ts'
import type { Inputs } from './inputs.ts'
import type { Journal } from './journal.ts'
import type { State, Turn } from './state.ts'

export interface LoopParts {
  readonly version: string
  readonly kind: 'attach' | 'spawn'
  /** Asked at each turn, always for the newest. */
  readonly inputs: Pick<Inputs, 'loopSettings' | 'templates' | 'notices'>
  /** `world` is null until every source has spoken once. */
  readonly watch: Pick<WorldWatch, 'world' | 'statuses' | 'memory'>
  readonly target: Target
  readonly wakes: Wakes
  readonly journal: Pick<Journal, 'append'>
  /** Newest last. */
  readonly history: readonly RevisionRecord[]
  readonly lastNumber: number
  /** That of the directory; null: there is none. */
  readonly memory: Memory | null
  /** Never rejects; null: saved. */
  readonly saveMemory: (memory: Memory) => Promise<string | null>
  readonly publish: (state: State, turn: Turn) => void
}
