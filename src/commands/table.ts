import { escapeUnprintable } from '../printable.ts'

/** Columns of text, for people. */

const colours = { red: 31, green: 32, yellow: 33, cyan: 36, grey: 90 } as const
export type Colour = keyof typeof colours

export type Paint = (text: string, colour: Colour) => string

export function painter(isColoured: boolean): Paint {
  return (text, colour) => (isColoured ? `\u001b[${colours[colour]}m${text}\u001b[0m` : text)
}

/**
 * Rows under a header, columns two blanks apart. Cells are plain text of any origin: what could move the cursor is
 * shown as an escape. `paint` colours them after they are measured.
 */
export function table(
  header: readonly string[],
  raw: readonly (readonly string[])[],
  paint: (text: string, column: number, row: number) => string = (text) => text,
): string {
  const rows = raw.map((cells) => cells.map(escapeUnprintable))
  const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)))
  const line = (cells: readonly string[], row: number) =>
    cells
      .map((cell, column) => {
        const blanks = column === cells.length - 1 ? '' : ' '.repeat((widths[column] ?? 0) - cell.length)
        return `${row === -1 ? cell : paint(cell, column, row)}${blanks}`
      })
      .join('  ')
      .trimEnd()
  return [line(header, -1), ...rows.map(line)].map((text) => `${text}\n`).join('')
}
