import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { diffModels } from '../../src/plan/diff.ts'
import { copyOf } from '../support/maps.ts'
import { backend, model, noRewrite, route, server } from './models.ts'

const none = { added: [], removed: [], changed: [] }
const nothing = { routes: none, servers: none, backends: none }
const before = model([backend('web', [server(1), server(2)])], [route('shop.example.com/', 'web')])

describe('the difference of two models', () => {
  it('is empty for a model and itself, and for a model and an equal one', () => {
    expect(diffModels(before, before)).toEqual(nothing)
    expect(diffModels(before, copyOf(before))).toEqual(nothing)
  })

  it('of nothing and a model is all that the model has, in byte order', () => {
    const after = model(
      [backend('web', [server(2), server(1)]), backend('api', [])],
      [route('shop.example.com/', 'web'), route('/api$', 'api')],
    )
    expect(diffModels(null, after)).toEqual({
      routes: { ...none, added: ['/api$ -> api', 'shop.example.com/ -> web'] },
      servers: { ...none, added: ['web/10.2.1.1:8080', 'web/10.2.1.2:8080'] },
      backends: { ...none, added: ['api', 'web'] },
    })
  })

  it('names a match that another service takes over once as removed and once as added', () => {
    const after = model([...before.backends.values(), backend('api', [])], [route('shop.example.com/', 'api')])
    expect(diffModels(before, after).routes).toEqual({
      added: ['shop.example.com/ -> api'],
      removed: ['shop.example.com/ -> web'],
      changed: [],
    })
  })

  it.each([
    ['a rewrite', { rewrite: { ...noRewrite, strip: '/x' } }],
    ['another section', { backend: 'web:abcdef' }],
    ['that it lingers now', { lingersUntil: 5 }],
    [
      'the target of a redirect',
      { backend: null, rewrite: { ...noRewrite, redirect: { code: 301 as const, location: [{ literal: 'host' }] } } },
    ],
  ])('calls a route changed by %s', (_what, change) => {
    const after = model([...before.backends.values()], [route('shop.example.com/', 'web', change)])
    expect(diffModels(before, after).routes).toEqual({ ...none, changed: ['shop.example.com/ -> web'] })
  })

  it('tells a literal of a redirect from a variable of the same text', () => {
    const redirect = (location: readonly ({ literal: string } | { variable: 'host' })[]) =>
      model([], [route('/', 'web', { backend: null, rewrite: { ...noRewrite, redirect: { code: 302, location } } })])
    const diff = diffModels(redirect([{ literal: 'host' }]), redirect([{ variable: 'host' }]))
    expect(diff.routes.changed).toEqual(['/ -> web'])
  })

  it.each([
    ['weight', { weight: 7 }],
    ['state', { state: 'drain' as const }],
    ['backup', { backup: true }],
  ])('calls a server changed by its %s', (_what, change) => {
    const after = model([backend('web', [server(1, change), server(2)])], before.routes)
    const diff = diffModels(before, after)
    expect(diff).toEqual({ routes: none, servers: { ...none, changed: ['web/10.2.1.1:8080'] }, backends: none })
  })

  it('does not count where a server or a route comes from', () => {
    const moved = server(1, { instance: { key: 'host2/x', id: 'x', node: 'host2' }, source: 'docker' })
    const later = route('shop.example.com/', 'web', {
      from: { text: 'as meta', instances: ['host2/x'], createIndex: 9, isCurrent: false },
    })
    expect(diffModels(before, model([backend('web', [moved, server(2)])], [later]))).toEqual(nothing)
  })

  it('calls a backend changed by its section, and removed with all its servers', () => {
    const sticky = model([backend('web', [server(1), server(2)], { sticky: 'SRV' })], before.routes)
    expect(diffModels(before, sticky)).toEqual({
      routes: none,
      servers: none,
      backends: { ...none, changed: ['web'] },
    })
    expect(diffModels(before, model([]))).toEqual({
      routes: { ...none, removed: ['shop.example.com/ -> web'] },
      servers: { ...none, removed: ['web/10.2.1.1:8080', 'web/10.2.1.2:8080'] },
      backends: { ...none, removed: ['web'] },
    })
  })

  it('seen from the other side swaps added and removed', () => {
    const arbitrary = fc
      .dictionary(fc.constantFrom('a', 'b', 'c'), fc.uniqueArray(fc.integer({ min: 1, max: 6 }), { maxLength: 4 }))
      .map((services) =>
        model(
          Object.entries(services).map(([id, lasts]) =>
            backend(
              id,
              lasts.map((last) => server(last)),
            ),
          ),
          Object.keys(services).map((id) => route(`${id}.example.com/`, id)),
        ),
      )
    fc.assert(
      fc.property(arbitrary, arbitrary, (one, other) => {
        const there = diffModels(one, other)
        const back = diffModels(other, one)
        for (const key of ['routes', 'servers', 'backends'] as const) {
          expect(there[key].added).toEqual(back[key].removed)
          expect(there[key].removed).toEqual(back[key].added)
          expect(there[key].changed).toEqual(back[key].changed)
        }
      }),
    )
  })
})
