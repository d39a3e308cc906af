import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type Farewells, takeLeave } from '../../src/plan/leaving.ts'
import { isTidying, plan, type Wanted } from '../../src/plan/plan.ts'
import { isSpare } from '../../src/render/spares.ts'
import type { Candidate, Model, RunningServer, ServerState } from '../../src/types.ts'
import { backend, candidateOf, model, route, runningOf, runningServer, server } from './models.ts'
import { afterStep, answers, observed, type Worker } from './worker.ts'

/** Whatever runs, the plans that follow from it, each made of what was read back after the one before, lead to what is wanted. */

const ids = ['a', 'b', 'c', 'global']
const spares = [':spare1', ':spare2', ':sticky1']
const states: readonly ServerState[] = ['ready', 'drain', 'maint']

const anyServer = fc
  .record({
    last: fc.integer({ min: 1, max: 5 }),
    weight: fc.integer({ min: 1, max: 3 }),
    state: fc.constantFrom(...states),
    backup: fc.boolean(),
  })
  .map(({ last, ...change }) => server(last, change))
const anyBackend = (id: string) =>
  fc
    .record({
      servers: fc.uniqueArray(anyServer, { selector: ({ name }) => name, maxLength: 4 }),
      sticky: fc.constantFrom(null, null, 'SRV'),
      balance: fc.constantFrom('roundrobin' as const, 'roundrobin' as const, 'leastconn' as const),
      maxconn: fc.constantFrom(null, 5, 9),
    })
    .map(({ servers, ...section }) => backend(id, servers, section))
const anyModel: fc.Arbitrary<Model> = fc
  .subarray(ids)
  .chain((some) => fc.tuple(...some.map(anyBackend)))
  .chain((backends) =>
    fc
      .uniqueArray(fc.tuple(fc.constantFrom('/', '/x', '/y', '/z'), fc.nat(9)), { selector: ([path]) => path })
      .map((pairs) =>
        model(
          backends,
          pairs.flatMap(([path, at]) => {
            const target = backends[at % Math.max(1, backends.length)]
            return target === undefined ? [] : [route(path, target.id)]
          }),
        ),
      ),
  )

/** A worker that was started with the files of a candidate. */
function started(loaded: Model, candidate: Candidate): Worker {
  const sections = new Map<string, ReadonlyMap<string, RunningServer>>()
  for (const id of candidate.parts.keys()) if (isSpare(id)) sections.set(id, new Map())
  for (const own of loaded.backends.values())
    sections.set(own.id, new Map(own.servers.map((one) => [one.name, runningServer(own, one)])))
  return {
    structure: candidate.structure,
    sections,
    maps: new Map([...candidate.maps, ['seats.map', new Map<string, string>()]]),
    busy: new Set(),
    closed: new Set(),
  }
}

/** What somebody else can do to it. */
const anyMeddling = fc.oneof(
  fc.record({
    what: fc.constant('server' as const),
    section: fc.nat(9),
    name: fc.constantFrom('canary', '10.2.1.1:8080', '10.2.1.2:8080', '10.2.1.3:8080'),
    server: fc.record({
      weight: fc.integer({ min: 1, max: 3 }),
      state: fc.constantFrom(...states),
      address: fc.constantFrom('10.2.1.1:8080', '10.2.1.2:8080', '10.9.9.9:80'),
      words: fc.constantFrom(null, '', 'maxconn 5', 'backup'),
    }),
  }),
  fc.record({ what: fc.constant('entry' as const), key: fc.constantFrom('*/', '*/x', '*/q'), section: fc.nat(9) }),
  fc.record({ what: fc.constant('frontend' as const), section: fc.nat(9) }),
  fc.record({ what: fc.constant('busy' as const), section: fc.nat(9), last: fc.integer({ min: 1, max: 5 }) }),
)
type Meddling = typeof anyMeddling extends fc.Arbitrary<infer T> ? T : never

function meddledWith(worker: Worker, meddling: Meddling): Worker {
  const names = [...worker.sections.keys()]
  const section = names[meddling.section % names.length]
  if (section === undefined) return worker
  if (meddling.what === 'frontend') return { ...worker, closed: new Set([':http']) }
  if (meddling.what === 'busy')
    return { ...worker, busy: new Set([...worker.busy, `${section}/${server(meddling.last).name}`]) }
  if (meddling.what === 'entry') {
    const entries = new Map([...(worker.maps.get('routes.map') ?? []), [meddling.key, `${section}|other`]])
    return { ...worker, maps: new Map([...worker.maps, ['routes.map', entries]]) }
  }
  const servers = new Map([...(worker.sections.get(section) ?? []), [meddling.name, meddling.server]])
  return { ...worker, sections: new Map([...worker.sections, [section, servers]]) }
}

interface Site {
  readonly loaded: Candidate
  readonly worker: Worker
}

/** Any worker of ours: loaded with one model, some steps on its way to another, and then meddled with. */
const anySite: fc.Arbitrary<Site> = fc
  .record({
    first: anyModel,
    second: anyModel,
    steps: fc.nat(40),
    meddling: fc.array(anyMeddling, { maxLength: 4 }),
    spares: fc.subarray(spares),
  })
  .map(({ first, second, steps, meddling, spares: own }) => {
    const loaded = candidateOf(first, { spares: own })
    const wanted = { model: second, candidate: candidateOf(second, { spares: own, hash: 'cccccccccccc' }) }
    const worker = started(first, loaded)
    const half = plan(observed(worker), wanted, loaded.parts).steps.slice(0, steps).reduce(afterStep, worker)
    return { loaded, worker: meddling.reduce(meddledWith, half) }
  })
const anyWanted: fc.Arbitrary<Wanted> = anyModel.map((made) => {
  return { model: made, candidate: candidateOf(made, { spares, hash: 'bbbbbbbbbbbb' }) }
})

/** Takes what is due again and again, a second apart, until nothing is; each state in between is shown to `see`. */
function converge({ loaded, worker }: Site, wanted: Wanted, see: (between: Worker) => void = () => {}) {
  let state = worker
  let farewells: Farewells = new Map()
  for (let now = 0; now < 100_000; now += 1_000) {
    const running = observed(state)
    const open = plan(running, wanted, loaded.parts)
    const about = { applied: null, endpoints: new Map(), now }
    const leaving = takeLeave(farewells, open, running, about)
    farewells = leaving.farewells
    if (open.steps.length === 0 && open.leaving.length === 0) return { worker: state, reload: open.reload }
    for (const step of [...open.steps, ...leaving.steps]) {
      state = afterStep(state, step)
      see(state)
    }
  }
  throw new Error('there is always something left to do')
}

/** Backend of the wanted route with that key; '' where there is none. */
function wantedBackend({ candidate }: Wanted, key: string): string {
  return candidate.maps.get('routes.map')?.get(key)?.split('|')[0] ?? ''
}

describe('from any worker of ours, plans lead to', () => {
  it('the wanted servers, wherever their backends sit; what only a reload can bring is a reason for one', () => {
    fc.assert(
      fc.property(anySite, anyWanted, (site, wanted) => {
        const { worker, reload } = converge(site, wanted)
        const end = observed(worker)
        const whole = runningOf(wanted.model, wanted.candidate)
        const missing = new Set(reload.filter(({ code }) => code === 'new-backend').map(({ subject }) => subject))
        const standIns = [...(end.maps.get('routes.map') ?? [])]
          .filter(([key]) => missing.has(wantedBackend(wanted, key)))
          .map(([, value]) => value.split('|')[0] ?? '')
        const found = [...end.servers.keys()].filter((id) => wanted.model.backends.has(id) || !standIns.includes(id))
        expect(found.sort()).toEqual([...whole.servers.keys()].filter((id) => !missing.has(id)).sort())
        const wrong = new Set(reload.filter(({ code }) => code === 'server').map(({ subject }) => subject))
        for (const id of found) {
          const servers = end.servers.get(id) ?? new Map<string, RunningServer>()
          expect([...servers.keys()].sort()).toEqual([...(whole.servers.get(id)?.keys() ?? [])].sort())
          for (const [name, one] of servers) {
            const { words, ...rest } = whole.servers.get(id)?.get(name) ?? {}
            expect(one).toMatchObject(rest)
            expect(one.words === words || (one.words === null && words === '')).toBe(!wrong.has(`${id}/${name}`))
          }
        }
      }),
      { numRuns: 300 },
    )
  })

  it('routes that are answered by the wanted servers, but those that wait for the reload', () => {
    fc.assert(
      fc.property(anySite, anyWanted, (site, wanted) => {
        const { worker, reload } = converge(site, wanted)
        const missing = new Set(reload.filter(({ code }) => code === 'new-backend').map(({ subject }) => subject))
        const found = answers(worker)
        const [before, after] = [site.worker, worker].map(({ maps }) => maps.get('routes.map'))
        for (const [key, value] of wanted.candidate.maps.get('routes.map') ?? []) {
          const id = value.split('|')[0] ?? ''
          if (missing.has(id)) {
            expect([key, after?.get(key)]).toEqual([key, before?.get(key)])
            continue
          }
          const ready = wanted.model.backends.get(id)?.servers.filter(({ state }) => state === 'ready') ?? []
          expect([key, found.get(key)]).toEqual([key, ready.map(({ name }) => name).sort()])
        }
        const wantedKeys = [...(wanted.candidate.maps.get('routes.map')?.keys() ?? [])]
        expect([...found.keys()].filter((key) => !wantedKeys.includes(key))).toEqual([])
      }),
      { numRuns: 300 },
    )
  })

  it('the claim that the revision is in effect, exactly when what is left can wait', () => {
    fc.assert(
      fc.property(anySite, anyWanted, (site, wanted) => {
        const { worker, reload } = converge(site, wanted)
        expect(observed(worker).revision === wanted.candidate.hash).toBe(isTidying(reload))
      }),
      { numRuns: 200 },
    )
  })

  it('nothing else on the way: no route leads nowhere, and no answered one is unanswered for a while', () => {
    fc.assert(
      fc.property(anySite, anyWanted, (site, wanted) => {
        const [from, to] = [answers(site.worker), answers(converge(site, wanted).worker)]
        const { reload } = plan(observed(site.worker), wanted, site.loaded.parts)
        const missing = new Set(reload.filter(({ code }) => code === 'new-backend').map(({ subject }) => subject))
        const kept = [...(observed(site.worker).maps.get('routes.map') ?? [])]
          .filter(([key, value]) => {
            const id = value.split('|')[0] ?? ''
            // somebody else has led it to servers of his own in a spare, or to a backend that is wanted with others
            const isAstray =
              id.startsWith(':') || (missing.has(wantedBackend(wanted, key)) && wanted.model.backends.has(id))
            return !isAstray && from.get(key)?.length && to.get(key)?.length
          })
          .map(([key]) => key)
        converge(site, wanted, (between) => {
          const there = answers(between)
          for (const [key, servers] of there) expect([key, servers]).not.toEqual([key, null])
          for (const key of kept) expect([key, there.get(key)]).not.toEqual([key, []])
        })
      }),
      { numRuns: 200 },
    )
  })

  it('the claim last of all', () => {
    fc.assert(
      fc.property(anySite, anyWanted, (site, wanted) => {
        let isClaimed = site.worker.maps.get('revision.map')?.get('revision') === wanted.candidate.hash
        let steps = 0
        converge(site, wanted, (between) => {
          const isNow = observed(between).revision === wanted.candidate.hash
          if (isNow && !isClaimed) steps = 0
          isClaimed = isNow
          // what follows is of servers that leave
          if (isClaimed && steps++ > 0) expect(plan(observed(between), wanted, site.loaded.parts).steps).toEqual([])
        })
      }),
      { numRuns: 200 },
    )
  })
})
