import { readFile, stat } from 'node:fs/promises'
import { messageOf } from '../errors.ts'
import type { CatalogObservation, Engine, Memory, Ms, Observation, WeaveReport } from '../types.ts'
import { decodeDocument, type SnapshotDocument } from './snapshot-document.ts'
import type { Source, SourceStatus } from './source.ts'
import { watchFile } from './watched-file.ts'

/** A snapshot file as a world: everything in it counts as fresh. */
export interface Snapshot {
  readonly catalog: CatalogObservation
  readonly engines: ReadonlyMap<string, Observation<Engine>>
  readonly weave: Observation<WeaveReport> | null
  readonly memory: Memory | null
}

const largestFile = 256 * 1024 * 1024

/**
 * Follows a snapshot file as it changes. A version that can't be read keeps the one before, with the reason in the status.
 * `prefix` is that of our tags and meta keys.
 */
export function snapshotFileSource(path: string, prefix: string): Source<Snapshot> {
  return async (report, signal) => {
    let document: SnapshotDocument | null = null
    let value: Snapshot | null = null
    let status: SourceStatus = {
      state: 'waiting',
      at: null,
      error: null,
      errors: 0,
      partitions: { total: 1, stale: 0 },
      note: null,
    }
    const read = async () => {
      const found = await readDocument(path, prefix, document)
      if (signal.aborted) return
      if (typeof found === 'string') {
        const state = value === null ? 'waiting' : 'stale'
        status = { ...status, state, error: found, errors: status.errors + 1, partitions: { total: 1, stale: 1 } }
      } else {
        value = keepParts(value, worldOf(found.document, found.at))
        document = found.document
        const error = skippedText(document.skipped)
        status = { ...status, state: 'fresh', at: found.at, error, partitions: { total: 1, stale: 0 } }
      }
      report({ value, status })
    }
    // one reading at a time, and once more for what came meanwhile
    let reading = read()
    const readAgain = () => {
      reading = reading.then(read)
    }
    watchFile(path, readAgain, signal)
    await new Promise<void>((resolve) => {
      if (signal.aborted) resolve()
      else signal.addEventListener('abort', () => resolve(), { once: true })
    })
    await reading
  }
}

/** The document with its time, or why there is none. */
async function readDocument(
  path: string,
  prefix: string,
  before: SnapshotDocument | null,
): Promise<{ document: SnapshotDocument; at: Ms } | string> {
  try {
    const { size, mtimeMs } = await stat(path)
    if (size > largestFile) return `${path}: larger than ${largestFile} bytes`
    const decoded = decodeDocument(await readFile(path, 'utf8'), prefix, before)
    return decoded.kind === 'invalid'
      ? `${path}: ${decoded.why}`
      : { document: decoded.document, at: Math.trunc(mtimeMs) }
  } catch (error) {
    const text = messageOf(error)
    return text.includes(path) ? text : `${path}: ${text}`
  }
}

function worldOf({ services, engines, weave, memory }: SnapshotDocument, at: Ms): Snapshot {
  const fresh = <T>(value: T): Observation<T> => ({ value, evidence: 'fresh', why: null, at })
  return {
    catalog: { by: 'service', partitions: new Map([...services].map(([name, instances]) => [name, fresh(instances)])) },
    engines: new Map([...engines].map(([node, engine]) => [node, fresh(engine)])),
    weave: weave === null ? null : fresh(weave),
    memory,
  }
}

/** Engines that did not change keep their map: what is derived from it is memoised on it. */
function keepParts(before: Snapshot | null, next: Snapshot): Snapshot {
  const isSame =
    before?.engines.size === next.engines.size &&
    [...next.engines].every(([node, { value }]) => before.engines.get(node)?.value === value)
  return isSame && before !== null ? { ...next, engines: before.engines } : next
}

function skippedText(skipped: readonly string[]): string | null {
  const [first] = skipped
  return first === undefined ? null : `${skipped.length} left out: ${first}`
}
