import { describe, expect, it } from 'vitest'
import { fits, isSpare, spareCount, sparesOf } from '../../src/render/spares.ts'
import { ownSection } from '../support/models.ts'

const sticky = { ...ownSection, sticky: 'SRV' }

describe('the number of spares', () => {
  it.each([
    [0, 16],
    [1, 16],
    [64, 16],
    [65, 32],
    [128, 32],
    [129, 64],
    [1_024, 256],
    [1_025, 256],
    [60_000, 256],
  ])('beside %i backends is %i', (backends, count) => {
    expect(spareCount(backends)).toBe(count)
  })

  it('seldom changes, and never falls while backends come', () => {
    const counts = Array.from({ length: 5_000 }, (_, backends) => spareCount(backends))
    expect(counts).toEqual([...counts].sort((a, b) => a - b))
    expect(new Set(counts).size).toBeLessThanOrEqual(5)
  })
})

describe('spares', () => {
  it('have names that no service can have, which tell them from other sections of our own', () => {
    for (const { id } of sparesOf(1_000)) expect(isSpare(id)).toBe(true)
    const others = [
      'web',
      'spare1',
      'web:a1b2c3',
      ':none',
      ':redirect',
      ':http',
      ':spare',
      ':spare0',
      ':spare01',
      ':spare1 ',
    ]
    expect(others.filter(isSpare)).toEqual([])
  })

  it('are a quarter as many again for sticky services, and of no number none', () => {
    const ids = (count: number) => sparesOf(count).map(({ id }) => id)
    expect(ids(5)).toEqual([':spare1', ':spare2', ':spare3', ':spare4', ':spare5', ':sticky1', ':sticky2'])
    expect(ids(0)).toEqual([])
  })

  it('of a number are always the same objects, so that nothing is rendered anew', () => {
    expect(sparesOf(7)).toBe(sparesOf(7))
  })

  it('fit whoever asks for what their sections print; the rest travels with each server', () => {
    const [plain] = sparesOf(1)
    const cookied = sparesOf(1).at(-1)
    if (plain === undefined || cookied === undefined) throw new Error('expected spares')
    expect([plain, cookied].map(({ id, section }) => fits(id, section))).toEqual([true, true])
    const travelling = { maxconn: 5, proto: 'h2c' } as const
    expect(fits(plain.id, { ...ownSection, ...travelling })).toBe(true)
    expect(fits(cookied.id, { ...sticky, ...travelling })).toBe(true)
    expect([fits(plain.id, sticky), fits(cookied.id, ownSection)]).toEqual([false, false])
    expect(fits(cookied.id, { ...sticky, sticky: 'JSESSIONID' })).toBe(false)
    for (const balance of ['leastconn', 'first', 'source'] as const)
      for (const { id } of [plain, cookied]) expect(fits(id, { ...ownSection, balance })).toBe(false)
    expect(fits('web', ownSection)).toBe(false)
  })
})
