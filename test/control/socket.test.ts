import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { getOverSocket, serveControl, whoHolds } from '../../src/control/socket.ts'

let folder = ''
const releases: (() => Promise<void>)[] = []
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hd-sock-'))
})
afterEach(async () => {
  for (const release of releases.splice(0)) await release()
  await rm(folder, { recursive: true, force: true })
})

async function claim() {
  const claimed = await serveControl({
    path: join(folder, 'h.sock'),
    version: '1.2.3',
    listener: (_request, response) => response.end('{"hello":true}'),
  })
  if (claimed.kind === 'held') releases.push(claimed.release)
  return claimed
}

describe('the control socket', () => {
  it('is held by one, who says who it is, and answers only its owner', async () => {
    expect((await claim()).kind).toBe('held')
    const path = join(folder, 'h.sock')
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect(await whoHolds(path)).toMatchObject({ pid: process.pid, version: '1.2.3' })
    expect(await getOverSocket(path, '/other', 1000)).toEqual({ kind: 'answered', status: 200, body: { hello: true } })
  })

  it('is refused to a second one while the first lives, and free after it', async () => {
    await claim()
    expect(await claim()).toMatchObject({ kind: 'taken', by: { pid: process.pid } })
    await releases.pop()?.()
    expect((await claim()).kind).toBe('held')
  })

  it('is taken over from a dead owner', async () => {
    const path = join(folder, 'h.sock')
    const { spawnSync } = await import('node:child_process')
    spawnSync(process.execPath, [
      '-e',
      `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`,
    ])
    expect((await stat(path)).isSocket()).toBe(true)
    expect((await claim()).kind).toBe('held')
  })

  it('clears away what killed ones left of their start, and nothing else', async () => {
    for (const name of ['h.sock.17', 'h.sock.18.dead', 'h.sock.txt', 'other.sock.19']) {
      await writeFile(join(folder, name), '')
    }
    await claim()
    expect((await readdir(folder)).sort()).toEqual(['h.sock', 'h.sock.txt', 'other.sock.19'])
  })

  it('counts as taken when its owner does not answer', async () => {
    const mute = createServer(() => {})
    await new Promise<void>((resolve) => mute.listen(join(folder, 'h.sock'), resolve))
    expect(await claim()).toEqual({ kind: 'taken', by: null })
    mute.close()
  })

  it('is won by exactly one of many that start at once', async () => {
    const claims = await Promise.all([claim(), claim()])
    expect(claims.filter(({ kind }) => kind === 'held').length).toBeLessThanOrEqual(1)
  })

  it('does not replace a file of another kind', async () => {
    await writeFile(join(folder, 'h.sock'), 'mine')
    expect(await claim()).toMatchObject({ kind: 'failed', why: expect.stringContaining('another kind') })
  })
})
