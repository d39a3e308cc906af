import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { repository } from '../support/images.ts'

/** The units for hosts without containers. */

const text = (path: string) => readFileSync(join(repository, path), 'utf8')
const installed = '/usr/local/lib/node_modules/heddle/'

/** Settings of a unit; of several with one name the last. */
function unit(name: string): ReadonlyMap<string, string> {
  const lines = text(`systemd/${name}.service`).matchAll(/^(\w+)=(.*)$/gm)
  return new Map([...lines].map(([, key = '', value = '']) => [key, value]))
}

describe('the units', () => {
  it('lead to files that the package installs', () => {
    const paths = ['haproxy-heddle.service', 'tmpfiles.conf'].flatMap((file) => [
      ...text(`systemd/${file}`).matchAll(new RegExp(`${installed}(\\S+)`, 'g')),
    ])
    expect(paths.length).toBe(2)
    for (const [, path = ''] of paths) {
      expect([path, existsSync(join(repository, path))]).toEqual([path, true])
      expect(text('package.json')).toContain(`"${path.split('/')[0]}"`)
    }
  })

  it('are of a package that brings its dependencies, since an installation of it reads no lock file', () => {
    const entry = z.object({ dev: z.boolean().optional(), inBundle: z.boolean().optional() })
    const lock = z.object({ packages: z.record(z.string(), entry) }).parse(JSON.parse(text('package-lock.json')))
    const needed = Object.entries(lock.packages).filter(([name, { dev }]) => name !== '' && !dev)
    expect(needed.length).toBeGreaterThan(20)
    expect(needed.filter(([, { inBundle }]) => !inBundle)).toEqual([])
    expect(text('package.json')).toContain('"bundleDependencies": true')
  })

  it('run two users in one group, and only HAProxy has a right, to listen on port 80', () => {
    const [heddle, haproxy] = [unit('heddle'), unit('haproxy-heddle')]
    expect([heddle.get('User'), haproxy.get('User')]).toEqual(['heddle', 'haproxy'])
    expect([heddle.get('Group'), haproxy.get('Group')]).toEqual(['heddle', 'heddle'])
    expect([heddle.get('CapabilityBoundingSet'), heddle.get('AmbientCapabilities')]).toEqual(['', undefined])
    expect(haproxy.get('CapabilityBoundingSet')).toBe('CAP_NET_BIND_SERVICE')
    expect(haproxy.get('AmbientCapabilities')).toBe('CAP_NET_BIND_SERVICE')
    for (const one of [heddle, haproxy]) {
      expect([one.get('NoNewPrivileges'), one.get('ProtectSystem')]).toEqual(['yes', 'strict'])
    }
  })

  it('leave heddle what it does: folders with the setgid bit, code that is compiled as it runs', () => {
    for (const name of ['RestrictSUIDSGID', 'MemoryDenyWriteExecute', 'DynamicUser'])
      expect(unit('heddle').get(name)).toBeUndefined()
    expect(unit('heddle').get('StateDirectoryMode')).toBe('2750')
  })
})
