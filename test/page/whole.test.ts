import { describe, expect, it } from 'vitest'
import { httpServer } from '../support/haproxy.ts'
import { startHeddle } from '../support/heddle.ts'
import { chromiumPath, openPage, startBrowser } from '../support/page.ts'
import { entry, setUp } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

describe.skipIf(chromiumPath === null)('the page of the whole heddle', () => {
  it('shows what runs in HAProxy, follows the catalog, and says so when heddle ends', async () => {
    const [web, api] = [await httpServer(), await httpServer()]
    const shop = { web: [entry('web-1', web, 'heddle.route=shop.test/ timeout=5s')] }
    const { folder, settings, file, args } = await setUp('spawn', shop)
    const running = await startHeddle(folder, settings, args)
    await running.ready()
    const { page, complaints } = await openPage(await startBrowser(), running.url)
    await page.getByText('Revision 1, ').waitFor()
    const row = await page.locator('tr.item').innerText()
    for (const text of ['shop.test', 'web', 'timeout=5s', '1 of 1 up', `${web.address}:${web.port}`, 'catalog']) {
      expect(row).toContain(text)
    }
    await writeSnapshot(file, {
      ...shop,
      api: [entry('api-1', api, 'heddle.route=shop.test/api', 'heddle.route=a..b/')],
    })
    await page.getByText('Revision 2, ').waitFor()
    await page.getByText('2 routes').waitFor()
    await page.locator('#views a', { hasText: 'Problems' }).click()
    await page.getByText('bad-host').waitFor()
    await page.locator('#views a', { hasText: 'Changes' }).click()
    await page.locator('.changes > li', { hasText: 'routes +1, servers +1' }).first().waitFor()
    expect(complaints).toEqual([])
    running.signal('SIGTERM')
    await running.ended
    await page.getByText('heddle does not answer').waitFor()
  }, 60_000)
})
