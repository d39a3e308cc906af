import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { optionTable } from '../../src/routes/options/table.ts'
import { readInstance } from '../../src/routes/request.ts'
import { instance, settings } from '../support/worlds.ts'

const page = await readFile('docs/routes.md', 'utf8')
const [right = '', wrong = ''] = page.split('## When a tag is wrong')
const expose = { ...settings.expose, domain: 'example.com' }

/** Code in backticks that is a tag as it would be written: whole, without the marks of a grammar. */
function tagsIn(text: string): readonly string[] {
  return [...text.matchAll(/`(heddle(?:\.[a-z]+(?:=[^`]*)?)?)`/g)]
    .map(([, tag = '']) => tag)
    .filter((tag) => !/=N$|[[\]]/.test(tag))
}

function problemCodes(tag: string): readonly string[] {
  return readInstance(instance('shop', 'shop-1', { tags: [tag] }), expose).problems.map(({ code }) => code)
}

describe('docs/routes.md', () => {
  it('names every option', () => {
    const named = [...page.matchAll(/^\|[^|]*`(?:heddle\.)?([a-z]+)[^|]*\|/gm)].map(([, key]) => key)
    for (const key of optionTable.keys()) expect(named).toContain(key)
  })

  it.each(tagsIn(right))('shows the tag `%s`, which is understood', (tag) => {
    expect(problemCodes(tag)).toEqual([])
  })

  it('shows matches with options that are understood', () => {
    const routes = [...right.matchAll(/`([a-z*./-]+ [a-z]+(?:=[^`]*)?)`/g)].map(([, route = '']) => route)
    const shown = routes.filter((route) => !route.includes('=N'))
    expect(shown.length).toBeGreaterThan(4)
    for (const route of shown) expect(problemCodes(`heddle.route=${route}`), route).toEqual([])
  })

  it.each([...wrong.matchAll(/^\| `([^`]+)` \| `([^`]+)`/gm)].map(([, tag = '', code = '']) => [tag, code] as const))(
    'says that `%s` is %s',
    (tag, code) => {
      expect(problemCodes(tag)).toEqual([code])
    },
  )
})
