import type { RevisionAction } from '../types.ts'
import { recordOf, withRecord } from './history.ts'
import type { Known } from './known.ts'
import { refused } from './pacing.ts'
import type { LoopParts } from './parts.ts'
import type { Made } from './wanted.ts'

/**
 * A line of the journal, and what was brought in from then on. A disk that refuses it does not stop traffic from following the
 * catalog: the line is in the history of this life, and the refusal is shown.
 */
export async function record(
  parts: LoopParts,
  known: Known,
  made: Made,
  action: RevisionAction,
  reasons: readonly string[],
): Promise<void> {
  const { candidate, model } = made
  const models = { before: known.applied?.model ?? null, after: model }
  const line = recordOf(known.lastNumber + 1, candidate, models, { action, reasons, causes: known.causes })
  known.lastNumber = line.number
  known.history = withRecord(known.history, line)
  if (action !== 'rejected') {
    known.lastRun = line
    known.applied = made
  }
  const appended = await parts.journal.append(line)
  noteUnwritten(known, 'journal', appended.kind === 'failed' ? appended.why : null)
}

/** The candidate is tried again later; a line of the journal, unless the last refusal was the same. */
export async function recordRefusal(
  parts: LoopParts,
  known: Known,
  made: Made,
  { stage, why }: { readonly stage: string; readonly why: string },
): Promise<void> {
  const { hash } = made.candidate
  const { refusal } = known.pace
  const isNews = refusal?.hash !== hash || refusal.why !== why
  known.pace = refused(known.pace, hash, why, performance.now())
  if (isNews) await record(parts, known, made, 'rejected', [`${stage}: ${why}`])
}

/** `why` null: it is written. */
export function noteUnwritten(known: Known, what: string, why: string | null): void {
  if (why === null && !known.unwritten.has(what)) return
  const others = [...known.unwritten].filter(([name]) => name !== what)
  known.unwritten = new Map(why === null ? others : [...others, [what, why]])
}
