import { beforeAll, describe, expect, it } from 'vitest'
import { renderCandidate } from '../../src/render/config.ts'
import { loadTemplates, type Templates } from '../../src/render/templates.ts'
import type { Model } from '../../src/types.ts'
import { backend, model, renderSettings, route, server } from '../support/models.ts'

let templates: Templates

beforeAll(async () => {
  const loaded = await loadTemplates(null)
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  templates = loaded.templates
})

describe('the shapes of a revision', () => {
  const shapesOf = (made: Model, by: Templates = templates, settings = renderSettings) => {
    const rendering = renderCandidate(made, by, settings)
    if (rendering.kind === 'failed') throw new Error(rendering.reason)
    return rendering.candidate.shapes
  }
  const named = (ids: readonly string[], section = {}) =>
    model(
      ids.map((id) => backend(id, ['10.2.1.1:80'], section)),
      [],
    )

  it('are the same whoever has a section of that kind: a new service brings none', () => {
    const shapes = shapesOf(named(['shop']))
    expect(shapesOf(named(['shop', 'api', 'docs']))).toEqual(shapes)
    // a shape is made of text, and these stand in other words of it
    for (const id of ['a', 'e', 'b', 'backend', 'routed', 'from', 'server', 'global', 'prototype', '-', '.', '_'])
      expect([id, shapesOf(named([id]))]).toEqual([id, shapes])
  })

  it('are the same whatever servers and routes there are', () => {
    const filled = backend('shop', ['10.2.1.1:80', server('10.2.1.2:80', { backup: true })], {
      maxconn: 7,
      proto: 'h2c',
    })
    expect(shapesOf(model([filled], [route('a.test', filled, { strip: '/x' })]))).toEqual(shapesOf(named(['shop'])))
  })

  it.each([{ balance: 'leastconn' }, { balance: 'source' }, { sticky: 'OTHER' }] as const)(
    'are one more where a section has %j, once',
    (section) => {
      const plain = shapesOf(named(['shop']))
      const [one, two] = [named(['shop', 'api'], section), named(['docs', 'a'], section)]
      const more = shapesOf(one)
      expect(more.size).toBe(plain.size + 1)
      for (const shape of plain) expect(more).toContain(shape)
      expect(shapesOf(two)).toEqual(more)
    },
  )

  it('are others with other settings and other templates', () => {
    const plain = shapesOf(named(['shop']))
    const [first] = [...plain]
    expect(shapesOf(named(['shop']), templates, { ...renderSettings, maxconn: 5_000 })).not.toContain(first)
    const other: Templates = {
      ...templates,
      backend: ({ id }) => ({ kind: 'text', text: `backend ${id} from routed\n  fullconn 9\n\u0002servers\u0003\n` }),
    }
    for (const shape of shapesOf(named(['shop']), other)) if (shape !== first) expect(plain).not.toContain(shape)
  })

  /** A template that prints `line` for each section. */
  const printing = (line: (id: string) => string): Templates => ({
    ...templates,
    backend: ({ id }) => ({ kind: 'text', text: `backend ${id} from routed\n  ${line(id)}\n\u0002servers\u0003\n` }),
  })

  it('are the same where a template prints the name of the section elsewhere in it, too', () => {
    const by = printing((id) => `http-response set-header X-Service ${id}`)
    const shapes = shapesOf(named(['shop']), by)
    for (const id of ['api', 'a', 'set', 'http-response', 'X-Service'])
      expect([id, shapesOf(named([id]), by)]).toEqual([id, shapes])
  })

  it('are others where a template treats a name as special, which no other section has proved', () => {
    const by = printing((id) => (id === 'shop' ? 'option httpclose' : `id ${id.length}`))
    const shapes = shapesOf(named([]), by)
    for (const id of ['shop', 'api', 'longer'])
      expect([id, shapesOf(named([id]), by).size]).toEqual([id, shapes.size + 1])
  })
})
