import type { AddressInfo } from 'node:net'
import { type Browser, type BrowserContextOptions, chromium, type Page } from 'playwright-core'
import { onTestFinished } from 'vitest'
import { findChromium } from '../../scripts/tools.mjs'
import type { State } from '../../src/control/state.ts'
import type { HaproxySockets } from '../../src/haproxy/worker.ts'
import type { StatusLimits } from '../../src/status/server.ts'
import { atEnd, ownAddress } from './haproxy.ts'
import { published, statusServer } from './status-server.ts'

/** The real status page: a real browser asks the real status server, whose state the test changes. */

export const chromiumPath = findChromium()

/** Ends with the test file. */
export async function startBrowser(): Promise<Browser> {
  if (chromiumPath === null) throw new Error('expected a Chromium')
  const browser = await chromium.launch({
    executablePath: chromiumPath,
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  })
  atEnd(() => browser.close())
  return browser
}

export interface StatusSite {
  readonly url: string
  /** Paths that were asked for so far, with their queries. */
  readonly asked: readonly string[]
  /** A new state, as the loop would publish it. */
  readonly publish: (state: State) => void
  readonly close: () => Promise<void>
}

/**
 * `at` is the URL of one that was closed: it is back. Else an address of its own, so that nobody takes it meanwhile. `sockets` are
 * of the HAProxy that is asked for sessions.
 */
export async function statusSite(
  first: State,
  at: string | null = null,
  limits: Partial<StatusLimits> = {},
  sockets?: HaproxySockets,
): Promise<StatusSite> {
  const asked: string[] = []
  const { state, subscribe, publish } = published(first)
  const app = statusServer(state, { subscribe, limits }, sockets)
  app.server.on('request', ({ url = '' }) => asked.push(url))
  const host = at === null ? ownAddress() : new URL(at).hostname
  await app.listen({ host, port: at === null ? 0 : Number(new URL(at).port) })
  atEnd(() => app.close())
  const address: AddressInfo | string | null = app.server.address()
  if (address === null || typeof address === 'string') throw new Error('expected a port')
  return {
    url: `http://${host}:${address.port}`,
    asked,
    publish,
    close: async () => void (await app.close()),
  }
}

export interface Watched {
  readonly page: Page
  /** Requests to elsewhere, what the browser complained about, and exceptions: none are to be. */
  readonly complaints: readonly string[]
}

/** A page of its own that is open there until the test ends, with all that it complains about. */
export async function openPage(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options })
  onTestFinished(() => context.close())
  const page = await context.newPage()
  const complaints: string[] = []
  const { origin } = new URL(url)
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) complaints.push(`request to ${request.url()}`)
  })
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text())
  })
  page.on('pageerror', (error) => complaints.push(String(error)))
  await page.goto(url)
  return { page, complaints }
}
