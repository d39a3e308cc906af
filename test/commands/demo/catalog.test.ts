import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSnapshotCatalog } from '../../../src/commands/demo/catalog.ts'
import { readSample, type SampleInstance } from '../../../src/commands/demo/sample.ts'

const shop: SampleInstance = {
  id: 'shop-1',
  service: 'shop',
  node: 'host1',
  nodeAddress: '127.2.0.1',
  address: '127.2.1.1',
  port: 8080,
  tags: ['heddle.route=shop.localhost/'],
  meta: { team: 'sales' },
  health: 'passing',
}
const cart: SampleInstance = { ...shop, id: 'cart-1', service: 'cart', address: '127.2.1.2' }

let folder: string
let file: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heddle-catalog-'))
  file = join(folder, 'snapshot.json')
})

afterEach(() => rm(folder, { recursive: true, force: true }))

async function read(): Promise<readonly SampleInstance[]> {
  return readSample(await readFile(file, 'utf8'))
}

describe('the snapshot file of the demo', () => {
  it('holds the instances it began with', async () => {
    await createSnapshotCatalog(file, [shop, cart])
    expect(await read()).toEqual([shop, cart])
  })

  it('follows instances that come, change and go', async () => {
    const catalog = await createSnapshotCatalog(file, [shop])
    await catalog.register(cart)
    await catalog.register({ ...shop, health: 'critical' })
    expect(await read()).toEqual([{ ...shop, health: 'critical' }, cart])
    await catalog.deregister(shop)
    expect(await read()).toEqual([cart])
  })

  it('names no service that has no instance left', async () => {
    const catalog = await createSnapshotCatalog(file, [shop, cart])
    await catalog.deregister(cart)
    expect(Object.keys(JSON.parse(await readFile(file, 'utf8')).consul.services)).toEqual(['shop'])
  })

  it('keeps the CreateIndex of an instance that changes, and gives a new one to a new instance', async () => {
    const catalog = await createSnapshotCatalog(file, [shop])
    const indexOf = async (service: string): Promise<number> =>
      JSON.parse(await readFile(file, 'utf8')).consul.services[service][0].Service.CreateIndex
    const before = await indexOf('shop')
    await catalog.register({ ...shop, health: 'critical' })
    await catalog.register(cart)
    expect(await indexOf('shop')).toBe(before)
    expect(await indexOf('cart')).toBeGreaterThan(before)
  })

  it('is whole whenever it is read, however fast it changes', async () => {
    const catalog = await createSnapshotCatalog(file, [shop])
    let isChanging = true
    const reads: Promise<number> = (async () => {
      let count = 0
      while (isChanging) {
        expect((await read()).length).toBeGreaterThan(0)
        count++
      }
      return count
    })()
    const changes = Array.from({ length: 100 }, (_, number) => catalog.register({ ...cart, id: `cart-${number}` }))
    await Promise.all(changes)
    isChanging = false
    expect(await reads).toBeGreaterThan(0)
    expect(await read()).toHaveLength(101)
    expect(await readdir(folder)).toEqual(['snapshot.json'])
  })
})
