// `node scripts/screenshot.mjs` makes docs/page.png and docs/page-dark.png from the demo (after `npm run build`). The page
// is at its best where the fonts Inter and JetBrains Mono are installed.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'
import { root } from './setup.mjs'
import { findChromium } from './tools.mjs'

const pictures = { light: 'page.png', dark: 'page-dark.png' }

const demo = spawn(process.execPath, [join(root, 'dist', 'cli.js'), 'demo', '--json'], {
  stdio: ['ignore', 'pipe', 'inherit'],
})
const ended = new Promise((resolve) => demo.once('close', resolve))
const browser = await chromium.launch({ executablePath: findChromium() ?? undefined, args: ['--no-sandbox'] })
const pages = []
try {
  for await (const line of createInterface(demo.stdout)) {
    const { event, ports, sign } = JSON.parse(line)
    if (event === 'ready')
      for (const colorScheme of Object.keys(pictures)) pages.push(await open(ports.status, colorScheme))
    if (sign !== 'shown as a problem') continue
    for (const page of pages) await page.getByText('1 problem').waitFor()
    for (const [at, name] of Object.values(pictures).entries()) {
      await pages[at].screenshot({ path: join(root, 'docs', name) })
    }
    break
  }
} finally {
  demo.kill('SIGTERM')
  await browser.close()
  await ended
}

async function open(port, colorScheme) {
  const page = await browser.newPage({ colorScheme, viewport: { width: 1280, height: 800 }, deviceScaleFactor: 1.5 })
  await page.goto(`http://127.0.0.1:${port}/`)
  return page
}
