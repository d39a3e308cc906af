import { describe, expect, it } from 'vitest'
import {
  calm,
  changed,
  failedReload,
  lacking,
  refused,
  reloaded,
  reloadFrom,
  restarted,
  satisfied,
  tidyReloadFrom,
  untidy,
} from '../../src/control/pacing.ts'

const settings = { settle: { quiet: 20, longest: 500 }, reloadEvery: 2_000, tidy: { quiet: 60_000, longest: 600_000 } }

describe('a change', () => {
  it('waits for quiet after the last one', () => {
    expect(reloadFrom(changed(changed(calm, 1_000), 1_030), 'a', settings)).toBe(1_050)
  })

  it('but never longer than the longest after the first', () => {
    let pace = calm
    for (let now = 1_000; now < 2_000; now += 10) pace = changed(pace, now)
    expect(reloadFrom(pace, 'a', settings)).toBe(1_500)
  })

  it('is not made newer by HAProxy still lacking it', () => {
    expect(lacking(changed(calm, 1_000), 1_400)).toEqual(changed(calm, 1_000))
    expect(reloadFrom(lacking(calm, 1_400), 'a', settings)).toBe(1_420)
  })

  it('waits until the last reload is long enough ago, with up to as much random delay', () => {
    expect(reloadFrom(changed(reloaded(calm, 1_000, 0), 1_000), 'a', settings)).toBe(3_000)
    expect(reloadFrom(changed(reloaded(calm, 1_000, 0.5), 1_000), 'a', settings)).toBe(4_000)
  })

  it('waits no longer than the newest settings say', () => {
    const pace = changed(reloaded(calm, 1_000, 0), 1_000)
    expect(reloadFrom(pace, 'a', { ...settings, reloadEvery: 60_000 })).toBe(61_000)
    expect(reloadFrom(pace, 'a', { ...settings, reloadEvery: 200 })).toBe(1_200)
  })

  it('is forgotten when HAProxy has it, the pace of reloads is not', () => {
    const pace = satisfied(refused(reloaded(changed(calm, 1_000), 1_000, 0), 'a', 'no', 1_000))
    expect(pace).toEqual({ ...calm, lastChange: 1_000, lastReload: { at: 1_000, random: 0 } })
  })
})

describe('a refused candidate', () => {
  it('is tried again later and later, up to about a minute', () => {
    let pace = calm
    for (let count = 1; count <= 30; count++) {
      pace = refused(pace, 'a', 'no', 0)
      expect(pace.refusal?.count).toBe(count)
      expect(reloadFrom(pace, 'a', settings)).toBeGreaterThanOrEqual(1_000)
      expect(reloadFrom(pace, 'a', settings)).toBeLessThanOrEqual(1_000 + Math.min(60_000, 1_000 * 2 ** (count - 1)))
    }
  })

  it('holds up no other one, which counts anew', () => {
    const pace = refused(refused(calm, 'a', 'no', 0), 'a', 'no', 0)
    expect(reloadFrom(pace, 'b', settings)).toBe(0)
    expect(refused(pace, 'b', 'neither', 0).refusal).toMatchObject({ hash: 'b', count: 1, why: 'neither' })
  })
})

describe('a reload that HAProxy could not do', () => {
  it('holds up every candidate, longer each time, until one goes through', () => {
    let pace = calm
    for (let count = 1; count <= 10; count++) {
      pace = failedReload(pace, 0)
      expect(reloadFrom(pace, 'any', settings)).toBeGreaterThanOrEqual(15_000)
      expect(reloadFrom(pace, 'any', settings)).toBeLessThanOrEqual(15_000 + Math.min(60_000, 1_000 * 2 ** (count - 1)))
    }
    expect(satisfied(pace).failedReloads).toBe(0)
  })

  it('says nothing of another HAProxy', () => {
    expect(reloadFrom(restarted(failedReload(calm, 0)), 'any', settings)).toBe(0)
  })
})

describe('a reload that nobody waits for', () => {
  const tidyFrom = (pace: typeof calm, isCrowded = false) => tidyReloadFrom(pace, 'a', settings, isCrowded)

  it('comes when nothing has changed for long', () => {
    expect(tidyFrom(untidy(changed(calm, 1_000), 1_200))).toBe(61_000)
    expect(tidyFrom(untidy(changed(untidy(changed(calm, 1_000), 1_200), 40_000), 40_100))).toBe(100_000)
  })

  it('is not put off for ever by changes, nor by turns without any', () => {
    let pace = calm
    for (let now = 1_000; now < 3_600_000; now += 30_000) pace = untidy(changed(pace, now), now)
    expect(tidyFrom(pace)).toBe(601_000)
  })

  it('waits for old workers as long as it can: one more would end the oldest', () => {
    const pace = untidy(changed(calm, 1_000), 1_200)
    expect(tidyFrom(pace, true)).toBe(601_200)
  })

  it('waits again from its next reason on, when a reload has done the last', () => {
    const done = satisfied(untidy(changed(calm, 1_000), 1_000))
    expect(done.tidySince).toBeNull()
    expect(tidyFrom(untidy(changed(done, 500_000), 500_000), true)).toBe(1_100_000)
  })

  it('keeps the distance to the last one, and waits for what was refused or could not be done', () => {
    const pace = untidy(changed(calm, 1_000), 1_000)
    const soon = { ...settings, tidy: { quiet: 0, longest: 0 } }
    expect(tidyReloadFrom(reloaded(pace, 1_000, 0.5), 'a', soon, false)).toBe(4_000)
    expect(tidyReloadFrom(refused(pace, 'a', 'no', 1_000), 'a', soon, false)).toBeGreaterThanOrEqual(2_000)
    expect(tidyReloadFrom(refused(pace, 'b', 'no', 1_000), 'a', soon, false)).toBe(1_000)
    expect(tidyReloadFrom(failedReload(pace, 1_000), 'a', soon, false)).toBeGreaterThanOrEqual(16_000)
  })

  it('becomes one that traffic waits for with the next change that needs it, and hurries', () => {
    const pace = lacking(untidy(changed(calm, 1_000), 1_000), 5_000)
    expect(reloadFrom(pace, 'a', settings)).toBe(5_020)
  })

  it('does not count as a change that HAProxy lacks', () => {
    expect(untidy(changed(calm, 1_000), 1_200).burst).toBeNull()
  })
})
