// `npm run bench`: what heddle costs, by size of the catalog, and what its configuration costs a request. Prints tables;
// with --write they go into docs/benchmarks.md.

import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { ensureHaproxy, haproxyVersion } from '../scripts/haproxy.mjs'
import { ensureBuild, ensureDependencies, runScript, say } from '../scripts/setup.mjs'
import { catalogOf, parseSize } from './catalog.mjs'
import { machine, table, writePart } from './page.mjs'

const help = `Usage: npm run bench -- [--size SIZE]... [--runs N] [--write]

  --size SIZE   services x instances; may be repeated (100x5, 1000x10 and 5000x10)
  --runs N      processes for each size, of which the median counts (5)
  --write       put the tables into docs/benchmarks.md as well

Nothing else should run on the machine meanwhile.
`

const { values: options } = parseArgs({
  options: {
    size: { type: 'string', multiple: true, default: ['100x5', '1000x10', '5000x10'] },
    runs: { type: 'string', default: '5' },
    write: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (options.help) process.stdout.write(help)
else if (!(Number(options.runs) >= 1)) {
  process.stderr.write(`heddle: expected --runs to be a number from 1 on, got ${options.runs}\n`)
  process.exitCode = 2
} else {
  await runScript(async () => {
    await ensureDependencies()
    await ensureBuild()
    const haproxy = await ensureHaproxy()
    const text = await bench(haproxy)
    process.stdout.write(text)
    if (options.write) writePart('npm run bench', text)
    return 0
  })
}

async function bench(haproxy) {
  // compiled only now
  const { measureProcess } = await import('./process.mjs')
  const { measureThroughput } = await import('./throughput.mjs')
  const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
  try {
    const sizes = []
    for (const size of options.size) {
      const snapshot = join(folder, `${size}.json`)
      writeFileSync(snapshot, JSON.stringify(catalogOf(parseSize(size))))
      const runs = Array.from({ length: Number(options.runs) }, (_, run) => {
        say(`${size}: run ${run + 1} of ${options.runs}`)
        return pipeline(snapshot)
      })
      say(`${size}: as a process`)
      sizes.push({ size, ...median(runs), process: await measureProcess({ snapshot, haproxy }) })
    }
    const throughput = await measureThroughput({ haproxy, requests: 30_000, rounds: 5, say })
    const programs = [`HAProxy ${haproxyVersion(haproxy)?.version}`]
    return [machine(programs), pureTable(sizes), processTable(sizes), throughputTable(throughput)].join('\n')
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function pipeline(snapshot) {
  const script = fileURLToPath(new URL('pipeline.mjs', import.meta.url))
  const { status, stdout } = spawnSync(process.execPath, [script, snapshot], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (status !== 0) throw new Error(`${script} ended with ${status}`)
  return JSON.parse(stdout)
}

function median(runs) {
  const middle = (key) => runs.map((run) => run[key]).sort((a, b) => a - b)[Math.floor(runs.length / 2)]
  return Object.fromEntries(Object.keys(runs[0]).map((key) => [key, middle(key)]))
}

function pureTable(sizes) {
  return table(
    ['size', 'read', 'decide', 'plan', 'files', 'from nothing', 'one change', 'ratio', 'its files', 'peak memory'],
    sizes.map((one) => {
      const nothing = one.read + one.decide + one.plan + one.files
      const change = one.changeDecide + one.changePlan
      return [
        one.size,
        ms(one.read),
        ms(one.decide),
        ms(one.plan),
        ms(one.files),
        ms(nothing),
        ms(change),
        `1/${Math.round((one.decide + one.plan) / change)}`,
        ms(one.changeFiles),
        `${Math.round(one.peak)} MB`,
      ]
    }),
  )
}

function processTable(sizes) {
  return table(
    ['size', 'ready after', 'peak memory', 'after a while'],
    sizes.map(({ size, process: one }) => [
      size,
      `${(one.ready / 1000).toFixed(1)} s`,
      `${Math.round(one.peak)} MB`,
      `${Math.round(one.resting)} MB`,
    ]),
  )
}

function throughputTable({ bare, hardened, bundled, quiet }) {
  const row = (name, one) => [
    name,
    `${one.microseconds.toFixed(1)} µs`,
    (bare.microseconds / one.microseconds).toFixed(2),
    (hardened.microseconds / one.microseconds).toFixed(2),
    Math.round(one.perSecond).toLocaleString('en'),
  ]
  return table(
    ['HAProxy', 'processor time a request', 'throughput of a thread beside bare', 'beside hardened', 'requests/s seen'],
    [
      row('bare: one backend, no rules, no log', bare),
      row('hardened by hand, 1,000 routes', hardened),
      row('bundled, 1,000 routes, access log off', quiet),
      row('bundled, 1,000 routes', bundled),
    ],
  )
}

function ms(value) {
  return `${value < 10 ? value.toFixed(1) : Math.round(value).toLocaleString('en')} ms`
}
