// heddle as one of the systems: its default settings, but for where things are.

import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { containerRange } from './catalog.mjs'
import { firstConfiguration } from './haproxy.mjs'

const program = fileURLToPath(new URL('../../dist/cli.js', import.meta.url))

export const heddle = {
  name: 'heddle',
  /** Where HAProxy reads its files, and how to start the controller. */
  prepare: (place) => {
    const directory = join(place.folder, 'lib')
    mkdirSync(join(directory, 'revisions', 'bootstrap'), { recursive: true, mode: 0o750 })
    writeFileSync(join(directory, 'revisions', 'bootstrap', 'haproxy.cfg'), firstConfiguration(place))
    symlinkSync('revisions/bootstrap', join(directory, 'current'))
    const file = join(place.folder, 'heddle.yaml')
    writeFileSync(file, JSON.stringify(settingsOf(place, directory)))
    return {
      files: join(directory, 'current'),
      command: process.execPath,
      args: [program, '--config', file, 'run'],
      env: withoutOurs(process.env),
    }
  },
}

function settingsOf({ address, ports, haproxy, consul, masterSocket, statsSocket }, directory) {
  return {
    consul: { address: consul },
    weave: { cidr: containerRange, reserved: [], docker: {} },
    haproxy: {
      bin: haproxy,
      directory,
      masterSocket,
      statsSocket,
      bind: [`${address}:${ports.http}`],
      statsBind: `${address}:${ports.stats}`,
    },
    status: { listen: `${address}:${ports.status}` },
  }
}

/** Settings of whoever runs this are not the defaults. */
function withoutOurs(env) {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(HEDDLE|CONSUL)_/.test(name)))
}
