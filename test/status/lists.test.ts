import { describe, expect, it } from 'vitest'
import { serviceViewOf } from '../../src/status/api.ts'
import { findProblems, findRoutes, findServices } from '../../src/status/lists.ts'
import { shopState, startingState, wideState } from '../support/states.ts'

const names = (items: readonly { readonly name: string }[]) => items.map(({ name }) => name)

describe('the list of services', () => {
  it.each([
    ['API', ['api']],
    ['shop.example.com/', ['api', 'web']],
    ['old.example', ['old']],
    ['web-5', ['web']],
    ['host3', ['web']],
    ['10.2.1.8:9000', ['api']],
    ['   ', ['api', 'old', 'web']],
    ['nowhere', []],
  ])('searched for "%s" finds %j', (q, expected) => {
    const { items, total } = findServices(shopState(), { q })
    expect(names(items)).toEqual(expected)
    expect(total).toBe(expected.length)
  })

  it('comes in pages, in byte order of names, and tells how many there are', () => {
    const state = wideState(30, 1, (index) => `s${index}`)
    const { items, total } = findServices(state, { limit: 3, offset: 2 })
    expect(names(items)).toEqual(['s10', 's11', 's12'])
    expect(total).toBe(30)
    expect(findServices(state, { offset: 30 })).toEqual({ items: [], total: 30 })
  })

  it('has exactly one service when that is asked for, with all that is known of it', () => {
    const { items } = findServices(shopState(), { service: 'web' })
    expect(items.map((service) => serviceViewOf(service, null, new Map()))).toMatchObject([
      {
        name: 'web',
        routes: [{ path: '/' }, { path: '/old', match: 'exact' }],
        instances: [
          { state: 'ready' },
          { state: 'drain' },
          { state: 'maint' },
          { state: 'unresolved' },
          { state: 'dead' },
        ],
        problems: [{ code: 'no-address' }],
      },
    ])
  })
})

describe('the list of problems', () => {
  it.each([
    ['no-addr', ['no-address']],
    ['HOST3/', ['no-address']],
    ['has it already', ['conflict']],
    ['192.168.0.3', ['no-address']],
    ['web', ['conflict', 'no-address']],
    ['nowhere', []],
  ])('searched for "%s" finds %j', (q, expected) => {
    expect(findProblems(shopState(), { q }).items.map(({ code }) => code)).toEqual(expected)
  })
})

it('every list is empty before anything was decided', () => {
  for (const find of [findRoutes, findServices, findProblems]) {
    expect(find(startingState(), {})).toEqual({ items: [], total: 0 })
  }
})
