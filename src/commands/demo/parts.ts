import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { createSnapshotCatalog, type SampleCatalog } from './catalog.ts'
import { findConsul, startConsul } from './consul.ts'
import { type Containers, chooseContainerPort, createContainers } from './containers.ts'
import {
  type Child,
  type Environment,
  endProcessesOf,
  findProgram,
  freePort,
  startChild,
  withoutSettings,
} from './processes.ts'
import { readSample, type SampleInstance } from './sample.ts'

/** Everything of the demo that runs. */
export interface Parts {
  readonly containers: Containers
  readonly catalog: SampleCatalog
  readonly sample: readonly SampleInstance[]
  /** What holds the catalog, in words. */
  readonly source: string
  readonly heddle: Child
  /** Settings of the running heddle: other commands take it with `--config`. */
  readonly settingsFile: string
  readonly ports: Ports
}

export interface Ports {
  /** HAProxy's, for the routes. */
  readonly routes: number
  /** HAProxy's own page. */
  readonly haproxy: number
  /** heddle's page, API and metrics. */
  readonly status: number
}

export interface PartsOptions {
  readonly port: number | null
  readonly env: Environment
  /** The compiled command line: `dist/cli.js`. */
  readonly cli: string
  readonly signal: AbortSignal
  /** Takes what ends a part, before the part is used. They are called last one first. */
  readonly onEnd: (close: () => Promise<void>) => void
}

/** A thing the person has to see to; shown without a stack. */
export class DemoError extends Error {}

// The same depth from src/commands/demo and from dist/commands/demo.
const sampleFile = fileURLToPath(new URL('../../../demo/snapshot.yaml', import.meta.url))

/** Starts containers, catalog and heddle, which starts HAProxy. What was started is given to `onEnd`, also on failure. */
export async function startParts(options: PartsOptions): Promise<Parts> {
  const { env, signal, onEnd } = options
  const haproxy = await findProgram('haproxy', env, ['/usr/sbin', '/usr/local/sbin'])
  if (haproxy === null) throw new DemoError('needs HAProxy: install the package `haproxy`, then try again')
  const ports = await choosePorts(options.port)

  const folder = await mkdtemp(join(tmpdir(), 'heddle-demo-'))
  onEnd(() => rm(folder, { recursive: true, force: true, maxRetries: 3 }))

  const { containers, sample } = await startContainers(onEnd)
  signal.throwIfAborted()
  const { catalog, source, settings, flags } = await startCatalog(options, folder, sample)
  signal.throwIfAborted()

  const settingsFile = join(folder, 'heddle.yaml')
  await writeFile(settingsFile, stringify({ ...settings, ...heddleSettings(folder, haproxy, ports) }), { mode: 0o600 })
  const args = [options.cli, '--config', settingsFile, 'run', ...flags]
  const heddle = startChild('heddle', process.execPath, args, withoutSettings(env))
  onEnd(async () => {
    await heddle.stop()
    await endProcessesOf(haproxy, folder)
  })
  return { containers, catalog, sample, source, heddle, settingsFile, ports }
}

async function choosePorts(wanted: number | null): Promise<Ports> {
  const routes = await freePort('127.0.0.1', wanted ?? 0).catch(() => {
    throw new DemoError(`port ${wanted} is taken: choose another one with --port, or none`)
  })
  return { routes, haproxy: await freePort(), status: await freePort() }
}

async function startContainers(
  onEnd: PartsOptions['onEnd'],
): Promise<{ readonly containers: Containers; readonly sample: readonly SampleInstance[] }> {
  const written = readSample(await readFile(sampleFile, 'utf8'))
  const port = await chooseContainerPort(written[0]?.address ?? '127.2.1.1')
  const sample = written.map((instance) => ({ ...instance, port }))
  const containers = createContainers()
  onEnd(() => containers.stopAll())
  for (const instance of sample) await containers.start(instance)
  return { containers, sample }
}

interface StartedCatalog {
  readonly catalog: SampleCatalog
  readonly source: string
  readonly settings: Readonly<Record<string, unknown>>
  /** Of `heddle run`. */
  readonly flags: readonly string[]
}

async function startCatalog(
  options: PartsOptions,
  folder: string,
  sample: readonly SampleInstance[],
): Promise<StartedCatalog> {
  const program = await findConsul(options.env)
  if (program === null) {
    const file = join(folder, 'snapshot.json')
    const catalog = await createSnapshotCatalog(file, sample)
    return { catalog, source: `the snapshot file ${file}`, settings: {}, flags: ['--snapshot', file] }
  }
  const { catalog, child, url } = await startConsul(program, sample, options.env, options.signal)
  options.onEnd(() => child.stop())
  return { catalog, source: `Consul at ${url}`, settings: { consul: { address: url } }, flags: [] }
}

function heddleSettings(folder: string, haproxy: string, ports: Ports): Readonly<Record<string, unknown>> {
  return {
    expose: { domain: 'demo.localhost' },
    weave: { cidr: '127.2.0.0/16', reserved: ['127.2.0.0/24'], docker: {} },
    haproxy: {
      process: 'spawn',
      bin: haproxy,
      directory: join(folder, 'heddle'),
      masterSocket: join(folder, 'master.sock'),
      statsSocket: join(folder, 'stats.sock'),
      bind: [`127.0.0.1:${ports.routes}`],
      statsBind: `127.0.0.1:${ports.haproxy}`,
      accessLog: false,
    },
    status: { listen: `127.0.0.1:${ports.status}` },
    log: { format: 'pretty' },
  }
}

/** Returns once `condition` holds. Rejects with heddle's last lines when it ends before, or takes longer than a minute. */
export async function waitFor(
  condition: () => Promise<boolean>,
  heddle: Child,
  signal: AbortSignal,
  what: string,
): Promise<void> {
  const deadline = Date.now() + 60_000
  while (!(await condition())) {
    signal.throwIfAborted()
    if (!heddle.isRunning()) throw new DemoError(`heddle ${await heddle.ended}:\n${heddle.lastLines()}`)
    if (Date.now() > deadline) throw new DemoError(`${what} within a minute; heddle says:\n${heddle.lastLines()}`)
    await delay(50)
  }
}
