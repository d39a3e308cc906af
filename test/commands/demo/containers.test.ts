import { describe, expect, it } from 'vitest'
import { createAddressPool, createNames } from '../../../src/commands/demo/containers.ts'
import type { SampleInstance } from '../../../src/commands/demo/sample.ts'

function on(node: string, address: string): SampleInstance {
  const rest = { service: 'shop', nodeAddress: '127.2.0.1', port: 8080, tags: [], meta: {}, health: 'passing' } as const
  return { id: address, node, address, ...rest }
}

describe('addresses of containers', () => {
  it('are new ones of the container’s host', () => {
    const next = createAddressPool([on('host1', '127.2.1.1'), on('host1', '127.2.1.3'), on('host2', '127.2.2.9')])
    expect([next('host1'), next('host1'), next('host2'), next('host3')]).toEqual([
      '127.2.1.4',
      '127.2.1.5',
      '127.2.2.10',
      '127.2.3.1',
    ])
  })

  it('come again only when all of the host’s were used', () => {
    const next = createAddressPool([on('host1', '127.2.1.254')])
    expect(next('host1')).toBe('127.2.1.1')
  })
})

describe('names of containers', () => {
  it('count up for each service', () => {
    const next = createNames([on('host1', '127.2.1.1'), on('host1', '127.2.1.2')])
    expect([next('shop'), next('shop'), next('promo')]).toEqual(['shop-3', 'shop-4', 'promo-1'])
  })
})
