import { decide, emptyMemory } from '../../src/model/decide.ts'
import type { Decision, Instance, Memory, ModelSettings, Ms, Observation, World } from '../../src/types.ts'

/** Builders of small catalogs: everything has a default, so that a test says only what it is about. */

export const noon: Ms = Date.UTC(2026, 0, 1, 12)

export const settings: ModelSettings = {
  expose: { by: 'tag', prefix: 'heddle', domain: null },
  weave: { cidr: '10.2.0.0/16', reserved: ['10.2.0.0/24'], fallback: 'none' },
}

export interface InstanceParts extends Partial<Omit<Instance, 'key' | 'service' | 'meta'>> {
  readonly meta?: Record<string, string>
}

export function instance(service: string, id: string, parts: InstanceParts = {}): Instance {
  const { meta, ...rest } = parts
  const node = parts.node ?? 'host1'
  return {
    node,
    nodeAddress: '192.0.2.1',
    id,
    service,
    address: '10.2.1.1',
    port: 8080,
    tags: [],
    weaveAddress: null,
    health: 'passing',
    weights: { passing: 1, warning: 1 },
    createIndex: 100,
    ...rest,
    key: `${node}/${id}`,
    meta: new Map(Object.entries(meta ?? {})),
  }
}

/** A service of one instance with these routes. */
export function routed(service: string, routes: readonly string[], parts: InstanceParts = {}): Instance {
  return instance(service, `${service}-1`, { tags: routes.map((route) => `heddle.route=${route}`), ...parts })
}

export function fresh<T>(value: T, at: Ms = noon): Observation<T> {
  return { value, evidence: 'fresh', why: null, at }
}

export function worldOf(instances: readonly Instance[], at: Ms = noon): World {
  const services = new Map<string, Instance[]>()
  for (const one of instances) services.set(one.service, [...(services.get(one.service) ?? []), one])
  const sorted = [...services].map(([service, group]) => {
    return [
      service,
      fresh(
        [...group].sort((a, b) => (a.key < b.key ? -1 : 1)),
        at,
      ),
    ] as const
  })
  return { catalog: { by: 'service', partitions: new Map(sorted) }, engines: new Map(), weave: null, at }
}

export function decideFor(
  instances: readonly Instance[],
  more: Partial<{ memory: Memory; at: Ms; settings: ModelSettings }> = {},
): Decision {
  return decide(worldOf(instances, more.at ?? noon), more.memory ?? emptyMemory, more.settings ?? settings)
}

/** `match -> service` of every route. */
export function routeTexts(decision: Decision): readonly string[] {
  return decision.model.routes.map(({ match, service }) => {
    const mark = { prefix: '', exact: '$', raw: '*' }[match.kind]
    return `${match.host === '*' ? '' : match.host}${match.path}${mark} -> ${service}`
  })
}

export function problemCodesOf(decision: Decision): readonly string[] {
  return decision.problems.map(({ code }) => code)
}
