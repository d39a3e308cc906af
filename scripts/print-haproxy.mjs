// `npm run haproxy -- 3.0`: the path of a HAProxy of that release, fetched first where this machine has none.
import { findHaproxy, missingHaproxy, supported } from './haproxy.mjs'
import { runScript, SetupError } from './setup.mjs'

const usage = `npm run haproxy -- RELEASE

Prints the path of a HAProxy of that release, ${supported.join(', ')}. One that this machine does not have is taken out of
Debian's packages into the user's cache folder. To see the demo on it:

  PATH="$(dirname "$(npm run --silent haproxy -- 3.2)"):$PATH" npm run demo
`

const [release, ...others] = process.argv.slice(2)
if (release === '--help' || release === '-h') process.stdout.write(usage)
else
  await runScript(async () => {
    if (!/^\d+\.\d+$/.test(release) || others.length > 0) throw new SetupError(`expected one release\n\n${usage}`)
    const path = await findHaproxy(release)
    if (path === null) throw new SetupError(missingHaproxy(release))
    process.stdout.write(`${path}\n`)
    return 0
  })
