import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { addressRules, parseIpv4, parseRange } from '../../src/addresses/ipv4.ts'

describe('an IPv4 address', () => {
  it.each([
    ['0.0.0.0', 0],
    ['10.2.1.0', 0x0a020100],
    ['255.255.255.255', 0xffffffff],
  ])('%s is understood', (text, number) => {
    expect(parseIpv4(text)).toBe(number)
  })

  it.each([
    '',
    '10.2.1',
    '10.2.1.',
    '.10.2.1',
    '10..2.1',
    '10.2.1.1.1',
    '10.2.1.256',
    '10.2.01.1',
    '010.2.1.1',
    '10.2.1.00',
    '0x0a.2.1.1',
    '167903489',
    '10.2.1.1 ',
    ' 10.2.1.1',
    '10.2.1.1\n',
    '10.2.1.-1',
    '10.2.1.1/16',
    '１０.2.1.1',
    '::ffff:10.2.1.1',
    'web.example.com',
  ])('%j is refused', (text) => {
    expect(parseIpv4(text)).toBeNull()
  })

  it('is what its four numbers say, whatever they are', () => {
    const byte = fc.integer({ min: 0, max: 255 })
    fc.assert(
      fc.property(fc.tuple(byte, byte, byte, byte), ([a, b, c, d]) => {
        expect(parseIpv4(`${a}.${b}.${c}.${d}`)).toBe(((a * 256 + b) * 256 + c) * 256 + d)
      }),
    )
  })
})

describe('a range', () => {
  it.each([
    ['10.2.0.0/16', 0x0a020000, 0x0a02ffff],
    ['10.2.7.9/16', 0x0a020000, 0x0a02ffff],
    ['10.2.0.1', 0x0a020001, 0x0a020001],
    ['0.0.0.0/0', 0, 0xffffffff],
  ])('%s has its first and last address', (text, first, last) => {
    expect(parseRange(text)).toMatchObject({ first, last })
  })

  it.each(['10.2.0.0/33', '10.2.0.0/', '10.2.0.0/016', '10.2.0.0/16/2', '10.2.0/16', ''])('%j is none', (text) => {
    expect(parseRange(text)).toBeNull()
  })
})

describe('addresses of containers', () => {
  const apollo = addressRules({ cidr: '10.2.0.0/16', reserved: ['10.2.0.0/24'] })

  it.each([
    ['10.2.1.0', 'usable'],
    ['10.2.1.255', 'usable'],
    ['10.2.255.254', 'usable'],
    ['10.2.255.255', 'special'],
    ['10.2.0.1', 'reserved'],
    ['10.3.0.1', 'outside'],
    ['172.17.0.2', 'outside'],
    ['0.0.0.0', 'special'],
    ['127.0.0.1', 'special'],
    ['169.254.169.254', 'special'],
    ['224.0.0.1', 'special'],
    ['255.255.255.255', 'special'],
    ['10.2.1.1 check', 'malformed'],
  ])('%s is %s in 10.2.0.0/16', (text, verdict) => {
    expect(apollo.judge(text)).toBe(verdict)
  })

  it('may be loopback addresses when the range lies there, as in the demo', () => {
    const demo = addressRules({ cidr: '127.2.0.0/16', reserved: ['127.2.0.0/24'] })
    expect(demo.judge('127.2.1.10')).toBe('usable')
    expect(demo.judge('127.2.0.1')).toBe('reserved')
    expect(demo.judge('127.0.0.1')).toBe('outside')
    expect(demo.judge('169.254.169.254')).toBe('special')
    expect(demo.isHost('127.0.0.1')).toBe(true)
  })

  it('a range of everything opens no special one', () => {
    const wide = addressRules({ cidr: '0.0.0.0/0', reserved: [] })
    expect(wide.judge('192.0.2.1')).toBe('usable')
    expect(wide.judge('169.254.169.254')).toBe('special')
    expect(wide.judge('127.0.0.1')).toBe('special')
  })

  it('hosts have any ordinary address', () => {
    expect(apollo.isHost('192.0.2.1')).toBe(true)
    expect(apollo.isHost('10.2.0.1')).toBe(true)
    expect(apollo.isHost('127.0.0.1')).toBe(false)
    expect(apollo.isHost('host1')).toBe(false)
  })
})
