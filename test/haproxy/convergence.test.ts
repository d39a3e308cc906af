import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { openSession } from '../../src/haproxy/runtime.ts'
import { type Farewells, takeLeave } from '../../src/plan/leaving.ts'
import { isTidying, plan } from '../../src/plan/plan.ts'
import type { Candidate, Model, Running } from '../../src/types.ts'
import { anyModel, model } from '../support/models.ts'
import { type RenderedSite, readBack, renderedSite, wordless } from '../support/rendered.ts'

/** What is planned, told a real HAProxy and read back, again and again until nothing is left. */
async function converge({ folder, candidate: loaded }: RenderedSite, from: Running, made: Model, candidate: Candidate) {
  const opened = await openSession(folder, from)
  if (opened.kind === 'failed') throw new Error(opened.why)
  let running = from
  let farewells: Farewells = new Map()
  try {
    for (let now = 0; now < 20 * 60_000; now += 60_000) {
      const open = plan(running, { model: made, candidate }, loaded.parts)
      if (open.steps.length === 0 && open.leaving.length === 0) return { running, reload: open.reload }
      const leaving = takeLeave(farewells, open, running, { applied: null, endpoints: new Map(), now })
      farewells = leaving.farewells
      const taken = await opened.session.take(running, [...open.steps, ...leaving.steps])
      if (taken.kind !== 'taken') throw new Error(taken.why)
      running = taken.running
    }
  } finally {
    opened.session.close()
  }
  throw new Error('there is always something left to do')
}

describe('a real HAProxy that is told one model after the other', () => {
  it('has the servers and routes of each, but what only a reload can bring', async () => {
    const site = await renderedSite(model([], []), { spares: 64 })
    let { running } = site
    await fc.assert(
      fc.asyncProperty(anyModel, async (made) => {
        const candidate = site.render(made)
        const end = await converge(site, running, made, candidate)
        running = end.running
        expect(wordless(running)).toEqual(await readBack(site.folder))
        expect(running.revision === candidate.hash).toBe(isTidying(end.reload))
        const missing = new Set(end.reload.filter(({ code }) => code === 'new-backend').map(({ subject }) => subject))
        for (const { id, servers } of made.backends.values()) {
          const found = running.servers.get(id)
          expect([...(found?.keys() ?? [])].sort()).toEqual(
            missing.has(id) ? [] : servers.map(({ name }) => name).sort(),
          )
          for (const { name, weight, state } of missing.has(id) ? [] : servers)
            expect([name, found?.get(name)]).toEqual([name, expect.objectContaining({ weight, state, address: name })])
        }
        for (const [key, value] of candidate.maps.get('routes.map') ?? [])
          if (!missing.has(value.split('|')[0] ?? '')) expect(running.maps.get('routes.map')?.get(key)).toBe(value)
        for (const key of running.maps.get('routes.map')?.keys() ?? [])
          expect(candidate.maps.get('routes.map')?.has(key)).toBe(true)
        expect(running.maps.get('hosts.map')).toEqual(candidate.maps.get('hosts.map'))
      }),
      { numRuns: 40, endOnFailure: true },
    )
  })
})
