import { rename, writeFile } from 'node:fs/promises'

/** Raw answers of Consul as a snapshot document; every field has a default. */

export interface Entry {
  readonly id: string
  readonly address: string
  readonly port: number
  readonly tags?: readonly string[]
  readonly meta?: Readonly<Record<string, string>>
  readonly status?: 'passing' | 'warning' | 'critical' | 'maintenance'
  readonly createIndex?: number
  readonly node?: string
}

export type Services = Readonly<Record<string, readonly Entry[]>>

export function snapshotText(services: Services, more: Readonly<Record<string, unknown>> = {}): string {
  const raw = Object.fromEntries(
    Object.entries(services).map(([name, entries]) => [name, entries.map((entry) => healthEntry(name, entry))]),
  )
  return JSON.stringify({ consul: { services: raw }, ...more }, null, 1)
}

function healthEntry(name: string, entry: Entry) {
  const status = entry.status ?? 'passing'
  const check =
    status === 'maintenance'
      ? { CheckID: `_service_maintenance:${entry.id}`, Status: 'critical', ServiceID: entry.id }
      : { CheckID: `service:${entry.id}`, Status: status, ServiceID: entry.id }
  return {
    Node: { Node: entry.node ?? 'host1', Address: '192.0.2.1' },
    Service: {
      ID: entry.id,
      Service: name,
      Tags: entry.tags ?? [],
      Meta: entry.meta ?? {},
      Address: entry.address,
      Port: entry.port,
      Weights: { Passing: 1, Warning: 1 },
      CreateIndex: entry.createIndex ?? 10,
    },
    Checks: [{ CheckID: 'serfHealth', Status: 'passing', ServiceID: '' }, check],
  }
}

/** Replaces the file at once, as an editor or a script that cares would. */
export async function writeSnapshot(
  file: string,
  services: Services,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  await writeFile(`${file}.new`, snapshotText(services, more))
  await rename(`${file}.new`, file)
}
