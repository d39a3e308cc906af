// `npm test`: everything the tests need, then build, lint, types and the tests. Arguments go to vitest: `npm test -- test/model`.
// The last line on stdout is the result alone, `N passed, N failed`.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { ensureConsul } from './consul.mjs'
import { figures } from './figures.mjs'
import { ensureBuild, ensureDependencies, ensureHaproxy, localProgram, run, runScript, say } from './setup.mjs'
import { ensureTools } from './tools.mjs'

// What is said when there is no more to say: something failed before the tests.
let result = '0 passed, 1 failed'
await runScript(async () => {
  await ensureDependencies()
  const programs = [await ensureHaproxy(), await ensureConsul({ build: true })]
  await ensureTools()
  const env = { ...process.env, PATH: [process.env.PATH, ...programs.map((path) => dirname(path))].join(delimiter) }
  await ensureBuild()

  const failedSteps = []
  for (const [name, command, args] of [
    ['lint', 'biome', ['ci', '.']],
    ['types', 'tsc', ['-p', 'test']],
  ]) {
    if ((await run(localProgram(command), args, { env, stdout: 1 })) !== 0) failedSteps.push(name)
  }

  const { exitCode, report } = await runTests(process.argv.slice(2), env)
  const isCi = process.env.CI === 'true'
  const { passed, failed, skipped } = figures(report, { exitCode, isCi, failedSteps: failedSteps.length })
  if (failedSteps.length > 0) say(`failed besides tests: ${failedSteps.join(', ')}`)
  if (skipped > 0) say(`${skipped} skipped${isCi ? ', which counts as failed here' : ''}`)
  result = `${passed} passed, ${failed} failed`
  return failed === 0 ? 0 : 1
})
process.stdout.write(`${result}\n`)

async function runTests(args, env) {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-test-'))
  const file = join(folder, 'report.json')
  try {
    const reporters = ['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]
    const exitCode = await run(localProgram('vitest'), ['run', ...reporters, ...args], { env, stdout: 1 })
    return { exitCode, report: readReport(file) }
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
