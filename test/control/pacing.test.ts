import { describe, expect, it } from 'vitest'
import {
  applyFrom,
  calm,
  changed,
  failedReload,
  lacking,
  refused,
  reloaded,
  restarted,
  satisfied,
} from '../../src/control/pacing.ts'

const settings = { settle: { quiet: 20, longest: 500 }, reloadEvery: 2_000 }

describe('a change', () => {
  it('waits for quiet after the last one', () => {
    expect(applyFrom(changed(changed(calm, 1_000), 1_030), 'a', settings)).toBe(1_050)
  })

  it('but never longer than the longest after the first', () => {
    let pace = calm
    for (let now = 1_000; now < 2_000; now += 10) pace = changed(pace, now)
    expect(applyFrom(pace, 'a', settings)).toBe(1_500)
  })

  it('is not made newer by HAProxy still lacking it', () => {
    expect(lacking(changed(calm, 1_000), 1_400)).toEqual(changed(calm, 1_000))
    expect(applyFrom(lacking(calm, 1_400), 'a', settings)).toBe(1_420)
  })

  it('waits until the last reload is long enough ago, with up to as much random delay', () => {
    expect(applyFrom(changed(reloaded(calm, 1_000, 0), 1_000), 'a', settings)).toBe(3_000)
    expect(applyFrom(changed(reloaded(calm, 1_000, 0.5), 1_000), 'a', settings)).toBe(4_000)
  })

  it('waits no longer than the newest settings say', () => {
    const pace = changed(reloaded(calm, 1_000, 0), 1_000)
    expect(applyFrom(pace, 'a', { ...settings, reloadEvery: 60_000 })).toBe(61_000)
    expect(applyFrom(pace, 'a', { ...settings, reloadEvery: 200 })).toBe(1_200)
  })

  it('is forgotten when HAProxy has it, the pace of reloads is not', () => {
    const pace = satisfied(refused(reloaded(changed(calm, 1_000), 1_000, 0), 'a', 'no', 1_000))
    expect(pace).toEqual({ ...calm, lastReload: { at: 1_000, random: 0 } })
  })
})

describe('a refused candidate', () => {
  it('is tried again later and later, up to about a minute', () => {
    let pace = calm
    for (let count = 1; count <= 30; count++) {
      pace = refused(pace, 'a', 'no', 0)
      expect(pace.refusal?.count).toBe(count)
      expect(applyFrom(pace, 'a', settings)).toBeGreaterThanOrEqual(1_000)
      expect(applyFrom(pace, 'a', settings)).toBeLessThanOrEqual(1_000 + Math.min(60_000, 1_000 * 2 ** (count - 1)))
    }
  })

  it('holds up no other one, which counts anew', () => {
    const pace = refused(refused(calm, 'a', 'no', 0), 'a', 'no', 0)
    expect(applyFrom(pace, 'b', settings)).toBe(0)
    expect(refused(pace, 'b', 'neither', 0).refusal).toMatchObject({ hash: 'b', count: 1, why: 'neither' })
  })
})

describe('a reload that HAProxy could not do', () => {
  it('holds up every candidate, longer each time, until one goes through', () => {
    let pace = calm
    for (let count = 1; count <= 10; count++) {
      pace = failedReload(pace, 0)
      expect(applyFrom(pace, 'any', settings)).toBeGreaterThanOrEqual(15_000)
      expect(applyFrom(pace, 'any', settings)).toBeLessThanOrEqual(15_000 + Math.min(60_000, 1_000 * 2 ** (count - 1)))
    }
    expect(satisfied(pace).failedReloads).toBe(0)
  })

  it('says nothing of another HAProxy', () => {
    expect(applyFrom(restarted(failedReload(calm, 0)), 'any', settings)).toBe(0)
  })
})
