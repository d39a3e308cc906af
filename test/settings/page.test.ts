import { expect, it } from 'vitest'
import { settingKeys } from '../../src/settings/keys.ts'
import { problemsOf, settingsOf } from './load.ts'
import { example, settingsPage } from './page.ts'

it('docs/settings.md says what the schema says', async () => {
  await expect(settingsPage()).toMatchFileSnapshot('../../docs/settings.md')
})

it('every setting has a meaning that reads as a sentence in the page', () => {
  for (const { key, meaning } of settingKeys) {
    expect(meaning.length, key).toBeGreaterThan(10)
    expect(meaning, key).not.toMatch(/[.\s]$|\|/)
  }
})

it('the example file of the page is right', () => {
  expect(problemsOf({ yaml: example })).toEqual([])
  expect(settingsOf({ yaml: example })).toMatchObject({
    apply: { settle: { quiet: 20, longest: 500 } },
    haproxy: { monitor: ':34180/haproxy_status' },
  })
})
