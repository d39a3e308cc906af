// `npm run test:haproxy`: the tests that touch HAProxy, on each release that heddle supports, or on the one binary that is named.
// The last line on stdout is the result alone, `N passed, N failed`.
import { delimiter, dirname, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import {
  checkHaproxy,
  ensureHaproxy,
  findHaproxy,
  haproxiesAtHand,
  haproxyVersion,
  missingHaproxy,
  supported,
} from './haproxy.mjs'
import { ensureDependencies, runScript, say } from './setup.mjs'
import { prepareTests, runVitest } from './vitest.mjs'

const usage = `npm run test:haproxy -- [--bin PATH] [-t PATTERN] [FILE...]

Runs the tests that touch HAProxy on the machine's own, then on each of ${supported.join(', ')} that it isn't,
taken out of Debian's packages into the user's cache folder.

  --bin PATH   on this HAProxy only
  -t PATTERN   only tests whose names match
  FILE...      these test files, whatever they touch: test/haproxy/reload

\`npm run haproxy -- 3.0\` fetches one release and prints its path.
`

/** Whoever imports this uses HAProxy; vitest knows who does. */
const marker = 'test/support/haproxy.ts'

const options = parseOptions()
if (options === null) process.stdout.write(usage)
else await testHaproxies(options)

async function testHaproxies({ bin, args }) {
  const results = []
  // until all are done: what comes after is missing, and that is a failure
  let missing = 1
  await runScript(async () => {
    await ensureDependencies()
    const own = bin === undefined ? await ensureHaproxy() : checkHaproxy(resolve(bin))
    const env = await prepareTests(own)
    results.push(await testOn(own, args, env))
    if (bin === undefined) {
      for (const release of supported.filter((other) => other !== haproxyVersion(own).release))
        results.push(await testRelease(release, args, env))
    }
    missing = 0
    return results.every(({ failed }) => failed === 0) ? 0 : 1
  })
  for (const { title, passed, failed, seconds } of results)
    process.stdout.write(`HAProxy ${title}: ${passed} passed, ${failed} failed, ${seconds} s\n`)
  const sum = (figure) => results.reduce((total, result) => total + result[figure], 0)
  process.stdout.write(`${sum('passed')} passed, ${sum('failed') + missing} failed\n`)
}

async function testRelease(release, args, env) {
  const path = await findHaproxy(release)
  if (path !== null) return testOn(path, args, env)
  say(missingHaproxy(release))
  return { title: release, passed: 0, failed: 1, seconds: 0 }
}

async function testOn(path, args, env) {
  const { version, release } = haproxyVersion(path)
  const other = haproxiesAtHand().find((found) => found.release !== release)
  say(`the tests run on HAProxy ${version} (${path})`)
  const from = performance.now()
  const figures = await runVitest(args, {
    ...env,
    PATH: [dirname(path), env.PATH].join(delimiter),
    TEST_HAPROXY_BIN: path,
    ...(other !== undefined && { TEST_HAPROXY_OTHER_BIN: other.path }),
  })
  return { title: version, ...figures, seconds: Math.round((performance.now() - from) / 1000) }
}

/** Null: help was asked for. */
function parseOptions() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        bin: { type: 'string' },
        help: { type: 'boolean', short: 'h' },
        testNamePattern: { type: 'string', short: 't' },
      },
    })
    if (values.help) return null
    const chosen = positionals.length > 0 ? ['run', ...positionals] : ['related', '--run', marker]
    const pattern = values.testNamePattern
    return { bin: values.bin, args: pattern === undefined ? chosen : [...chosen, `--testNamePattern=${pattern}`] }
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    process.stderr.write(`${error.message}\n\n${usage}`)
    process.exit(2)
  }
}
