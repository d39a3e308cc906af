// consul-template as one of the systems, twice: as it is without more than a template and a command, and with the settings that
// serve a large and busy catalog best. The templates and the command are in the folder of its name, for both.

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureGoProgram } from '../../scripts/go.mjs'
import { firstConfiguration } from './haproxy.mjs'

const version = '0.41.1'
const own = fileURLToPath(new URL('consul-template/', import.meta.url))

/** Path of consul-template: on PATH, or built once. */
export function ensureConsulTemplate() {
  return ensureGoProgram(
    {
      name: 'consul-template',
      version,
      module: 'github.com/hashicorp/consul-template',
      pins: own,
      go: 24,
      why: 'to compare with',
    },
    { build: true },
  )
}

/** Waits for quiet as heddle does by default, keeps its connections (one for each service), asks anew less often. */
const tuning = `
wait {
  min = "20ms"
  max = "500ms"
}
max_stale = "10s"
block_query_wait = "5m"
`
const tunedTransport = `
  transport {
    max_idle_conns = 20000
    max_idle_conns_per_host = 20000
  }`

export function consulTemplates(bin) {
  return [
    { name: 'consul-template', prepare: (place) => prepare(bin, place, { settings: '', transport: '' }) },
    {
      name: 'consul-template, tuned',
      prepare: (place) => prepare(bin, place, { settings: tuning, transport: tunedTransport }),
    },
  ]
}

function prepare(bin, place, { settings, transport }) {
  const { folder, address, ports, haproxy, consul, masterSocket, statsSocket } = place
  for (const name of ['candidate', 'live']) mkdirSync(join(folder, name))
  writeFileSync(join(folder, 'live', 'haproxy.cfg'), firstConfiguration(place))
  const file = join(folder, 'consul-template.hcl')
  const templates = ['haproxy.cfg', 'routes.map'].map((name) => templateOf(folder, name))
  writeFileSync(
    file,
    `log_level = "warn"
consul {
  address = "${consul}"${transport}
}
${settings}${templates.join('')}`,
  )
  return {
    files: join(folder, 'live'),
    command: bin,
    args: ['-config', file],
    env: {
      PATH: process.env.PATH,
      BIND: `${address}:${ports.http}`,
      STATS_SOCKET: statsSocket,
      MASTER_SOCKET: masterSocket,
      HAPROXY: haproxy,
      FOLDER: folder,
    },
  }
}

/** Both have the same command, which consul-template runs once after it has rendered both. */
function templateOf(folder, name) {
  return `template {
  source = "${join(own, `${name}.ctmpl`)}"
  destination = "${join(folder, 'candidate', name)}"
  command = ["${join(own, 'apply')}"]
  command_timeout = "2m"
}
`
}
