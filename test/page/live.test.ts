import { beforeAll, describe, expect, it } from 'vitest'
import type { State } from '../../src/control/state.ts'
import { eventually } from '../support/eventually.ts'
import { chromiumPath, openPage, startBrowser, statusSite } from '../support/page.ts'
import { backendOf, instanceOf, routeOf, serverOf, shopState, wideState } from '../support/states.ts'

/** Two routes at the top went, another came, and an instance of `service-20` drains. */
function moved(state: State): State {
  const { decision } = state
  if (decision === null) throw new Error('expected a decision')
  const { routes, backends } = decision.model
  const instance = instanceOf('service-20', { id: 'service-20-0', address: '10.2.1.20', port: 1044 })
  const changed = backendOf('service-20', [serverOf(instance, { state: 'drain' })])
  return {
    ...state,
    decision: {
      ...decision,
      model: {
        routes: [routeOf('service-3', { host: 'a-new-one.example.com' }), ...routes.slice(2)],
        backends: new Map([...backends, [changed.id, changed]]),
      },
    },
  }
}

describe.skipIf(chromiumPath === null)('the page, while things change', () => {
  let browser: Awaited<ReturnType<typeof startBrowser>>
  beforeAll(async () => {
    browser = await startBrowser()
  })

  it('follows by events, and keeps focus, scrolling, selection and open details', async () => {
    const before = wideState(40, 2)
    const site = await statusSite(before)
    const { page, complaints } = await openPage(browser, site.url)
    await page.getByText('live', { exact: true }).waitFor()
    const details = page.getByLabel('Details of s00020.example.com/')
    await details.click()
    await details.scrollIntoViewIfNeeded()
    await details.focus()
    const look = () => details.evaluate((button) => button.getBoundingClientRect().top)
    const selected = () => page.evaluate('String(getSelection())')
    await page.evaluate('getSelection().selectAllChildren(document.activeElement.parentElement)')
    expect(await page.evaluate('scrollY')).toBeGreaterThan(0)
    const top = await look()
    site.publish(moved(before))
    await page.getByText('a-new-one.example.com').waitFor()
    expect(await page.getByText('s00000.example.com').count()).toBe(0)
    const row = page.locator('tbody.open')
    expect(await row.locator('.item').innerText()).toContain('drain')
    expect(await row.locator('.details').innerText()).toContain('drain')
    expect(await page.locator(':focus').getAttribute('aria-label')).toBe('Details of s00020.example.com/')
    expect(await selected()).toBe('s00020.example.com')
    expect(Math.abs((await look()) - top)).toBeLessThan(3)
    expect(complaints).toEqual([])
  })

  it('keeps the page and the search while a change arrives', async () => {
    const before = wideState(300, 1)
    const site = await statusSite(before)
    const { page } = await openPage(browser, `${site.url}/#routes?q=example&page=3`)
    await page.getByText('101–150 of 300 routes').waitFor()
    await page.focus('#q')
    await page.keyboard.press('End')
    await page.keyboard.type('.com')
    site.publish(wideState(301, 1))
    await page.getByText('1–50 of 301 routes').waitFor()
    await page.keyboard.type('/')
    expect(await page.inputValue('#q')).toBe('example.com/')
    expect(page.url()).toContain('q=example.com')
  })

  it('asks once for a burst of events', async () => {
    const site = await statusSite(shopState())
    const { page } = await openPage(browser, site.url)
    await page.getByText('live', { exact: true }).waitFor()
    await page.getByText('4 routes').waitFor()
    const asks = () => site.asked.filter((path) => path === '/api/v1/status').length
    const [asked, since] = [asks(), performance.now()]
    for (let count = 1; count <= 200; count++) {
      site.publish(wideState(count, 1))
      await new Promise((resolve) => setImmediate(resolve))
    }
    await page.getByText('1–50 of 200 routes').waitFor()
    const rounds = (performance.now() - since) / 250
    expect(asks() - asked).toBeLessThanOrEqual(Math.ceil(rounds) + 1)
    expect(asks() - asked).toBeLessThan(50)
  })

  it('marks what it shows as old while heddle does not answer, and goes on when it is back', async () => {
    const site = await statusSite(shopState())
    const { page } = await openPage(browser, site.url)
    await page.getByText('live', { exact: true }).waitFor()
    await page.getByText('4 routes').waitFor()
    await site.close()
    await page.getByText('heddle does not answer').waitFor()
    await page.getByText('no answer', { exact: true }).waitFor()
    expect(await page.locator('#ready').innerText()).toBe('Ready when last seen')
    expect(await page.locator('#lost').innerText()).toMatch(/What is shown is \d+ s old/)
    expect(await page.title()).toContain('No answer')
    // still there to be read
    expect(await page.locator('#items td.host').count()).toBe(4)
    await page.getByLabel('Details of shop.example.com/api').click()
    await page.getByText('api:1a2b3c').waitFor()
    await statusSite(wideState(3, 1), site.url)
    await page.getByText('3 routes').waitFor()
    await page.getByText('live', { exact: true }).waitFor()
    expect(await page.locator('#lost').innerText()).toBe('')
    expect(await page.locator('#ready').innerText()).toBe('Ready')
  })

  it('asks now and then where event streams are refused', async () => {
    const site = await statusSite(shopState(), null, { eventStreams: 0 })
    const { page } = await openPage(browser, site.url)
    await page.getByText('asking every 5 s').waitFor()
    await page.getByText('4 routes').waitFor()
    site.publish(wideState(5, 1))
    await page.getByText('5 routes').waitFor()
  })

  it('asks nothing while it is hidden', async () => {
    const site = await statusSite(shopState())
    const { page } = await openPage(browser, site.url)
    await page.getByText('live', { exact: true }).waitFor()
    await page.getByText('4 routes').waitFor()
    await page.evaluate("Object.defineProperty(document, 'hidden', { value: true, configurable: true })")
    // what it had begun before
    await eventually(async () => {
      expect(await page.evaluate('refreshTimer !== 0 || isRefreshing || isWantedAgain')).toBe(false)
    })
    const asked = site.asked.length
    site.publish(wideState(5, 1))
    // a stream of its own gets the same events: when it has the second one, the page has heard the first
    const second = page.evaluate(
      "new Promise((resolve) => new EventSource('/api/v1/events').addEventListener('state', resolve)).then(() => true)",
    )
    await eventually(() => expect(site.asked.length).toBe(asked + 1))
    site.publish(wideState(6, 1))
    expect(await second).toBe(true)
    expect(await page.evaluate('refreshTimer')).toBe(0)
    expect(site.asked.length).toBe(asked + 1)
    await page.evaluate("Object.defineProperty(document, 'hidden', { value: false })")
    await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    await page.getByText('6 routes').waitFor()
  })
})
