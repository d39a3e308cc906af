import type { Balance, Match, Ms, Redirect, SectionOptions } from '../../types.ts'
import type { Value } from './values.ts'

/** Everything options can ask for. Absent: not asked for. */
export interface Options {
  readonly strip?: string
  readonly add?: string
  readonly host?: string
  readonly redirect?: Redirect
  readonly rawpath?: true
  readonly priority?: number
  readonly timeout?: Ms
  readonly balance?: Balance
  readonly sticky?: string
  readonly maxconn?: number
  readonly proto?: SectionOptions['proto']
  readonly drain?: Ms
  readonly linger?: Ms
  readonly weight?: number
  readonly backup?: true
}

/** Where an option may be written: on a route, for the whole service, for one instance. */
export type OptionLevel = 'route' | 'service' | 'instance'

export interface Option {
  readonly key: keyof Options
  readonly levels: readonly OptionLevel[]
  /** `rewrite` travels as a map value, `section` chooses the backend, `model` is heddle's own. */
  readonly kind: 'rewrite' | 'section' | 'model'
  /** How it is written, for hints and docs: `strip[=/p]`. */
  readonly usage: string
  /** `text` is null where no `=` was written; `match` is the route's own, null outside routes. */
  readonly parse: (text: string | null, match: Match | null) => Value<Options>
}
