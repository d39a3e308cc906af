import { beforeAll, describe, expect, it } from 'vitest'
import { problem } from '../../src/problems.ts'
import { injected, openAll } from '../support/in-page.mjs'
import { chromiumPath, openPage, startBrowser, statusSite } from '../support/page.ts'
import { recordOf, wideState } from '../support/states.ts'

const names = [
  '<img src=x onerror=alert(1)>',
  '"><script>alert(1)</script>',
  "'onmouseover='alert(1)",
  'javascript:alert(1)',
  '//evil.example/x',
  '&lt;b&gt;',
  '__proto__',
  'constructor',
  '\u202egnp.exe',
  'zero\u200bwidth\ufeff',
  'arabic\u061cmark',
  'line\nbreak\ttab\u0000nul\u001b[31m',
  '\u2028para',
  'tag\u{e0041}',
  '?q=a&page=2#x%zz',
  'x'.repeat(3000),
] as const

/** Each of them wherever a name can stand. */
function hostileState() {
  const state = wideState(names.length, 2, (index) => names[index] ?? '')
  const { decision } = state
  if (decision === null) throw new Error('expected a decision')
  const problems = names.map((name) =>
    problem('bad-host', { service: name, instance: name, subject: name, reason: name, hint: name }),
  )
  return {
    ...state,
    version: names[0],
    ready: { isReady: false, reason: names[1] },
    haproxy: { ...state.haproxy, version: names[0], error: names[8] },
    notices: new Map(names.map((name) => [name, name])),
    history: names.map((name, index) =>
      recordOf(index + 1, { hash: name.slice(0, 12), reasons: [name], cause: [name], action: 'rejected' }),
    ),
    decision: { ...decision, problems },
  }
}

/** Line breaks aside, which stand between the elements of the page's own HTML. */
const invisible = /(?!\n)[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

describe.skipIf(chromiumPath === null)('hostile names on the page', () => {
  let browser: Awaited<ReturnType<typeof startBrowser>>
  beforeAll(async () => {
    browser = await startBrowser()
  })

  it('stay text, with what is invisible shown, in every view and every detail', async () => {
    const site = await statusSite(hostileState())
    const { page, complaints } = await openPage(browser, site.url)
    page.on('dialog', (dialog) => void dialog.dismiss().then(() => expect.unreachable('a script ran')))
    for (const [view, what] of [
      ['#routes', 'routes'],
      ['#services', 'services'],
      ['#problems', 'problems'],
      ['#changes', 'changes'],
    ]) {
      await page.evaluate(`location.hash = ${JSON.stringify(view)}`)
      await page.getByText(`${names.length} ${what}`, { exact: true }).waitFor()
      await page.evaluate(openAll)
      expect(await page.evaluate(injected)).toEqual([])
      const text = (await page.locator('body').textContent()) ?? ''
      expect(text).not.toMatch(invisible)
      for (const shown of ['<img src=x onerror=alert(1)>', '\\u202egnp.exe', 'line\\u000abreak', '\\udb40\\udc41']) {
        expect(text).toContain(shown)
      }
      const attributes = await page
        .locator('[title], [aria-label]')
        .evaluateAll((all) =>
          all.map((one) => `${one.getAttribute('title')}${one.getAttribute('aria-label')}`).join(''),
        )
      expect(attributes).not.toMatch(invisible)
    }
    expect(complaints).toEqual([])
  })

  it('lead to their service, and nowhere else', async () => {
    const site = await statusSite(hostileState())
    const { page, complaints } = await openPage(browser, site.url)
    for (const name of [names[1], names[4], names[11], names[14]]) {
      await page.evaluate("location.hash = '#problems'")
      await page.getByText(`${names.length} problems`, { exact: true }).waitFor()
      await page.locator('.problems a').nth(names.indexOf(name)).click()
      await page.getByText('1 service', { exact: true }).waitFor()
      expect(new URLSearchParams(new URL(page.url()).hash.split(/\?(.*)/s)[1]).get('service')).toBe(name)
      expect(await page.locator('.inner tbody tr').count()).toBe(2)
    }
    expect(complaints).toEqual([])
  })

  it('in the hash are a search for text', async () => {
    const site = await statusSite(hostileState())
    const { page, complaints } = await openPage(browser, site.url)
    for (const hash of ['#routes?q=%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E', '#__proto__?q=%', '#%E0%A4%A?page=-1']) {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`)
      await page.reload()
      await page.locator('tr.item, .empty strong').first().waitFor()
      expect(await page.evaluate(injected)).toEqual([])
      expect(complaints).toEqual([])
    }
  })

  it('that are too long to ask for are refused in words', async () => {
    const site = await statusSite(hostileState())
    const { page } = await openPage(browser, `${site.url}/#services?service=${'x'.repeat(3000)}`)
    await page.getByText('Wrong query parameter: service').waitFor()
  })
})
