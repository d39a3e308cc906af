// `npm run demo`: what the demo needs, then `heddle demo` with the same arguments: `npm run demo -- --for 20s`.
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { ensureHaproxy } from './haproxy.mjs'
import { ensureBuild, ensureDependencies, root, runScript } from './setup.mjs'

await runScript(async () => {
  await ensureDependencies()
  await ensureBuild()
  await ensureHaproxy()
  return demo(process.argv.slice(2))
})

/** The demo ends its own children; so it gets the signals, and this process waits for it. */
function demo(args) {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [join(root, 'dist', 'cli.js'), 'demo', ...args], { stdio: 'inherit' })
    // A terminal sends Ctrl-C to both: passing it on once more would tell the demo to hurry.
    process.on('SIGINT', () => process.stdin.isTTY || child.kill('SIGINT'))
    process.on('SIGTERM', () => child.kill('SIGTERM'))
    child.on('error', reject)
    child.on('close', (code, signal) => resolve(signal === null ? code : 1))
  })
}
