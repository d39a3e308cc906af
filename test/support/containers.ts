import { readFileSync } from 'node:fs'
import { decodeContainer } from '../../src/sources/docker/decode.ts'
import type { Container, Engine } from '../../src/types.ts'

/** A recorded answer under test/fixtures, parsed. */
export function fixture(path: string): unknown {
  return JSON.parse(readFileSync(new URL(`../fixtures/${path}`, import.meta.url), 'utf8'))
}

/** A container of a recorded inspection, `running` for container_inspect_running.json. */
export function recorded(name: string): Container {
  const container = decodeContainer(fixture(`docker/container_inspect_${name}.json`))
  if (container === null) throw new Error(`expected a container in ${name}`)
  return container
}

/** A full container id that begins with these digits. */
export function idOf(digits: string): string {
  return digits.padEnd(64, '0')
}

/** A container with defaults: it runs, and listens on 8080. */
export function container(id: string, name: string, parts: Partial<Container> = {}): Container {
  return {
    id: idOf(id),
    name,
    running: true,
    startedAt: '2026-01-01T10:00:00Z',
    network: { kind: 'own' },
    addresses: [],
    ports: [8080],
    published: [],
    ...parts,
  }
}

export function engine(...containers: readonly Container[]): Engine {
  return new Map(containers.map((one) => [one.id, one]))
}
