import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseDuration, parsePercentage, printDuration } from '../../src/settings/durations.ts'

describe('durations', () => {
  it.each([
    ['0s', 0],
    ['1ms', 1],
    ['20ms', 20],
    ['2s', 2_000],
    ['1.5s', 1_500],
    ['0.001s', 1],
    ['5m', 300_000],
    ['1h', 3_600_000],
    ['7d', 604_800_000],
  ])('%s is %d milliseconds', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds)
  })

  it.each([
    '',
    '5',
    '5 s',
    ' 5s',
    '5s ',
    '-5s',
    '+5s',
    '1h30m',
    '5S',
    '5sec',
    's',
    '.5s',
    '5.s',
    '1e3s',
    '0.0001s',
    '٣s',
    '5s\n',
    '9999999999999999d',
  ])('%j is none', (text) => {
    expect(parseDuration(text)).toBeNull()
  })

  it('are printed so that reading gives them back', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2_147_483_647 }), (duration) => {
        expect(parseDuration(printDuration(duration))).toBe(duration)
      }),
    )
  })

  it('are printed in the largest unit without a fraction', () => {
    expect([0, 20, 1_500, 90_000, 3_600_000, 172_800_000].map(printDuration)).toEqual([
      '0ms',
      '20ms',
      '1500ms',
      '90s',
      '1h',
      '2d',
    ])
  })
})

describe('percentages', () => {
  it.each([
    ['0%', 0],
    ['50%', 0.5],
    ['12.5%', 0.125],
    ['100%', 1],
  ])('%s is a share of %d', (text, share) => {
    expect(parsePercentage(text)).toBe(share)
  })

  it.each(['', '50', '0.5', '101%', '-1%', '50 %', '%', '1e1%'])('%j is none', (text) => {
    expect(parsePercentage(text)).toBeNull()
  })
})
