import { beforeAll, describe, expect, it } from 'vitest'
import { problem } from '../../src/problems.ts'
import { contrasts, moving, openAll, overflowing } from '../support/in-page.mjs'
import { chromiumPath, openPage, startBrowser, statusSite } from '../support/page.ts'
import { runningState, shopState, wideState } from '../support/states.ts'

/** All that has a colour of its own: every state of a source and an instance, a problem, a notice, an error, a HAProxy that differs. */
function colourful() {
  const shop = runningState()
  const source = { at: shop.at, error: 'timeout', errors: 1, partitions: { total: 4, stale: 1 }, note: 'slow' }
  return runningState({
    sources: new Map([
      ['consul', { ...source, state: 'fresh' as const }],
      ['docker', { ...source, state: 'stale' as const }],
      ['weave', { ...source, state: 'doubtful' as const }],
    ]),
    notices: new Map([['settings', 'line 4: expected a list']]),
    haproxy: { ...shop.haproxy, error: 'unknown keyword' },
  })
}

const views = [
  '#routes',
  '#services',
  '#problems',
  '#changes',
  '#routes?q=example',
  '#services?service=web',
  '#services?service=api',
  '#routes?q=no',
]

describe.skipIf(chromiumPath === null)('the page', () => {
  let browser: Awaited<ReturnType<typeof startBrowser>>
  beforeAll(async () => {
    browser = await startBrowser()
  })

  async function visit(...[site, options]: [Awaited<ReturnType<typeof statusSite>>, object?]) {
    const { page } = await openPage(browser, site.url, options)
    const go = async (hash: string) => {
      await page.evaluate(`location.hash = ${JSON.stringify(hash)}`)
      await page.locator('#items > :not(:text("Loading"))').first().waitFor()
      await page.locator(`#views a[aria-current][href="${hash.split('?')[0]}"]`).waitFor()
    }
    return { page, go }
  }

  it.each(['light', 'dark'] as const)(
    'has texts of a contrast of at least 4.5 in the %s scheme',
    async (colorScheme) => {
      const { page, go } = await visit(await statusSite(colourful()), { colorScheme })
      for (const view of views) {
        await go(view)
        const all = await page.evaluate(contrasts)
        expect(all.length).toBeGreaterThan(40)
        expect(all.filter(({ ratio }) => ratio < 4.5)).toEqual([])
      }
    },
  )

  it('is dark where dark is preferred, and light otherwise', async () => {
    const { page } = await visit(await statusSite(shopState()))
    const ground = () => page.evaluate<string>('getComputedStyle(document.body).backgroundColor')
    const light = await ground()
    await page.emulateMedia({ colorScheme: 'dark' })
    const dark = await ground()
    const sum = (color: string) => (color.match(/\d+/g) ?? []).map(Number).reduce((a, b) => a + b, 0)
    expect(sum(light)).toBeGreaterThan(680)
    expect(sum(dark)).toBeLessThan(120)
  })

  it('does not move where people asked for that', async () => {
    const { page } = await visit(await statusSite(shopState()))
    await page.getByText('4 routes').waitFor()
    expect((await page.evaluate(moving)).length).toBeGreaterThan(0)
    await page.emulateMedia({ reducedMotion: 'reduce' })
    expect(await page.evaluate(moving)).toEqual([])
  })

  it('tells states by shape and word, not by colour alone', async () => {
    const { page, go } = await visit(await statusSite(colourful()))
    await go('#services?service=web')
    await page.locator('.inner').waitFor()
    const marks = await page
      .locator('.inner .state, #sources .state')
      .evaluateAll((all) => all.map((one) => [one.textContent, one.querySelector('use')?.getAttribute('href')]))
    expect(Object.fromEntries(marks)).toEqual({
      ready: '#i-ready',
      drain: '#i-drain',
      maint: '#i-maint',
      unresolved: '#i-unknown',
      dead: '#i-dead',
      fresh: '#i-ready',
      stale: '#i-clock',
      doubtful: '#i-unknown',
    })
    expect(
      await page.locator('use').evaluateAll(
        (all) =>
          all.filter((one) => {
            const wanted = one.getAttribute('href')
            return one.ownerDocument.querySelector(wanted) === null
          }).length,
      ),
    ).toBe(0)
  })

  it('fits a phone of 360 pixels, whatever is open and however long the names are', async () => {
    const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }
    const long = (index: number) => `${'a-very-long-name-without-an-end'.repeat(4)}-${index}`
    const wide = wideState(8, 12, long)
    const { decision } = wide
    if (decision === null) throw new Error('expected a decision')
    const about = { service: long(1), instance: long(2), subject: 'x'.repeat(190), reason: 'y'.repeat(190) }
    const sites = [
      await statusSite(colourful()),
      await statusSite({ ...wide, decision: { ...decision, problems: [problem('bad-host', about)] } }),
    ]
    for (const site of sites) {
      const { page, go } = await visit(site, phone)
      for (const view of ['#routes', '#services', '#problems', '#changes']) {
        await go(view)
        await page.evaluate(openAll)
        expect(await page.evaluate(overflowing), `${view} of ${site.url}`).toEqual([])
      }
    }
  })

  it('breaks no word of an overview with large figures on a phone', async () => {
    const { page } = await visit(await statusSite(wideState(1200, 2)), { viewport: { width: 360, height: 740 } })
    await page.getByText('1,200', { exact: true }).first().waitFor()
    const boxes = await page.locator('.tile').all()
    const lines = await Promise.all(boxes.map(async (tile) => ((await tile.boundingBox())?.height ?? 0) / 16))
    expect(lines.length).toBe(4)
    for (const height of lines) expect(height).toBeLessThan(2)
    expect(await page.evaluate(overflowing)).toEqual([])
  })
})
