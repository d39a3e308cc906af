// `npm run bench:peer`: heddle beside consul-template, each with a HAProxy of its own, on the same catalog and machine. Prints a
// table for each size; with --write they go into docs/benchmarks.md.

import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ensureConsul } from '../scripts/consul.mjs'
import { ensureHaproxy, haproxyVersion } from '../scripts/haproxy.mjs'
import { ensureBuild, ensureDependencies, runScript, SetupError, say } from '../scripts/setup.mjs'
import { parseSize } from './catalog.mjs'
import { machine, table, writePart } from './page.mjs'
import { consulTemplates, ensureConsulTemplate } from './peer/consul-template.mjs'
import { atEnd, interruptible, scope } from './peer/ending.mjs'
import { heddle } from './peer/heddle.mjs'
import { measureSystem } from './peer/measure.mjs'
import { cellsOf, notesOf } from './peer/report.mjs'

const help = `Usage: npm run bench:peer -- [--size SIZE]... [--hosts N] [--rounds N] [--only NAME] [--write]

  --size SIZE   services x instances; may be repeated (1000x10)
  --hosts N     Consul nodes that the instances are spread over (20, or one for each 250 instances if that is more)
  --rounds N    rounds of five changes each, timed one by one and then again as churn under load (8)
  --only NAME   heddle or consul-template
  --write       put the tables into docs/benchmarks.md as well

A size takes about ten minutes. Nothing else should run on the machine meanwhile. With few rounds, processor time a change
is rough.
`

const wholeNumber = /^[1-9]\d*$/

function readOptions() {
  const { values } = parseArgs({
    options: {
      size: { type: 'string', multiple: true, default: ['1000x10'] },
      hosts: { type: 'string' },
      rounds: { type: 'string', default: '8' },
      only: { type: 'string' },
      write: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  for (const key of ['hosts', 'rounds'])
    if (!wholeNumber.test(values[key] ?? '1'))
      throw new Error(`expected --${key} to be a number from 1 on, got ${values[key]}`)
  if (!['heddle', 'consul-template', undefined].includes(values.only))
    throw new Error(`expected --only heddle or --only consul-template, got ${values.only}`)
  const sizes = values.size.map((name) => {
    const size = parseSize(name)
    return { name, ...size, hosts: values.hosts === undefined ? hostsFor(size) : Number(values.hosts) }
  })
  return { ...values, sizes, rounds: Number(values.rounds) }
}

/** A host of a weave network has 250 addresses for containers. */
function hostsFor({ services, instances }) {
  return Math.max(20, Math.ceil((services * instances) / 250))
}

const options = optionsOrNull()
if (options?.help) process.stdout.write(help)
else if (options !== null) {
  await runScript(async () => {
    await ensureDependencies()
    await ensureBuild()
    const programs = {
      haproxy: await ensureHaproxy(),
      consul: await ensureConsul({ build: true }),
      consulTemplate: options.only === 'heddle' ? null : await ensureConsulTemplate(),
    }
    const text = await interruptible(() => bench(programs))
    process.stdout.write(text)
    if (options.write) writePart('npm run bench:peer', text)
    return 0
  })
}

function optionsOrNull() {
  try {
    return readOptions()
  } catch ({ message }) {
    process.stderr.write(`heddle: ${message}\n\n${help}`)
    process.exitCode = 2
    return null
  }
}

async function bench(programs) {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-peer-'))
  atEnd(() => rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 50 }))
  const systems = [
    ...(options.only === 'consul-template' ? [] : [heddle]),
    ...(programs.consulTemplate === null ? [] : consulTemplates(programs.consulTemplate)),
  ]
  const parts = [machine(versionsOf(programs))]
  for (const size of options.sizes) {
    const measured = []
    try {
      for (const [index, system] of systems.entries()) {
        const own = join(folder, `${size.name}-${index}`)
        mkdirSync(own)
        measured.push(await measure(system, size, own, programs))
      }
    } catch (error) {
      // some of it took minutes
      if (measured.length > 0) process.stderr.write(`\n${partOf(size, measured)}\n`)
      throw error
    }
    parts.push(partOf(size, measured))
  }
  return parts.join('\n')
}

function measure(system, size, folder, programs) {
  const tell = (text) => say(`${size.name}, ${system.name}: ${text}`)
  const { rounds } = options
  const connections = connectionsFor(size)
  return scope(() => measureSystem({ system, size, rounds, programs, connections, folder, say: tell }))
}

function partOf(size, measured) {
  const { head, body } = cellsOf(measured)
  const title = `${size.name} on ${size.hosts} nodes, ${measured[0].changes} changes:\n`
  return [title, table(head, body), `${notesOf(measured)}\n`].join('\n')
}

/** Of a client, that Consul is to allow; it wants some files for itself. */
function connectionsFor({ services }) {
  const files = Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1])
  const connections = Math.min(15_000, files - 1_000)
  if (connections > services + 100) return connections
  throw new SetupError(`needs more open files than ${files}, for a connection a service: ulimit -n ${services + 2_000}`)
}

function versionsOf({ haproxy, consul, consulTemplate }) {
  const said = (bin, arg) => /v?(\d+\.\d+\.\d+)/.exec(spawnSync(bin, [arg], { encoding: 'utf8' }).stdout)?.[1]
  return [
    `HAProxy ${haproxyVersion(haproxy)?.version}`,
    `Consul ${said(consul, 'version')}`,
    ...(consulTemplate === null ? [] : [`consul-template ${said(consulTemplate, '-version')}`]),
  ]
}
