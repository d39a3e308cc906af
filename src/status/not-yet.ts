import { waitingFor } from '../control/published.ts'
import type { State } from '../control/state.ts'
import type { ErrorView } from './views.ts'

/** That there is nothing to show before the first decision, whatever runs in HAProxy. */
export function notYet({ sources }: State): ErrorView {
  return { error: `nothing has been decided yet: ${waitingFor(sources)}`, hint: 'ask again' }
}
