import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { chromiumPath, openPage, type StatusSite, startBrowser, statusSite } from '../support/page.ts'
import { shopState, startingState, wideState } from '../support/states.ts'

const focused = (page: Page) => page.locator(':focus')
const hosts = (page: Page) => page.locator('#items td.host').allInnerTexts()

describe.skipIf(chromiumPath === null)('the page', () => {
  let browser: Awaited<ReturnType<typeof startBrowser>>
  let shop: StatusSite
  let wide: StatusSite

  const open = (site: StatusSite, hash = '') => openPage(browser, `${site.url}/${hash}`)
  const at = (site: StatusSite, text: string, hash = '') =>
    open(site, hash).then(async (watched) => {
      await watched.page.getByText(text).first().waitFor()
      return watched
    })

  beforeAll(async () => {
    browser = await startBrowser()
    shop = await statusSite(shopState())
    wide = await statusSite(wideState(5000, 10))
  })

  it('shows every route with where it leads, its options, and its instances with state and what proved the address', async () => {
    const { page, complaints } = await at(shop, '4 routes')
    const rows = await page.locator('tr.item').allInnerTexts()
    const row = (path: string) => rows.find((text) => text.split(/\s+/)[1] === path && text.startsWith('shop')) ?? ''
    expect(await hosts(page)).toEqual(['old.example.com', ...Array(3).fill('shop.example.com')])
    for (const text of ['api', 'strip=/api', 'timeout=30s', '1 of 1 up', '10.2.1.8:9000', 'catalog', '1 problem']) {
      expect(row('/api')).toContain(text)
    }
    for (const text of ['1 of 5 up', 'drain', '10.2.2.6:8080', 'docker']) expect(row('/')).toContain(text)
    expect(row('/old$')).toContain('301,https://$host/new$query')
    expect(rows[0]).toContain('no instance left')
    expect(complaints).toEqual([])
  })

  it('tells at a glance whether it is ready, the revision, counts, sources and HAProxy', async () => {
    const { page } = await at(shop, 'Revision 7 runs')
    const overview = await page.locator('main').innerText()
    for (const text of ['Ready', '0f1e2d3c4b5a', '2.6.12-1+deb12u4', 'consul', 'fresh', 'templates']) {
      expect(overview).toContain(text)
    }
    expect(await page.locator('#views a').allInnerTexts()).toEqual([
      expect.stringMatching(/Routes\s+4/),
      expect.stringMatching(/Services\s+2\s+2 of 6 instances up/),
      expect.stringMatching(/Problems\s+2/),
      expect.stringMatching(/Changes\s+7/),
    ])
  })

  it('says why it is not ready, what HAProxy refused, and which settings were not taken', async () => {
    const site = await statusSite(
      shopState({
        ready: { isReady: false, reason: 'the newest revision was refused' },
        haproxy: { ...shopState().haproxy, isConnected: false, error: 'unknown keyword in line 44' },
        notices: new Map([['settings', 'line 4: expected a list']]),
      }),
    )
    const { page } = await at(site, 'Not ready')
    const text = await page.locator('main').innerText()
    for (const part of [
      'The newest revision was refused',
      'not connected',
      'unknown keyword in line 44',
      'line 4: expected a list',
    ]) {
      expect(text).toContain(part)
    }
    expect(await page.title()).toContain('Not ready')
  })

  it('says what is waited for before anything was decided, and shows routes as soon as there are some', async () => {
    const site = await statusSite(startingState())
    const { page, complaints } = await at(site, 'Nothing has been decided yet')
    expect(await page.locator('#items').innerText()).toContain('Waiting for consul')
    expect(await page.locator('#sources').innerText()).toContain('connection refused')
    expect(await page.locator('.count').allInnerTexts()).toEqual(['–', '–', '–', '–'])
    await page.locator('#views a').last().click()
    await page.getByText('No changes yet').waitFor()
    site.publish(shopState())
    await page.locator('#views a').first().click()
    await page.getByText('4 routes').waitFor()
    expect(complaints).toEqual([])
  })

  it('searches 5,000 routes by host, service, instance and address, and keeps the search in the URL', async () => {
    const { page, complaints } = await at(wide, '1–50 of 5,000 routes')
    await page.fill('#q', 's01234.example')
    await page.getByText('1 route', { exact: true }).waitFor()
    expect(await hosts(page)).toEqual(['s01234.example.com'])
    expect(page.url()).toContain('#routes?q=s01234.example')
    await page.fill('#q', '10.2.7.99:1123')
    await page.getByText('s00099.example.com').waitFor()
    // the one that was found comes first of its ten
    expect(await page.locator('.instances li').first().innerText()).toContain('10.2.7.99:1123')
    await page.fill('#q', 'nothing like it')
    await page.getByText('Nothing found').waitFor()
    await page.fill('#q', 'service-77-3')
    await page.getByText('service-77-3').first().waitFor()
    const shared = await at(wide, '1 route', new URL(page.url()).hash)
    expect(await shared.page.inputValue('#q')).toBe('service-77-3')
    expect(await hosts(shared.page)).toEqual(['s00077.example.com'])
    expect([...complaints, ...shared.complaints]).toEqual([])
  })

  it('turns pages at the server, with the page in the URL and the back button', async () => {
    const { page } = await at(wide, '1–50 of 5,000 routes')
    await page.getByLabel('Next page').click()
    await page.getByText('51–100 of 5,000 routes').waitFor()
    expect((await hosts(page))[0]).toBe('s00050.example.com')
    expect(await page.locator('tbody[data-key]').count()).toBe(50)
    await page.getByLabel('Next page').click()
    await page.getByText('101–150 of 5,000 routes').waitFor()
    await page.goBack()
    await page.getByText('51–100 of 5,000 routes').waitFor()
    const last = await at(wide, '4,951–5,000 of 5,000 routes', '#routes?page=100')
    expect(await last.page.getByLabel('Next page').getAttribute('aria-disabled')).toBe('true')
    const beyond = await at(wide, '4,951–5,000 of 5,000 routes', '#routes?page=999')
    expect(beyond.page.url()).toContain('page=100')
    expect(wide.asked.every((path) => !path.startsWith('/api/v1/routes') || path.includes('limit=50'))).toBe(true)
  })

  it('lists services with their routes, instances and problems, searched by the server', async () => {
    const { page } = await at(wide, '1–50 of 5,000 services', '#services')
    await page.fill('#q', 's04321.example')
    await page.getByText('1 service', { exact: true }).waitFor()
    expect(await page.locator('tr.item').innerText()).toMatch(/service-4321\s+s04321.example.com\/\s+10 of 10 up/)
  })

  it('shows a service with every instance and what became of it, wherever its name is clicked', async () => {
    const { page } = await at(shop, '4 routes')
    await page.locator('a.name', { hasText: 'web' }).first().click()
    await page.getByText('1 service', { exact: true }).waitFor()
    expect(page.url()).toContain('#services?service=web')
    const instances = await page.locator('.inner tbody tr').allInnerTexts()
    expect(instances.map((text) => text.split(/\s+/)[0])).toEqual(['ready', 'drain', 'maint', 'unresolved', 'dead'])
    expect(instances[1]).toContain('corrected by Docker')
    expect(instances[4]).toContain('Docker saw container 4f3c die')
    expect(await page.locator('.details').innerText()).toContain('outside of 10.2.0.0/16')
    await page.getByText('Show all').click()
    await page.getByText('3 services').waitFor()
  })

  it('lists problems with what to do, searched by the server, each leading to its service', async () => {
    const { page } = await at(shop, '2 problems', '#problems')
    await page.fill('#q', 'conflict')
    await page.getByText('1 problem', { exact: true }).waitFor()
    const text = await page.locator('.problems li').innerText()
    expect(text).toContain('web has it already')
    expect(text).toContain('settle it with priority=N')
    await page.locator('.problems a', { hasText: 'api' }).click()
    await page.getByText('1 service', { exact: true }).waitFor()
    expect(await page.locator('tr.item td.host').innerText()).toBe('api')
  })

  it('lists the newest changes first, with how each ended and why', async () => {
    const { page } = await at(shop, '3 changes', '#changes')
    const lines = await page.locator('.changes > li').allInnerTexts()
    expect(lines.map((text) => text.split(/\s+/).slice(0, 2).join(' '))).toEqual([
      '7 runtime',
      '6 rejected',
      '5 reload',
    ])
    expect(lines[0]).toContain('servers +1')
    expect(lines[0]).toContain('+ web/10.2.1.5:8080')
    expect(lines[1]).toContain('haproxy -c: no')
    expect(lines[2]).toContain('new backend web')
  })

  it('works with the keyboard alone', async () => {
    const { page } = await at(shop, '4 routes')
    await page.keyboard.press('/')
    expect(await focused(page).getAttribute('id')).toBe('q')
    await page.keyboard.type('api')
    await page.getByText('1 route', { exact: true }).waitFor()
    await page.keyboard.press('Tab')
    expect(await focused(page).getAttribute('aria-label')).toBe('Details of shop.example.com/api')
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid')
    await page.keyboard.press('Enter')
    await page.getByText('heddle explain http://shop.example.com/api').waitFor()
    await page.keyboard.press('Enter')
    await page.locator('.details').waitFor({ state: 'detached' })
    await page.keyboard.press('Tab')
    await page.keyboard.press('Enter')
    await page.getByText('1 service', { exact: true }).waitFor()
    // the link is gone: the title of what took its place has the focus
    expect(await focused(page).innerText()).toBe('Services')
    await page.keyboard.press('/')
    await page.keyboard.type('api')
    await page.keyboard.press('Escape')
    expect(await page.inputValue('#q')).toBe('')
    for (const title of ['Routes', 'Services', 'Problems', 'Changes']) {
      await page.locator('#views a', { hasText: title }).focus()
      await page.keyboard.press('Enter')
      await page.locator('#title', { hasText: title }).waitFor()
      expect(await page.locator('#views a[aria-current=page]').innerText()).toContain(title)
    }
  })

  it('has landmarks, and a name for everything that can be operated', async () => {
    const { page } = await at(shop, '4 routes')
    for (const role of ['banner', 'main', 'search', 'contentinfo'] as const) {
      expect(await page.getByRole(role).count()).toBe(1)
    }
    expect(await page.getByRole('navigation', { name: 'Lists' }).count()).toBe(1)
    expect(await page.getByRole('table').count()).toBe(1)
    expect(await page.getByRole('searchbox', { name: 'Search' }).count()).toBe(1)
    const names = await page
      .locator('a, button')
      .evaluateAll((all) => all.map((one) => one.getAttribute('aria-label') ?? one.textContent?.trim()))
    expect(names.length).toBeGreaterThan(10)
    expect(names).not.toContain('')
    const icon = await page.request.get(`${shop.url}/icon.svg`)
    expect(icon.headers()['content-type']).toContain('image/svg+xml')
  })

  it('copies the command that explains a route', async () => {
    const { page } = await at(shop, '4 routes')
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.getByLabel('Details of shop.example.com/api').click()
    await page.getByText('Copy', { exact: true }).click()
    await page.getByText('Copied', { exact: true }).waitFor()
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe('heddle explain http://shop.example.com/api')
  })
})
