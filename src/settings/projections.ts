import { hideUserinfo } from '../printable.ts'
import type { ModelSettings, RenderSettings } from '../types.ts'
import { type Nested, nest, valueAt } from './keys.ts'
import type { Settings } from './schema.ts'

/** What the pure core needs to know. */
export function modelSettings({ expose, weave }: Settings): ModelSettings {
  return {
    expose: { by: expose.by, prefix: expose.prefix, domain: expose.domain },
    weave: { cidr: weave.cidr, reserved: weave.reserved, fallback: weave.fallback },
  }
}

/** What lands in haproxy.cfg, and so in the revision's hash. */
export function renderSettings({ haproxy }: Settings): RenderSettings {
  return {
    bind: haproxy.bind,
    acceptProxy: haproxy.acceptProxy,
    trustedProxies: haproxy.trustedProxies,
    monitor: haproxy.monitor,
    maxconn: haproxy.maxconn,
    timeouts: haproxy.timeouts,
    hardStopAfter: haproxy.hardStopAfter,
    maxOldWorkers: haproxy.maxOldWorkers,
    spares: haproxy.spares,
    paths: haproxy.paths,
    headerNames: haproxy.headerNames,
    accessLog: haproxy.accessLog,
    log: haproxy.log,
    statsBind: haproxy.statsBind,
    statsSocket: haproxy.statsSocket,
    socketGid: haproxy.socketGid,
    user: haproxy.user,
    group: haproxy.group,
    chroot: haproxy.chroot,
  }
}

/** How to reach the agent and what to read there. At most one of `token` and `tokenFile` is set. */
export interface ConsulSettings {
  /** `http://` or `https://`, host and port; may hold `user:password@`. */
  readonly address: string
  readonly token: string | null
  readonly tokenFile: string | null
  readonly datacenter: string | null
  readonly tls: {
    readonly ca: string | null
    readonly cert: string | null
    readonly key: string | null
    readonly serverName: string | null
  }
  readonly watch: 'auto' | 'nodes' | 'services'
  readonly maxConnections: number | null
  readonly filter: string | null
  readonly exposePrefix: string
  readonly exposeBy: 'tag' | 'all'
}

export function consulSettings({ consul, expose }: Settings): ConsulSettings {
  return { ...consul, exposePrefix: expose.prefix, exposeBy: expose.by }
}

export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json }

/** All settings as plain JSON, durations in milliseconds, every secret replaced by "(set)". */
export function redact(settings: Settings): Nested<Json> {
  return nest((setting) => {
    const value = valueAt(settings, setting.path)
    return setting.isSecret && value !== null ? '(set)' : toJson(value)
  })
}

function toJson(value: unknown): Json {
  if (typeof value === 'string') return hideUserinfo(value, '(set)')
  if (typeof value === 'number' || typeof value === 'boolean') return value
  if (Array.isArray(value)) return value.map(toJson)
  if (typeof value !== 'object' || value === null) return null
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return Object.fromEntries(entries.map(([name, inner]) => [String(name), toJson(inner)]))
}
