/**
 * What the structure of a set of files is made of, kept beside them: by it another life of heddle knows the structure of a
 * worker that it finds running.
 */
export const partsFile = 'parts.txt'

/** The part that is everything but sections of backends; no service and no spare section has such a name. */
export const framePart = ':global'

type Parts = ReadonlyMap<string, string>

const line = /^(\S{1,128}) ([0-9a-f]{12})$/

const texts = new WeakMap<Parts, string>()

/** A part and its digest a line. */
export function partsText(parts: Parts): string {
  const text = texts.get(parts) ?? [...parts].map(([id, digest]) => `${id} ${digest}\n`).join('')
  texts.set(parts, text)
  return text
}

/** Null: not such a text. */
export function readParts(text: string): Parts | null {
  const parts = new Map<string, string>()
  for (const row of text.trimEnd().split('\n')) {
    const [, id, digest] = line.exec(row) ?? []
    if (id === undefined || digest === undefined) return null
    parts.set(id, digest)
  }
  return parts
}
