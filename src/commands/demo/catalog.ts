import { rename, writeFile } from 'node:fs/promises'
import type { CatalogEntry, SampleInstance } from './sample.ts'
import { toEntry } from './sample.ts'

/** Where the demo registers its containers: a real Consul, or a snapshot file that heddle follows. */
export interface SampleCatalog {
  /** Registers an instance, or replaces what is registered under its id. */
  readonly register: (instance: SampleInstance) => Promise<void>
  readonly deregister: (instance: SampleInstance) => Promise<void>
}

/**
 * A snapshot document that changes as instances come and go. A reader sees the old document or the new one, whole:
 * each is written beside it and renamed over it, one after the other.
 */
export async function createSnapshotCatalog(file: string, initial: readonly SampleInstance[]): Promise<SampleCatalog> {
  const entries = new Map<string, CatalogEntry>()
  let nextIndex = 1
  let writing: Promise<void> = Promise.resolve()

  function put(instance: SampleInstance): void {
    const createIndex = entries.get(instance.id)?.Service.CreateIndex ?? nextIndex++
    entries.set(instance.id, toEntry(instance, createIndex))
  }

  function write(): Promise<void> {
    const text = printSnapshot([...entries.values()])
    writing = writing
      .catch(() => {})
      .then(async () => {
        await writeFile(`${file}.new`, text)
        await rename(`${file}.new`, file)
      })
    return writing
  }

  for (const instance of initial) put(instance)
  await write()
  return {
    register(instance) {
      put(instance)
      return write()
    },
    deregister(instance) {
      entries.delete(instance.id)
      return write()
    },
  }
}

/** A service without instances is not in the document, as it would not be in Consul's list. */
function printSnapshot(entries: readonly CatalogEntry[]): string {
  const services: Record<string, CatalogEntry[]> = {}
  for (const entry of entries) {
    const name = entry.Service.Service
    services[name] = [...(services[name] ?? []), entry]
  }
  return `${JSON.stringify({ consul: { services } }, null, 2)}\n`
}
