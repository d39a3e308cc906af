import { describe, expect, it } from 'vitest'
import { admitCatalog, emptyCatalog } from '../../src/model/admit.ts'
import type { Catalog, CatalogObservation, Instance, PartitionObservation } from '../../src/types.ts'
import { fresh, instance, noon } from '../support/worlds.ts'

const web1 = instance('web', 'w1', { node: 'host1' })
const web2 = instance('web', 'w2', { node: 'host2' })
const api1 = instance('api', 'a1', { node: 'host1' })

function byNode(partitions: Record<string, PartitionObservation>): CatalogObservation {
  return { by: 'node', partitions: new Map(Object.entries(partitions)) }
}

function stale(value: readonly Instance[]): PartitionObservation {
  return { value, evidence: 'stale', why: '500', at: noon }
}

/** Without `hidden` it may hide anything. */
function doubtful(value: readonly Instance[], hidden?: readonly Instance[]): PartitionObservation {
  const keys = hidden === undefined ? {} : { hidden: new Set(hidden.map(({ key }) => key)) }
  return { value, evidence: 'doubtful', why: 'filtered', at: noon, ...keys }
}

function keys(catalog: Catalog): Record<string, readonly string[]> {
  return Object.fromEntries([...catalog.services].sort().map(([name, group]) => [name, group.map(({ key }) => key)]))
}

const both = byNode({ host1: fresh([api1, web1]), host2: fresh([web2]) })
const all = { api: ['host1/a1'], web: ['host1/w1', 'host2/w2'] }

describe('the admitted catalog', () => {
  it('groups what nodes have by service', () => {
    expect(keys(admitCatalog(emptyCatalog, both))).toEqual(all)
  })

  it('is the same whichever way the catalog is watched', () => {
    const services = new Map([
      ['web', fresh([web1, web2])],
      ['api', fresh([api1])],
    ])
    const watched = admitCatalog(emptyCatalog, { by: 'service', partitions: services })
    expect(keys(watched)).toEqual(all)
    const switched = admitCatalog(watched, both)
    expect(keys(switched)).toEqual(all)
  })

  it('keeps what a failing partition had, and follows the others', () => {
    const before = admitCatalog(emptyCatalog, both)
    const after = admitCatalog(before, byNode({ host1: stale([]), host2: fresh([]) }))
    expect(keys(after)).toEqual({ api: ['host1/a1'], web: ['host1/w1'] })
  })

  it('keeps what an earlier life admitted of a partition that never answered in this one', () => {
    const saved: Catalog = { services: new Map(admitCatalog(emptyCatalog, both).services) }
    const after = admitCatalog(saved, byNode({ host1: fresh([api1]), host2: stale([]) }))
    expect(keys(after)).toEqual({ api: ['host1/a1'], web: ['host2/w2'] })
  })

  it('keeps what a doubtful partition lacks', () => {
    const before = admitCatalog(emptyCatalog, both)
    const after = admitCatalog(before, byNode({ host1: doubtful([api1]), host2: doubtful([]) }))
    expect(after).toBe(before)
    expect(keys(admitCatalog(after, byNode({ host1: fresh([api1]), host2: doubtful([]) })))).toEqual({
      api: ['host1/a1'],
      web: ['host2/w2'],
    })
  })

  it('takes all else of a doubtful partition: health, addresses, arrivals', () => {
    const before = admitCatalog(emptyCatalog, both)
    const sick = { ...api1, health: 'critical', address: '10.2.1.99' } as const
    const web3 = instance('web', 'w3', { node: 'host1' })
    const host2 = fresh([web2])
    const after = admitCatalog(before, byNode({ host1: doubtful([sick, web3]), host2 }))
    expect(after.services.get('api')).toEqual([sick])
    expect(after.services.get('web')).toEqual([web1, web3, web2])
    // and so it stays, until it is said again without a doubt
    expect(admitCatalog(after, byNode({ host1: doubtful([sick, web3]), host2 }))).toBe(after)
    const whole = admitCatalog(after, byNode({ host1: fresh([sick, web3]), host2 }))
    expect(keys(whole)).toEqual({ api: ['host1/a1'], web: ['host1/w3', 'host2/w2'] })
  })

  it('lets go of what a doubtful partition lacks and cannot hide', () => {
    const before = admitCatalog(emptyCatalog, both)
    const some = admitCatalog(before, byNode({ host1: doubtful([], [api1]), host2: fresh([web2]) }))
    expect(keys(some)).toEqual({ api: ['host1/a1'], web: ['host2/w2'] })
    expect(keys(admitCatalog(some, byNode({ host1: doubtful([], []), host2: fresh([web2]) })))).toEqual({
      web: ['host2/w2'],
    })
  })

  it('has an instance once that comes back under the name of another service', () => {
    const before = admitCatalog(emptyCatalog, both)
    const renamed = { ...web1, service: 'shop' }
    const after = admitCatalog(before, byNode({ host1: doubtful([renamed]), host2: fresh([web2]) }))
    expect(keys(after)).toEqual({ api: ['host1/a1'], shop: ['host1/w1'], web: ['host2/w2'] })
  })

  it('lets go of a node that has left', () => {
    const before = admitCatalog(emptyCatalog, both)
    expect(keys(admitCatalog(before, byNode({ host2: fresh([web2]) })))).toEqual({ web: ['host2/w2'] })
  })

  it('stays itself when nothing has changed, and keeps the arrays of services that have not', () => {
    const before = admitCatalog(emptyCatalog, both)
    expect(admitCatalog(before, both)).toBe(before)
    const changed = { ...api1, health: 'critical' } as const
    const after = admitCatalog(before, byNode({ host1: fresh([changed, web1]), host2: fresh([web2]) }))
    expect(after.services.get('web')?.map(({ key }) => key)).toEqual(all.web)
    expect(after.services.get('api')).toEqual([changed])
  })

  it('does not let a partition speak for another one', () => {
    const stranger = instance('web', 'x', { node: 'host9' })
    expect(keys(admitCatalog(emptyCatalog, byNode({ host1: fresh([web1, stranger]) })))).toEqual({ web: ['host1/w1'] })
  })
})
