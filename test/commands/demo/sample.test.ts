import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { sampleProbes } from '../../../src/commands/demo/judge.ts'
import { readSample } from '../../../src/commands/demo/sample.ts'
import { explain, parseQuestion } from '../../../src/model/explain.ts'
import { decideFor, instance, settings } from '../../support/worlds.ts'

const instances = readSample(await readFile('demo/snapshot.yaml', 'utf8'))
const { expose, weave } = parse(await readFile('demo/heddle.yaml', 'utf8'))

const decision = decideFor(
  instances.map(({ service, id, meta, health, ...rest }, index) =>
    instance(service, id, { ...rest, meta: { ...meta }, health, createIndex: index + 1 }),
  ),
  {
    settings: {
      expose: { ...settings.expose, domain: expose.domain },
      weave: { ...settings.weave, cidr: weave.cidr, reserved: weave.reserved },
    },
  },
)

describe('the sample catalog', () => {
  it('has no problems', () => {
    expect(decision.problems).toEqual([])
  })

  it('gives every container an address of its own', () => {
    expect(new Set(instances.map(({ address }) => address)).size).toBe(instances.length)
  })

  it.each(sampleProbes.map((probe) => [`${probe.host}${probe.path}`, probe] as const))(
    'answers %s as the client of the demo expects',
    (url, { expected }) => {
      const found = explain(decision.model, parseQuestion(url, 'GET'), 'auto')
      if (expected.kind === 'service') {
        expect(found).toMatchObject({ answer: 'service', service: expected.service, path: expected.path })
        expect(found.route?.rewrite.strip ?? null).toBe(expected.prefix)
      } else if (expected.kind === 'redirect') {
        expect(found).toMatchObject({ answer: 'redirect', location: expected.location })
      } else {
        expect(found.answer).toBe(expected.status)
      }
    },
  )

  it('has a question for every route', () => {
    const asked = sampleProbes.map(({ host, path }) => {
      return explain(decision.model, parseQuestion(`${host}${path}`, 'GET'), 'auto').route?.match
    })
    for (const { match } of decision.model.routes) expect(asked).toContainEqual(match)
  })
})
