import type { Page } from 'playwright-core'
import { beforeAll, describe, expect, it } from 'vitest'
import { type Edge, startEdge } from '../support/edge.ts'
import { request, until } from '../support/haproxy.ts'
import { type HeldServer, heldServer } from '../support/held-server.ts'
import { chromiumPath, openPage, type StatusSite, startBrowser, statusSite } from '../support/page.ts'
import { instance } from '../support/worlds.ts'

/** The page on top of a real HAProxy with requests under way. */

describe.skipIf(chromiumPath === null)('the page, of the running HAProxy', () => {
  let browser: Awaited<ReturnType<typeof startBrowser>>
  let edge: Edge
  let web: HeldServer
  let site: StatusSite

  const registered = (service: string, more: { weights?: { passing: number; warning: number } } = {}) =>
    instance(service, `${service}-1`, {
      address: web.address,
      port: web.port,
      tags: [`heddle.route=${service}.example`],
      ...more,
    })
  const open = async (service: string) => {
    const watched = await openPage(browser, `${site.url}/#services?service=${service}`)
    await watched.page.getByText('1 service', { exact: true }).waitFor()
    return watched
  }
  const cellOf = (page: Page, name: string) => page.locator(`.inner tbody td[data-label="${name}"]`).innerText()

  beforeAll(async () => {
    browser = await startBrowser()
    web = await heldServer()
    edge = await startEdge([registered('web')], { settings: { tidy: { quiet: 600_000, longest: 600_000 } } })
    await edge.settled()
    edge.show([registered('web'), registered('api')])
    await edge.settled()
    site = await statusSite(edge.state(), null, {}, edge.folder)
  })

  it('services have their sessions, and get new ones without an event', async () => {
    const { page, complaints } = await open('web')
    await page.getByText('idle', { exact: true }).waitFor()
    const answers = [1, 2].map(() => request(edge.folder, { host: 'web.example' }))
    await until(() => web.holds() === 2)
    await page.getByText('2 sessions', { exact: true }).waitFor()
    expect([await cellOf(page, 'In HAProxy'), await cellOf(page, 'Sessions')]).toEqual(['the same', '2'])
    web.answer()
    await Promise.all(answers)
    await page.getByText('idle', { exact: true }).waitFor()
    expect(complaints).toEqual([])
  })

  it('a backend in a spare section is shown with the name that HAProxy has for it', async () => {
    const { page } = await open('api')
    const backend = page.locator('.details dl', { hasText: 'Backend' })
    expect(await backend.innerText()).toMatch(/api, called :spare\d+ by HAProxy until the next reload/)
    await page.goto(`${site.url}/#routes?q=api.example`)
    await page.getByLabel('Details of api.example/').click()
    expect(await page.locator('.details dl').innerText()).toMatch(/api, called :spare\d+ by HAProxy/)
  })

  it('what HAProxy has otherwise than it is wanted is spelled out', async () => {
    const { decision, running, ...rest } = edge.state()
    const wanted = running?.servers.get('web')?.get(`${web.address}:${web.port}`)
    if (running === null || wanted === undefined) throw new Error('expected a server')
    const other = new Map([[`${web.address}:${web.port}`, { ...wanted, state: 'drain' as const, weight: 9 }]])
    const { page } = await open('web')
    site.publish({ ...rest, decision, running: { ...running, servers: new Map([...running.servers, ['web', other]]) } })
    await page.getByText('weight 9').waitFor()
    expect(await cellOf(page, 'In HAProxy')).toBe('drain weight 9')
    site.publish({ ...rest, decision, running })
    await page.getByText('the same', { exact: true }).waitFor()
  })

  it('says why there are none when HAProxy does not tell', async () => {
    const { page } = await open('web')
    await page.getByText('idle', { exact: true }).waitFor()
    await edge.end()
    site.publish(edge.state())
    await page.getByText('No sessions: ').waitFor()
    expect(await page.locator('#items .note').innerText()).toContain(edge.folder.statsSocket)
    expect(await cellOf(page, 'Sessions')).toBe('–')
  })
})
