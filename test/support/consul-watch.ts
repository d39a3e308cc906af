import { expect, onTestFinished } from 'vitest'
import { type ConsulOptions, type ConsulSettings, consulSource } from '../../src/sources/consul/source.ts'
import type { Report, SourceStatus } from '../../src/sources/source.ts'
import type { CatalogObservation, Health, Instance, Observation } from '../../src/types.ts'
import { eventually } from './eventually.ts'
import type { FakeConsul } from './fake-consul.ts'

/** The Consul source on a fake Consul, with all that it reported. */
export interface ConsulWatch {
  readonly reports: readonly Report<CatalogObservation>[]
  readonly value: () => CatalogObservation
  readonly status: () => SourceStatus
  readonly note: () => string | null
  readonly partition: (name: string) => Observation<readonly Instance[]>
  readonly names: () => readonly string[]
  /** Health by key of an instance, of all partitions. */
  readonly health: () => Readonly<Record<string, Health>>
  /** Every health that an instance was reported with, repetitions left out. */
  readonly healthsOf: (key: string) => readonly Health[]
  /** Resolves when all is fresh. */
  readonly fresh: () => Promise<void>
  readonly stop: () => Promise<void>
}

const usual: Omit<ConsulSettings, 'address'> = {
  token: null,
  tokenFile: null,
  datacenter: null,
  tls: { ca: null, cert: null, key: null, serverName: null },
  maxConnections: 150,
  watch: 'nodes',
  filter: null,
  exposePrefix: 'heddle',
  exposeBy: 'tag',
}

/** Backs off for 2.5 ms, twice that and so on, up to 100 ms. */
const quick: ConsulOptions = { wait: 10_000, margin: 2000, patience: 300, random: () => 0.01 }

export function watchConsul(
  { address }: Pick<FakeConsul, 'address'>,
  settings: Partial<ConsulSettings> = {},
  options: ConsulOptions = {},
): ConsulWatch {
  const reports: Report<CatalogObservation>[] = []
  const controller = new AbortController()
  const source = consulSource({ ...usual, address, ...settings }, { ...quick, ...options })
  const ended = source((report) => reports.push(report), controller.signal)
  const stop = async () => {
    controller.abort()
    await ended
  }
  onTestFinished(stop)

  const last = () => {
    const report = reports.at(-1)
    if (report === undefined) throw new Error('expected a report')
    return report
  }
  const value = () => {
    const report = last()
    if (report.value === null) throw new Error(`expected a value, got ${report.status.error}`)
    return report.value
  }
  return {
    reports,
    value,
    status: () => last().status,
    note: () => last().status.note,
    partition: (name) => {
      const observation = value().partitions.get(name)
      if (observation === undefined) throw new Error(`expected ${name} to be known`)
      return observation
    },
    names: () => [...value().partitions.keys()].sort(),
    health: () => healthOf(value()),
    healthsOf: (key) => {
      const all = reports.flatMap((report) => (report.value === null ? [] : [healthOf(report.value)[key]]))
      const known = all.filter((health) => health !== undefined)
      return known.filter((health, position) => health !== known[position - 1])
    },
    fresh: () => eventually(() => expect(last().status.state).toBe('fresh')),
    stop,
  }
}

function healthOf({ partitions }: CatalogObservation): Readonly<Record<string, Health>> {
  const instances = [...partitions.values()].flatMap((observation) => observation.value)
  return Object.fromEntries(instances.map(({ key, health }) => [key, health]))
}

/** All settings of a connection to it. */
export function connection({ address }: Pick<FakeConsul, 'address'>): ConsulSettings {
  return { ...usual, address }
}

/** An instance of host1 that has the tag of heddle; `more` replaces any of it. */
export function shop(
  id: string,
  more: Partial<Parameters<FakeConsul['register']>[0]> = {},
): Parameters<FakeConsul['register']>[0] {
  return { node: 'host1', id, service: 'shop', tags: ['heddle'], status: 'passing', ...more }
}
