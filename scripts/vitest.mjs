// What `npm test` and `npm run test:haproxy` have in common: what the tests need, and a run of vitest with its figures.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { ensureConsul } from './consul.mjs'
import { figures } from './figures.mjs'
import { ensureBuild, localProgram, run, say } from './setup.mjs'
import { ensureTools } from './tools.mjs'

/** Gets and builds what the tests need besides HAProxy, whose path it takes; resolves to the environment they run in. */
export async function prepareTests(haproxy) {
  const programs = [haproxy, await ensureConsul({ build: true })]
  await ensureTools()
  await ensureBuild()
  return { ...process.env, PATH: [process.env.PATH, ...programs.map((path) => dirname(path))].join(delimiter) }
}

/** Runs vitest with these arguments. `failedSteps` is how many other steps of the same run failed. */
export async function runVitest(args, env, { failedSteps = 0 } = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-test-'))
  const file = join(folder, 'report.json')
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
    const exitCode = await run(localProgram('vitest'), [...args, ...reporters], { env, stdout: 1 })
    const isCi = process.env.CI === 'true'
    const { passed, failed, skipped } = figures(readReport(file), { exitCode, isCi, failedSteps })
    if (skipped > 0) say(`${skipped} skipped${isCi ? ', which counts as failed here' : ''}`)
    return { passed, failed }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Null when vitest ended before it could write one. */
function readReport(file) {
  try {
    return JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return null
  }
}
