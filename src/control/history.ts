import { diffModels } from '../plan/diff.ts'
import type { Candidate, Model, Plan, RevisionAction, RevisionRecord } from '../types.ts'

/** Lines of the journal as this heddle knows them: newest last, bounded. */
export type History = readonly RevisionRecord[]

const longest = 200

export function recentHistory(records: History): History {
  return records.slice(-longest)
}

export function withRecord(history: History, record: RevisionRecord): History {
  return recentHistory([...history, record])
}

/** The newest line of what was brought into HAProxy. */
export function lastRun(history: History): RevisionRecord | null {
  return history.findLast(({ action }) => action === 'reload' || action === 'runtime') ?? null
}

/** The newest line by which the revision of that hash was brought into HAProxy. */
export function lastRunOf(history: History, revision: string | undefined): RevisionRecord | undefined {
  return history.findLast(({ hash, action }) => hash === revision && action !== 'rejected')
}

/** True when the newest line says that this candidate runs: a HAProxy that was only started with it has no line of its own. */
export function isRecorded(history: History, { hash }: Candidate): boolean {
  const last = history.at(-1)
  return last?.hash === hash && last.action !== 'rejected'
}

/** `before` is the model that was installed last; null: none. */
export function recordOf(
  number: number,
  { hash, routesHash }: Candidate,
  models: { readonly before: Model | null; readonly after: Model },
  what: { readonly action: RevisionAction; readonly reasons: readonly string[]; readonly causes: ReadonlySet<string> },
): RevisionRecord {
  const { action, reasons, causes } = what
  const diff = diffModels(models.before, models.after)
  return { number, hash, routesHash, at: Date.now(), action, reasons, cause: [...causes].sort(), diff }
}

/** Why a reload was needed, in words. */
export function reasonsOf(open: Plan | null): readonly string[] {
  const reasons = (open?.reload ?? []).map(({ code, subject }) => `${code} ${subject}`.trim())
  return reasons.length === 0 ? ['members'] : reasons
}
