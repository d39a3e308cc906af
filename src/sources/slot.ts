import type { Report, Source, SourceStatus } from './source.ts'

/** Holds what one source last reported, and lets the source be exchanged while the program runs. */
export interface Slot<T> {
  /** Null until the present or an earlier source of this slot has spoken. */
  readonly value: () => T | null
  readonly status: () => SourceStatus
  /**
   * Ends the source that runs and starts another one; its last value stays until the new one has spoken.
   * `key` names what it was made from: the same key again changes nothing. A null source empties the slot.
   */
  readonly use: (key: string, source: Source<T> | null) => void
  /** Resolves when the source has ended. */
  readonly close: () => Promise<void>
}

export const silent: SourceStatus = {
  state: 'waiting',
  at: null,
  error: null,
  errors: 0,
  partitions: { total: 0, stale: 0 },
  note: null,
}

/** `onReport` is called after every report of the slot's source. */
export function sourceSlot<T>(onReport: () => void): Slot<T> {
  let held: Report<T> = { value: null, status: silent }
  let running: { readonly key: string; readonly controller: AbortController; readonly ended: Promise<void> } | null =
    null
  const endings = new Set<Promise<void>>()

  const end = () => {
    if (running === null) return
    running.controller.abort()
    const { ended } = running
    endings.add(ended)
    void ended.finally(() => endings.delete(ended))
    running = null
  }

  return {
    value: () => held.value,
    status: () => held.status,
    use: (key, source) => {
      if (running?.key === key) return
      end()
      if (source === null) {
        held = { value: null, status: silent }
        return
      }
      const controller = new AbortController()
      const report = (next: Report<T>) => {
        if (controller.signal.aborted) return
        held = { value: next.value ?? held.value, status: next.status }
        onReport()
      }
      running = { key, controller, ended: source(report, controller.signal) }
    },
    close: async () => {
      end()
      await Promise.all(endings)
    },
  }
}
