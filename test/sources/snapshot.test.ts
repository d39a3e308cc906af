import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { decodeDocument, encodeDocument, type SnapshotDocument } from '../../src/sources/snapshot-document.ts'
import { snapshotText } from '../support/snapshots.ts'

function read(text: string, before: SnapshotDocument | null = null): SnapshotDocument {
  const decoded = decodeDocument(text, 'heddle', before)
  if (decoded.kind === 'invalid') throw new Error(decoded.why)
  return decoded.document
}

const fixture = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`../fixtures/${name}`, import.meta.url), 'utf8'))

const entry = {
  id: 'w1',
  address: '10.2.1.1',
  port: 80,
  tags: ['heddle.route=a.example'],
  meta: { 'heddle-weight': '3', foreign: 'x' },
}

describe('a snapshot document', () => {
  it('is read as JSON and as YAML', () => {
    const fromJson = read(snapshotText({ web: [entry] }))
    const yaml = `
consul:
  services:
    web:
      - Node: {Node: host1, Address: 192.0.2.1}
        Service: {ID: w1, Service: web, Tags: [heddle.route=a.example], Meta: {heddle-weight: "3"}, Address: 10.2.1.1, Port: 80, CreateIndex: 10, Weights: {Passing: 1, Warning: 1}}
        Checks: []
`
    expect(read(yaml).services).toEqual(fromJson.services)
  })

  it('written is read back to the same, with real answers of Docker and weave', () => {
    const docker = {
      host1: ['running', 'running_web2', 'stopped', 'hostnet', 'peer'].map((name) =>
        fixture(`docker/container_inspect_${name}.json`),
      ),
    }
    const document = read(
      snapshotText({ web: [entry] }, { docker, weave: fixture('weave/report_2peers_tombstones_r1.json') }),
    )
    const { services, engines, weave } = document
    const text = encodeDocument({ catalog: { services }, engines, weave, memory: null }, 'heddle')
    const again = read(text)
    expect(again.services).toEqual(new Map([...services].map(([name, list]) => [name, list])))
    expect(again.engines).toEqual(engines)
    expect(again.weave).toEqual(weave)
    expect(text).not.toContain('SERVICE_TAGS')
    expect(text).not.toContain('foreign')
  })

  it('keeps the identity of services that did not change', () => {
    const before = read(snapshotText({ web: [entry], api: [{ ...entry, id: 'a1' }] }))
    const after = read(snapshotText({ web: [entry], api: [{ ...entry, id: 'a1', port: 81 }] }), before)
    expect(after.services.get('web')).toBe(before.services.get('web'))
    expect(after.services.get('api')).not.toBe(before.services.get('api'))
  })

  it('leaves out what it can not read and says so', () => {
    const document = read('{"consul":{"services":{"web":[1,{}],"__proto__":[],"x":7}},"docker":{"h":5},"weave":{}}')
    expect([...document.services.keys()].sort()).toEqual(['__proto__', 'web', 'x'])
    expect(document.skipped.length).toBeGreaterThanOrEqual(4)
  })

  it.each(['', '{', '[]', '{"consul":{}}', `${'['.repeat(50_000)}`, 'a: &a [*a]', '\u0000'])(
    'that is none is refused: %#',
    (text) => {
      expect(decodeDocument(text, 'heddle', null).kind).toBe('invalid')
    },
  )
})
