import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoff, pause } from '../src/backoff.ts'

describe('backoff', () => {
  const limits = { first: 250, longest: 10_000 }

  it('has a ceiling that doubles from the first to the longest', () => {
    expect([1, 2, 3, 6, 7, 100, 5000].map((failures) => backoff(failures, limits, 1))).toEqual([
      250, 500, 1000, 8000, 10_000, 10_000, 10_000,
    ])
  })

  it('is anything from nothing up to the ceiling', () => {
    fc.assert(
      fc.property(fc.nat(2000), (failures) => {
        const wait = backoff(failures, limits)
        expect(wait).toBeGreaterThanOrEqual(0)
        expect(wait).toBeLessThan(limits.longest)
      }),
    )
    expect(backoff(3, limits, 0.5)).toBe(500)
  })
})

describe('a pause', () => {
  it('ends at once when it is aborted, before or meanwhile', async () => {
    await pause(3_600_000, AbortSignal.abort())
    const stop = new AbortController()
    const paused = pause(3_600_000, stop.signal)
    stop.abort()
    await paused
  })
})
