/**
 * Reads a long JSON document again and again. Consul answers with all of a node when one instance has changed; what stands
 * there as before is not parsed anew, so that a change costs what it is itself, however many neighbours it has.
 */

export interface LongList<T> {
  /** The document with that list empty; as it is when it has no such list. */
  readonly rest: unknown
  /** In the order of the document. The same array as before when the whole document is. */
  readonly entries: readonly T[]
}

/**
 * The reader throws a `SyntaxError` where the document is not JSON.
 *
 * @param member of the document's object: its members are the list. Null: the document is an array, its items are.
 * @param decode is given the value of an entry and `rest`. It has to depend on these alone: where both are as before, so is
 *   what it gave.
 */
export function longListReader<T>(
  member: string | null,
  decode: (value: unknown, rest: unknown) => T,
): (document: Buffer) => LongList<T> {
  let known: Known<T> | null = null
  // the document stays here: one that came is garbage that lives too short to cost anything
  let store = Buffer.alloc(0)

  function keep(document: Buffer): Buffer {
    if (store.length < document.length) store = Buffer.allocUnsafeSlow(Math.ceil(document.length * spareRoom))
    document.copy(store)
    return store.subarray(0, document.length)
  }

  function valuesOf(document: Buffer, starts: readonly number[], rest: unknown): readonly T[] {
    return starts.slice(1).map((next, at) => {
      const text = document.toString('utf8', starts[at], next - 1)
      return decode(member === null ? JSON.parse(text) : Object.values(JSON.parse(`{${text}}`))[0], rest)
    })
  }

  function readWhole(document: Buffer): Known<T> | null {
    const from = member === null ? insideArray(document) : insideMember(document, member)
    const cut = from === null ? null : cutEntries(document, from, document.length)
    if (from === null || cut?.isClosed !== true) return null
    const isEmpty = pastBlanks(document, from) === cut.end - 1
    const starts = isEmpty ? [cut.end] : cut.starts
    const rest: unknown = JSON.parse(document.toString('utf8', 0, from) + document.toString('utf8', cut.end - 1))
    return { document, starts, list: { rest, entries: valuesOf(document, starts, rest) } }
  }

  /** Null: more than a part of the list differs. */
  function readChange(before: Known<T>, document: Buffer): Known<T> | null {
    const { starts, list } = before
    const same = commonEnds(before.document, document)
    if (same.prefix === before.document.length && same.prefix === document.length) return before
    const suffixFrom = before.document.length - same.suffix
    // an entry reaches to the next: when all of it is in the prefix, then the next begins at the same place in both
    const first = Math.max(
      starts.findLastIndex((start) => start <= same.prefix),
      0,
    )
    const last = starts.findIndex((start, at) => at >= first && start >= suffixFrom)
    const [from, to] = [starts[first], starts[last]]
    const isAll = first === 0 && last === starts.length - 1
    if (from === undefined || to === undefined || from > same.prefix || isAll) return null
    const grown = document.length - before.document.length
    const cut = cutEntries(document, from, to + grown)
    if (cut === null || cut.end !== to + grown || cut.isClosed !== (last === starts.length - 1)) return null
    const between = valuesOf(document, cut.starts, list.rest)
    return {
      document,
      starts: [...starts.slice(0, first), ...cut.starts, ...starts.slice(last + 1).map((start) => start + grown)],
      list: { ...list, entries: [...list.entries.slice(0, first), ...between, ...list.entries.slice(last)] },
    }
  }

  return (document) => {
    const read = (known === null ? null : readChange(known, document)) ?? readWhole(document)
    if (read === null) known = null
    else if (read !== known) known = { ...read, document: keep(document) }
    return known?.list ?? { rest: JSON.parse(document.toString('utf8')), entries: [] }
  }
}

/** For a document that grows. */
const spareRoom = 1.125

interface Known<T> {
  readonly document: Buffer
  /** In bytes: where each entry begins, and last what is behind the list. The comma or bracket between belongs to the entry. */
  readonly starts: readonly number[]
  readonly list: LongList<T>
}

interface Cut {
  readonly starts: readonly number[]
  readonly end: number
  /** It ended with the bracket of the list, not with a comma. */
  readonly isClosed: boolean
}

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const backslash = 0x5c
const openArray = 0x5b
const closeArray = 0x5d
const openObject = 0x7b
const closeObject = 0x7d

/** From where an entry begins to the end of the list, or to `limit`, which has to be where another begins; null: it isn't. */
function cutEntries(document: Buffer, from: number, limit: number): Cut | null {
  const starts = [from]
  for (let at = from; at < limit; ) {
    const end = endOfEntry(document, at, limit)
    if (end === null) return null
    at = end + 1
    starts.push(at)
    if (document[end] !== comma) return { starts, end: at, isClosed: true }
  }
  return { starts, end: limit, isClosed: false }
}

/** Where the comma or bracket is that ends the entry. */
function endOfEntry(document: Buffer, from: number, limit: number): number | null {
  let depth = 0
  for (let at = from; at < limit; at += 1) {
    const byte = document[at]
    if (byte === quote) {
      at = endOfText(document, at, limit)
    } else if (byte === openObject || byte === openArray) {
      depth += 1
    } else if (byte === closeObject || byte === closeArray) {
      if (depth === 0) return at
      depth -= 1
    } else if (byte === comma && depth === 0) {
      return at
    }
  }
  return null
}

/** Where the quote is that ends what the one at `from` began; `limit`: nowhere before it. */
function endOfText(document: Buffer, from: number, limit: number): number {
  for (let at = from + 1; at < limit; at += 1) {
    const byte = document[at]
    if (byte === quote) return at
    if (byte === backslash) at += 1
  }
  return limit
}

function insideArray(document: Buffer): number | null {
  const at = pastBlanks(document, 0)
  return document[at] === openArray ? at + 1 : null
}

function insideMember(document: Buffer, member: string): number | null {
  const name = Buffer.from(JSON.stringify(member))
  let at = pastBlanks(document, 0)
  if (document[at] !== openObject) return null
  for (;;) {
    at = pastBlanks(document, at + 1)
    if (document.subarray(at, at + name.length).equals(name)) {
      const afterName = pastBlanks(document, at + name.length)
      const value = pastBlanks(document, afterName + 1)
      return document[afterName] === colon && document[value] === openObject ? value + 1 : null
    }
    const end = endOfEntry(document, at, document.length)
    if (end === null || document[end] !== comma) return null
    at = end
  }
}

function pastBlanks(document: Buffer, from: number): number {
  let at = from
  while (document[at] === 0x20 || document[at] === 0x09 || document[at] === 0x0a || document[at] === 0x0d) at += 1
  return at
}

/** How many bytes are equal from the begin, and of the others from the end. */
function commonEnds(a: Buffer, b: Buffer): { readonly prefix: number; readonly suffix: number } {
  const length = Math.min(a.length, b.length)
  const prefix = longest(length, (from, to) => a.compare(b, from, to, from, to) === 0)
  const suffix = longest(length - prefix, (from, to) => {
    return a.compare(b, b.length - to, b.length - from, a.length - to, a.length - from) === 0
  })
  return { prefix, suffix }
}

/** The longest way from 0 that holds all along, found by halving. */
function longest(limit: number, holds: (from: number, to: number) => boolean): number {
  let [held, open] = [0, limit]
  while (held < open) {
    const middle = Math.ceil((held + open) / 2)
    if (holds(held, middle)) held = middle
    else open = middle - 1
  }
  return held
}
