import { describe, expect, it } from 'vitest'
import { type Farewells, takeLeave } from '../../src/plan/leaving.ts'
import type { Endpoint, Ms, Plan, Running, ServerState } from '../../src/types.ts'
import { instance } from '../support/worlds.ts'
import { backend, candidateOf, model, runningOf, server } from './models.ts'

const place = { backend: 'web', server: '10.2.1.2:8080' }
const shutdown = { do: 'shutdown', ...place }
const remove = { do: 'delete', ...place }
const applied = model([{ ...backend('web', [server(1), server(2)]), drain: 7_000 }])

/** As web runs, its second server in that state. */
function runningWith(state: ServerState = 'maint'): Running {
  const told = model([backend('web', [server(1), server(2, { state })])])
  return runningOf(told, candidateOf(told))
}

interface Site {
  readonly leaving: Plan['leaving']
  readonly running: Running
  readonly applied: typeof applied | null
  readonly endpoints: ReadonlyMap<string, readonly Endpoint[]>
}

/** What is due of web's second server, which leaves. */
function leave(before: Farewells, now: Ms, site: Partial<Site> = {}) {
  const { leaving = [place], running = runningWith(), endpoints = new Map() } = site
  const about = { applied: site.applied === undefined ? applied : site.applied, endpoints, now }
  return takeLeave(before, { steps: [], leaving, reload: [] }, running, about)
}

/** What is done when it is told at each of these instants, by the instant. */
function follow(instants: readonly Ms[], site: Partial<Site> = {}) {
  let farewells: Farewells = new Map()
  const done: [Ms, ...string[]][] = []
  for (const now of instants) {
    const taken = leave(farewells, now, site)
    farewells = taken.farewells
    if (taken.steps.length > 0) done.push([now, ...taken.steps.map((step) => step.do)])
  }
  return done
}

/** Whenever something is due, as the loop would, from 0 to `end`. */
function followDue(end: Ms, site: Partial<Site> = {}) {
  const instants: Ms[] = []
  let farewells: Farewells = new Map()
  for (let now: Ms | null = 0; now !== null && now <= end; ) {
    instants.push(now)
    const taken: ReturnType<typeof leave> = leave(farewells, now, site)
    farewells = taken.farewells
    expect(taken.nextAt).toBeGreaterThan(now)
    now = taken.nextAt
  }
  return follow(instants, site)
}

function endpoint(last: number, code: string | null): Endpoint {
  const one = instance('web', `i${last}`)
  if (code === null) return { kind: 'dead', instance: one, why: 'it is not running' }
  const about = { service: 'web', instance: one.key, subject: '', reason: '', hint: '' }
  return { kind: 'unresolved', instance: one, problem: { code, ...about } }
}

describe('a server that leaves', () => {
  it('is deleted in a second, when its requests mostly have ended', () => {
    expect(leave(new Map(), 0)).toMatchObject({ steps: [], nextAt: 1_000 })
    expect(follow([0, 999, 1_000])).toEqual([[1_000, 'delete']])
  })

  it('is asked for again and again while requests run, less and less often, and is cut off after its drain', () => {
    expect(followDue(30_000)).toEqual([
      [1_000, 'delete'],
      [2_000, 'delete'],
      [4_000, 'delete'],
      [7_000, 'shutdown'],
      [7_100, 'delete'],
      [11_100, 'delete'],
      [16_100, 'delete'],
      [21_100, 'delete'],
      [26_100, 'delete'],
    ])
  })

  it('has 30 s where nobody knows what it was', () => {
    const first = (site: Partial<Site>) => followDue(60_000, site).find(([, ...done]) => done.includes('shutdown'))?.[0]
    expect(first({ applied: null })).toBe(30_000)
    expect(first({ applied: model([]) })).toBe(30_000)
    expect(first({})).toBe(7_000)
  })

  it('has the drain that its service had when it left, whatever it says later', () => {
    const { farewells } = leave(new Map(), 0)
    const later = { applied: model([{ ...backend('web', []), drain: 60_000 }]) }
    expect(leave(farewells, 6_999, later).steps).toEqual([remove])
    expect(leave(farewells, 7_000, later).steps).toEqual([shutdown])
  })

  it('is not deleted before HAProxy has it in maintenance', () => {
    const { farewells } = leave(new Map(), 0, { running: runningWith('ready') })
    expect(leave(farewells, 1_000, { running: runningWith('ready') }).steps).toEqual([])
    expect(leave(farewells, 1_000).steps).toEqual([remove])
  })

  it.each([
    ['dead', null],
    ['without its address, which another container has', 'address-reused'],
    ['gone from its engine', 'container-gone'],
  ])('whose container is %s is cut off at once, once', (_what, code) => {
    const endpoints = new Map([['web', [endpoint(2, code)]]])
    const { steps, farewells, nextAt } = leave(new Map(), 0, { endpoints })
    expect(steps).toEqual([shutdown])
    expect(nextAt).toBe(100)
    expect(leave(farewells, 100, { endpoints }).steps).toEqual([remove])
  })

  it.each<[string, ReadonlyMap<string, readonly Endpoint[]>]>([
    ['whose instance left the catalog', new Map()],
    ['that can not be resolved any more', new Map([['web', [endpoint(2, 'no-address')]]])],
    ['beside a dead one', new Map([['web', [endpoint(1, null)]]])],
    ['of another service than the one with a dead instance of that name', new Map([['api', [endpoint(2, null)]]])],
  ])('%s may finish its requests', (_what, endpoints) => {
    expect(leave(new Map(), 0, { endpoints }).steps).toEqual([])
  })

  it('whose container dies while it drains is cut off then', () => {
    const { farewells } = leave(new Map(), 0)
    expect(leave(farewells, 500).steps).toEqual([])
    const endpoints = new Map([['web', [endpoint(2, null)]]])
    expect(leave(farewells, 500, { endpoints }).steps).toEqual([shutdown])
  })

  it('that is wanted again is forgotten, and leaves anew when it does', () => {
    const { farewells } = leave(new Map(), 0)
    const back = leave(farewells, 500, { leaving: [] })
    expect(back).toEqual({ farewells: new Map(), steps: [], nextAt: null })
    expect(leave(back.farewells, 6_000).nextAt).toBe(7_000)
  })

  it('keeps its own time beside another', () => {
    const other = { backend: 'web', server: '10.2.1.1:8080' }
    const { farewells } = leave(new Map(), 0)
    const both = leave(farewells, 900, { leaving: [place, other] })
    expect(both).toMatchObject({ steps: [], nextAt: 1_000 })
    expect(leave(both.farewells, 1_000, { leaving: [place, other] })).toMatchObject({ steps: [remove], nextAt: 1_900 })
  })
})
