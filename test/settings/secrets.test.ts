import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { loadSettings } from '../../src/settings/load.ts'
import { describeProblems } from '../../src/settings/problems.ts'
import { redact } from '../../src/settings/projections.ts'
import { inputOf, problemsOf, settingsOf, type Written } from './load.ts'

const canary = 'CANARY'

function outputOf(written: Written): string {
  const loaded = loadSettings(inputOf(written))
  if (loaded.kind === 'ok') return JSON.stringify(redact(loaded.settings))
  return JSON.stringify(loaded.problems) + describeProblems(loaded.problems)
}

describe('a secret', () => {
  it.each<[string, Written]>([
    ['that is right', { yaml: `consul: {token: ${canary}}\nstatus: {token: ${canary}}` }],
    ['in the environment', { env: { HEDDLE_CONSUL_TOKEN: canary, CONSUL_HTTP_TOKEN: canary } }],
    ['with a blank', { yaml: `consul: {token: "a ${canary}"}` }],
    ['that is a list', { yaml: `consul: {token: [${canary}]}` }],
    ['that is a map', { yaml: `status: {token: {${canary}: ${canary}}}` }],
    ['one level too high', { yaml: `consul: ${canary}` }],
    ['at the top', { yaml: canary }],
    ['of an unknown name', { yaml: `consul: {tokn: ${canary}}\npassword: ${canary}` }],
    ['without the blank after its name', { yaml: `consul: {token:${canary}}` }],
    ['without the blank after its name, on a line of its own', { yaml: `consul:\n  watch: auto\n  token:${canary}` }],
    ['that looks like an alias', { yaml: `consul: {token: *${canary}}` }],
    ['that looks like a tag', { yaml: `consul: {token: !${canary} x}` }],
    ['that begins with a mark', { yaml: `consul: {token: "@${canary}", tokenFile: @${canary}}` }],
    ['behind an open quote', { yaml: `consul: {token: "${canary}` }],
    ['as a block with a wrong head', { yaml: `consul:\n  token: |${canary}\n` }],
    ['in a URL', { yaml: `consul: {address: "http://u:${canary}@h:1"}\nweave: {router: "http://${canary}@h:1"}` }],
    ['in the URL of an engine', { yaml: `weave: {docker: {host1: "http://u:${canary}@h:1"}}` }],
    ['in a wrong URL', { yaml: `consul: {address: "http://u:${canary}@h:1/x"}` }],
    ['in a URL with a slash in the password', { yaml: `consul: {address: "http://u:/${canary}@h:1"}` }],
    ['in a URL without its scheme', { env: { CONSUL_HTTP_ADDR: `u:${canary} @h:1` } }],
    ['in the wrong URL of an engine', { yaml: `weave: {docker: {host1: "ftp://u:${canary}@h:1"}}` }],
    ['in a URL as the name of a node', { yaml: `weave: {docker: {"http://u:${canary}@h:1": x}}` }],
    ['in a flag', { flags: { 'consul.token': `a ${canary}` } }],
    ['in an unknown flag', { flags: { 'consul.tokn': canary } }],
    ['in an unknown variable', { env: { HEDDLE_TOKEN: canary } }],
    ['in a variable that is no YAML', { env: { HEDDLE_WEAVE_DOCKER: `{a: "http://u:${canary}@h"` } }],
  ])('%s is not shown', (_, written) => {
    expect(outputOf(written)).not.toContain(canary)
  })

  it('is not shown wherever in a line of the file it stands', () => {
    const yaml = `consul:\n  address: http://127.0.0.1:8500\n  token: ${canary}\n  datacenter: dc1\n`
    const start = yaml.indexOf(canary)
    fc.assert(
      fc.property(
        fc.nat({ max: start }),
        fc.nat({ max: 8 }),
        fc.constantFrom('', ' ', '\n', '\t', '[', '{', '"', '@', '*', ':', '|'),
        (at, length, instead) => {
          // Damage anything in front of the secret but its own name.
          const from = Math.min(at, yaml.indexOf('token'))
          const to = Math.min(from + length, yaml.indexOf('token'))
          expect(outputOf({ yaml: yaml.slice(0, from) + instead + yaml.slice(to) })).not.toContain(canary)
        },
      ),
      { numRuns: 1_000 },
    )
  })
})

describe('redacted settings', () => {
  it('tell whether a secret is set', () => {
    expect(redact(settingsOf({ flags: { 'consul.token': canary } }))).toMatchObject({
      consul: { token: '(set)', address: 'http://127.0.0.1:8500' },
      status: { token: null },
    })
  })

  it('keep the host of a URL', () => {
    const flags = { 'consul.address': 'https://u:p@h:1', 'weave.docker': '{a: "tcp://u:p@h:2"}' }
    expect(redact(settingsOf({ flags }))).toMatchObject({
      consul: { address: 'https://(set)@h:1' },
      weave: { docker: { a: { url: 'tcp://(set)@h:2', ca: null } } },
    })
  })

  it('are plain JSON of every group', () => {
    const redacted = redact(settingsOf())
    expect(JSON.parse(JSON.stringify(redacted))).toEqual(redacted)
    expect(Object.keys(redacted)).toEqual(Object.keys(settingsOf()))
  })

  it('of a problem show what stands before an @ as hidden', () => {
    expect(problemsOf({ flags: { 'consul.address': 'u:p@h:1' } })).toMatchObject([{ got: '"(hidden)@h:1"' }])
  })
})
