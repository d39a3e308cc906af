import { expect, it } from 'vitest'
import { escapeUnprintable } from '../src/printable.ts'

it.each([
  ['a line break', 'web\n', 'web\\u000a'],
  ['a colour of a terminal', '\u001b[31mweb', '\\u001b[31mweb'],
  ['another direction', 'web\u202ebew', 'web\\u202ebew'],
  ['a mark of Arabic letters', 'web\u061c', 'web\\u061c'],
  ['a soft hyphen', 'we\u00adb', 'we\\u00adb'],
  ['half a character', 'web\ud800', 'web\\ud800'],
  ['a tag that nobody sees', 'web\u{e0041}', 'web\\udb40\\udc41'],
])('%s is shown as what it is', (_name, text, shown) => {
  expect(escapeUnprintable(text)).toBe(shown)
  expect(JSON.parse(`"${shown}"`)).toBe(text)
})

it('all else is left as it is', () => {
  for (const text of ['web', 'Käse 奶酪 🧀', 'a b\\c"d']) expect(escapeUnprintable(text)).toBe(text)
})
