import { describe, expect, it } from 'vitest'
import { dialectOf, versionProblem } from '../../src/haproxy/dialect.ts'

describe('the dialect of a version', () => {
  it.each([
    ['2.6.12-1+deb12u4', '2.6'],
    ['2.6.0', '2.6'],
    ['2.8.5', '3.0'],
    ['3.0.11-1+deb13u5', '3.0'],
    ['3.1-dev3', '3.2'],
    ['3.2.26-1', '3.2'],
    ['3.10.1', '3.2'],
    ['4.0.0', '3.2'],
  ])('of %s is that of %s', (version, name) => {
    expect(dialectOf(version)?.name).toBe(name)
  })

  it.each(['2.4.18', '2.5.99', '1.8', '', 'unknown', '2', '-2.6', 'v2.6'])('of %j is none', (version) => {
    expect(dialectOf(version)).toBeNull()
  })
})

describe('the answer of `reload`', () => {
  it('tells nothing on 2.6', () => {
    expect(dialectOf('2.6.12')?.readReload('')).toBeNull()
  })

  it.each(['3.0.11', '3.2.26'])('tells success and failure with the log on %s', (version) => {
    const read = dialectOf(version)?.readReload
    expect(read?.('Success=1\n--\n[NOTICE] (16813) : Loading success.\n\n')).toEqual({
      isLoaded: true,
      log: '[NOTICE] (16813) : Loading success.',
    })
    expect(read?.('Success=0\n--\n[ALERT] cannot bind socket\n[WARNING] Loading failure!\n')).toEqual({
      isLoaded: false,
      log: '[ALERT] cannot bind socket\n[WARNING] Loading failure!',
    })
    expect(read?.('Success=0\n')).toEqual({ isLoaded: false, log: '' })
    expect(read?.('')).toBeNull()
    expect(read?.('Unknown command.')).toBeNull()
  })
})

describe('a binary and a worker', () => {
  it('agree when they are of one release', () => {
    expect(versionProblem('2.6.12', '2.6.30-1')).toBeNull()
    expect(versionProblem('3.2.1', '3.2.26-1')).toBeNull()
  })

  it('disagree when they are of two, or too old', () => {
    expect(versionProblem('3.0.11', '2.6.12')).toMatch(/haproxy\.bin is 3\.0\.11, the running worker 2\.6\.12/)
    expect(versionProblem('2.4.1', '2.4.1')).toMatch(/the binary is HAProxy 2\.4\.1, expected 2\.6/)
    expect(versionProblem('2.6.1', 'nonsense')).toMatch(/the running worker is HAProxy nonsense/)
  })
})
