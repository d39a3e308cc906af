/** Order of UTF-16 code units, the same on every machine; of ASCII that is byte order. For `sort`. */
export function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
