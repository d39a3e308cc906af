// `npm test`: everything the tests need, then build, lint, types and the tests. Arguments go to vitest: `npm test -- test/model`.
// The last line on stdout is the result alone, `N passed, N failed`.
import { ensureHaproxy } from './haproxy.mjs'
import { ensureDependencies, localProgram, run, runScript, say } from './setup.mjs'
import { prepareTests, runVitest } from './vitest.mjs'

// What is said when there is no more to say: something failed before the tests.
let result = '0 passed, 1 failed'
await runScript(async () => {
  await ensureDependencies()
  const env = await prepareTests(await ensureHaproxy())

  const failedSteps = []
  for (const [name, command, args] of [
    ['lint', 'biome', ['ci', '.']],
    ['types', 'tsc', ['-p', 'test']],
  ]) {
    if ((await run(localProgram(command), args, { env, stdout: 1 })) !== 0) failedSteps.push(name)
  }

  const { passed, failed } = await runVitest(['run', ...process.argv.slice(2)], env, {
    failedSteps: failedSteps.length,
  })
  if (failedSteps.length > 0) say(`failed besides tests: ${failedSteps.join(', ')}`)
  result = `${passed} passed, ${failed} failed`
  return failed === 0 ? 0 : 1
})
process.stdout.write(`${result}\n`)
