import { readFile, writeFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { readServerCounters } from '../../src/haproxy/counters.ts'
import { connectWorker } from '../../src/haproxy/worker.ts'
import { httpServer, ownAddress, until, type WorkFolder } from '../support/haproxy.ts'
import { type RunningHeddle, startHeddle, statusOf } from '../support/heddle.ts'
import { freePort } from '../support/ports.ts'
import { body, setUp } from '../support/site.ts'
import type { Entry } from '../support/snapshots.ts'

/** A catalog that calls an instance well whose container is gone: no check, or an entry that nobody removed. */

const problems = z.array(z.object({ code: z.string(), instance: z.string().nullable(), reason: z.string() }))

async function problemsOf(running: RunningHeddle) {
  return problems.parse((await running.get('/api/v1/problems')).body)
}

/** Requests that HAProxy has given to each server since its worker started. */
async function sessionsOf(folder: WorkFolder): Promise<ReadonlyMap<string, number>> {
  const connection = await connectWorker(folder)
  if (!connection.ok) throw new Error(connection.why)
  const read = await readServerCounters(connection.runtime, 'web').finally(() => connection.runtime.close())
  if (!read.ok) throw new Error(read.why)
  return new Map(read.servers.map(({ name, sessions }) => [name, sessions]))
}

/** A service of two, one of which listens nowhere yet; heddle runs, and users ask until a problem is shown. */
async function sickSite() {
  const [live, address] = [await httpServer({ name: 'live' }), ownAddress()]
  const place = { address, port: await freePort(address) }
  const of = (id: string, at: { address: string; port: number }): Entry => {
    return { id, address: at.address, port: at.port, tags: ['heddle.route=shop.example'] }
  }
  const { folder, settings, args } = await setUp('spawn', { web: [of('gone', place), of('live', live)] })
  const running = await startHeddle(folder, settings, args)
  await running.ready()
  const shown = await until(async () => {
    expect(await body(folder, 'shop.example')).toBe('live')
    const found = await problemsOf(running)
    return found.length > 0 ? found : null
  })
  return { folder, settings, running, shown, gone: { ...place, name: `${address}:${place.port}` } }
}

describe('an instance whose container is gone though the catalog calls it well', () => {
  it('is shown, gets no new connections, and gets requests again as soon as it listens', async () => {
    const { folder, running, shown, gone } = await sickSite()
    expect(shown).toMatchObject([
      { code: 'unreachable', instance: 'host1/gone', reason: expect.stringContaining('connection refused') },
    ])
    // lasting, that is: by a reload, whose worker begins to count anew
    await until(async () => (await statusOf(running)).revision?.number === 2)
    const before = (await sessionsOf(folder)).get(gone.name)
    for (let count = 0; count < 20; count++) expect(await body(folder, 'shop.example')).toBe('live')
    expect((await sessionsOf(folder)).get(gone.name)).toBe(before)

    await httpServer({ ...gone, name: 'back' })
    await until(async () => (await body(folder, 'shop.example')) === 'back', 20_000)
    await until(async () => (await problemsOf(running)).length === 0)
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })

  it('is tried on as soon as guard.unreachable is off', async () => {
    const { folder, settings, running, gone } = await sickSite()
    await until(async () => (await statusOf(running)).revision?.number === 2)
    await writeFile(settings, `${await readFile(settings, 'utf8')}\nguard: {unreachable: off}\n`)
    await until(async () => (await problemsOf(running)).length === 0)
    await until(async () => (await statusOf(running)).revision?.number === 3)
    await until(async () => {
      expect(await body(folder, 'shop.example')).toBe('live')
      return ((await sessionsOf(folder)).get(gone.name) ?? 0) > 0
    })
    expect(await problemsOf(running)).toEqual([])
    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
  })
})
