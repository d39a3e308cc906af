// What the bundled configuration costs a request, beside a HAProxy with one backend and no rules, and one with a configuration
// that was hardened by hand: processor time of the HAProxy process per request, which depends little on what else the machine
// does, and requests per second of one thread.
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { decide, emptyMemory } from '../dist/model/decide.js'
import { renderCandidate, textsOf } from '../dist/render/config.js'
import { loadTemplates } from '../dist/render/templates.js'
import { loadSettings } from '../dist/settings/load.js'
import { modelSettings, renderSettings } from '../dist/settings/projections.js'

const connections = 8
const ticksPerSecond = 100
const services = 1000
const host = '127.91.0.1'
const ports = { origin: 9000, bare: 9001, hardened: 9002, bundled: 9003, quiet: 9004 }

/** Microseconds of processor time per request and requests per second, by configuration. */
export async function measureThroughput({ haproxy, requests, rounds, say }) {
  const folder = mkdtempSync(join(tmpdir(), 'heddle-bench-'))
  const processes = []
  const start = async (name, files) => {
    const own = join(folder, name)
    mkdirSync(own)
    for (const [file, text] of files) writeFileSync(join(own, file), text)
    // one processor, and so one thread
    const child = spawn('taskset', ['-c', '0', haproxy, '-db', '-f', join(own, 'haproxy.cfg')], {
      stdio: ['ignore', 'ignore', 'ignore'],
    })
    processes.push(child)
    await listening(ports[name], child)
    return child.pid
  }
  try {
    await start('origin', [['haproxy.cfg', originConfig()]])
    const pids = {
      bare: await start('bare', [['haproxy.cfg', bareConfig()]]),
      hardened: await start('hardened', hardenedFiles()),
      bundled: await start('bundled', await bundledFiles('bundled', folder, [])),
      quiet: await start('quiet', await bundledFiles('quiet', folder, [['haproxy.accessLog', 'off']])),
    }
    const samples = Object.fromEntries(Object.keys(pids).map((name) => [name, []]))
    for (let round = 0; round < rounds; round++) {
      for (const [name, pid] of Object.entries(pids)) {
        say(`throughput: round ${round + 1} of ${rounds}, ${name}`)
        samples[name].push(await measure(pid, ports[name], requests))
      }
    }
    return Object.fromEntries(Object.entries(samples).map(([name, list]) => [name, typicalOf(list)]))
  } finally {
    for (const child of processes) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true })
  }
}

function typicalOf(samples) {
  const median = (key) => samples.map((sample) => sample[key]).sort((a, b) => a - b)[Math.floor(samples.length / 2)]
  return { microseconds: median('microseconds'), perSecond: median('perSecond') }
}

function originConfig() {
  return `defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend origin
  bind ${host}:${ports.origin}
  http-request return status 200 content-type text/plain string "hello"
`
}

function bareConfig() {
  return `defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
frontend bare
  bind ${host}:${ports.bare}
  default_backend origin
backend origin
  server origin ${host}:${ports.origin}
`
}

/** The same routes to the same origin. */
function hardenedFiles() {
  const frame = readFileSync(new URL('hardened.cfg', import.meta.url), 'utf8')
  const names = Array.from({ length: services }, (_, number) => serviceName(number))
  const backends = names.map((name) => `backend ${name}\n  server origin ${host}:${ports.origin}\n`)
  return [
    ['haproxy.cfg', frame.replace('bind BIND', `bind ${host}:${ports.hardened}`) + backends.join('')],
    ['routes.map', names.map((name) => `${hostOf(name)}/api/ ${name}\n`).join('')],
  ]
}

/** The files that heddle makes of a thousand services, all of them at the origin. */
async function bundledFiles(name, folder, more) {
  const flags = new Map([
    ['weave.cidr', '127.91.0.0/16'],
    ['weave.reserved', '[]'],
    ['haproxy.bind', `["${host}:${ports[name]}"]`],
    ['haproxy.statsBind', `${host}:${ports[name] + 100}`],
    ['haproxy.statsSocket', join(folder, `${name}.sock`)],
    ...more,
  ])
  const { settings } = loadSettings({ file: null, env: {}, flags, isRoot: false })
  const instances = Array.from({ length: services }, (_, number) => instanceOf(number))
  const partitions = new Map(
    instances.map((instance) => [instance.service, { value: [instance], evidence: 'fresh', why: null, at: 0 }]),
  )
  const world = { catalog: { by: 'service', partitions }, engines: new Map(), weave: null, at: 0 }
  const { model } = decide(world, emptyMemory, modelSettings(settings))
  const { templates } = await loadTemplates(null)
  const { candidate } = renderCandidate(model, templates, renderSettings(settings))
  return [...textsOf(candidate)]
}

function serviceName(number) {
  return `web-${number}`
}

function hostOf(service) {
  return `${service}.example.com`
}

function instanceOf(number) {
  const service = serviceName(number)
  return {
    key: `host/${service}`,
    node: 'host',
    nodeAddress: '192.0.2.1',
    id: service,
    service,
    address: host,
    port: ports.origin,
    tags: [`heddle.route=${hostOf(service)}/api`],
    meta: new Map(),
    weaveAddress: null,
    health: 'passing',
    weights: { passing: 1, warning: 1 },
    createIndex: number + 1,
  }
}

async function listening(port, child) {
  for (let attempt = 0; attempt < 200; attempt++) {
    if (child.exitCode !== null)
      throw new Error(`HAProxy ended with ${child.exitCode} before it listened on ${host}:${port}`)
    const isOpen = await new Promise((resolve) => {
      const socket = connect(port, host, () => resolve(true))
      socket.on('error', () => resolve(false)).on('connect', () => socket.end())
    })
    if (isOpen) return
    await delay(25)
  }
  throw new Error(`nothing listens on ${host}:${port}`)
}

/** Always the route that is last in its map, and every URL another, over keep-alive connections. */
async function measure(pid, port, requests) {
  await load(port, Math.ceil(requests / 10))
  const [cpu, start] = [cpuTicks(pid), performance.now()]
  await load(port, requests)
  const elapsed = performance.now() - start
  return {
    microseconds: ((cpuTicks(pid) - cpu) * 1e6) / ticksPerSecond / requests,
    perSecond: (requests * 1000) / elapsed,
  }
}

function cpuTicks(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /s, '')
    .split(' ')
  return Number(fields[11]) + Number(fields[12])
}

async function load(port, requests) {
  let sent = 0
  const lastHost = hostOf(serviceName(services - 1))
  await Promise.all(
    Array.from({ length: connections }, () =>
      oneConnection(port, () => {
        if (sent++ >= requests) return null
        return `GET /api/orders?page=${sent} HTTP/1.1\r\nHost: ${lastHost}\r\nAccept: */*\r\n\r\n`
      }),
    ),
  )
}

function oneConnection(port, next) {
  return new Promise((resolve, reject) => {
    const socket = connect(port, host)
    let received = ''
    const send = () => {
      const request = next()
      if (request === null) socket.end(() => resolve())
      else socket.write(request)
    }
    socket.setNoDelay(true)
    socket.setEncoding('latin1')
    socket.on('connect', send)
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      received += chunk
      if (!received.endsWith('hello')) return
      if (!received.startsWith('HTTP/1.1 200')) return reject(new Error(`unexpected answer: ${received.slice(0, 60)}`))
      received = ''
      send()
    })
  })
}
