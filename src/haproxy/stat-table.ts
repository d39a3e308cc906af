/**
 * The table that `show stat` answers with, as CSV. Its columns are known by name: each version has more of them, and at other
 * places.
 */

/** What stands in a column of one row; '' where there is nothing, or no such column. */
export type StatRow<Column extends string> = (column: Column) => string

/** Rows are read one by one, and no further than the last of the columns. Null: it is no such table, but words. */
export function readStatTable<const Column extends string>(
  text: string,
  columns: readonly Column[],
): Iterable<StatRow<Column>> | null {
  const lines = linesOf(text)
  const { value: header } = lines.next()
  if (header === undefined || !header.startsWith('# ')) return null
  const names = header.slice(2).split(',')
  const places = new Map(columns.map((column) => [column, names.indexOf(column)]))
  return rowsOf(lines, places)
}

/** A whole number that counts something; null where there is none. */
export function readCount(text: string): number | null {
  return /^\d{1,15}$/.test(text) ? Number(text) : null
}

function* rowsOf<Column>(lines: Iterable<string>, places: ReadonlyMap<Column, number>) {
  const width = 1 + Math.max(-1, ...places.values())
  for (const line of lines) {
    if (line === '') continue
    const cells = cellsOf(line, width)
    yield (column: Column) => cells[places.get(column) ?? -1] ?? ''
  }
}

/** A line break between quotes is part of a cell. */
function* linesOf(text: string): Generator<string, undefined> {
  let [from, quote] = [0, text.indexOf('"')]
  while (from < text.length) {
    let end = endOfLine(text, from)
    while (quote !== -1 && quote < end) {
      const closing = text.indexOf('"', quote + 1)
      if (closing > end) end = endOfLine(text, closing)
      quote = closing === -1 ? -1 : text.indexOf('"', closing + 1)
    }
    yield text.slice(from, end)
    from = end + 1
  }
}

function endOfLine(text: string, from: number): number {
  const end = text.indexOf('\n', from)
  return end === -1 ? text.length : end
}

function cellsOf(line: string, width: number): readonly string[] {
  if (!line.includes('"')) return line.split(',', width)
  const cells = line.match(/(?<=^|,)(?:"(?:[^"]|"")*"|[^,]*)/g) ?? []
  return cells.map((cell) => (cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell))
}
