import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { partsText, readParts } from '../../src/render/parts.ts'

const digest = fc.stringMatching(/^[0-9a-f]{12}$/)
const anyParts = fc
  .uniqueArray(fc.tuple(fc.stringMatching(/^[\w:.-]{1,70}$/), digest), { selector: ([id]) => id, minLength: 1 })
  .map((entries) => new Map(entries))

describe('parts of a structure', () => {
  it('are read as they were written, in their order', () => {
    fc.assert(
      fc.property(anyParts, (parts) => {
        expect([...(readParts(partsText(parts)) ?? [])]).toEqual([...parts])
      }),
    )
  })

  it.each([
    ['nothing', ''],
    ['a blank line', ':global 0123456789ab\n\nweb 0123456789ab\n'],
    ['a line that was cut', ':global 0123456789ab\nweb 01234567'],
    ['a longer digest', 'web 0123456789abc\n'],
    ['no digest', 'web\n'],
    ['a name with a blank', 'a b 0123456789ab\n'],
    ['a name without end', `${'a'.repeat(129)} 0123456789ab\n`],
    ['another kind of text', 'global\n  description 0123456789ab\n'],
    ['a line end of Windows', 'web 0123456789ab\r\napi 0123456789ab\r\n'],
  ])('are not known from %s', (_what, text) => {
    expect(readParts(text)).toBeNull()
  })
})
