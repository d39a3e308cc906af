import { spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { haproxyVersion, missingHaproxy, supported } from '../../scripts/haproxy.mjs'
import { dialectOf } from '../../src/haproxy/dialect.ts'

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'heddle-haproxy-'))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

/** A program that says that it is this HAProxy. */
async function named(version: string, name = version): Promise<string> {
  const path = join(folder, name)
  await writeFile(path, `#!/bin/sh\necho 'HAProxy version ${version} 2026/10/14 - https://haproxy.org/'\n`, {
    mode: 0o755,
  })
  return path
}

function script(name: string, ...args: readonly string[]) {
  const path = fileURLToPath(new URL(`../../scripts/${name}.mjs`, import.meta.url))
  const env = { ...process.env, PATH: [folder, process.env['PATH']].join(delimiter) }
  return spawnSync(process.execPath, [path, ...args], { encoding: 'utf8', env })
}

describe('the releases of HAProxy that are tested', () => {
  it('have a dialect each', () => {
    expect(supported.map((release) => dialectOf(release)?.name)).toEqual(supported)
  })

  it('are told by what a program says of itself', async () => {
    expect(haproxyVersion(await named('3.2.26-1'))).toEqual({ version: '3.2.26-1', release: '3.2' })
    expect(haproxyVersion(process.execPath)).toBeNull()
    expect(haproxyVersion(join(folder, 'nowhere'))).toBeNull()
  })

  it('that can not be had are told with what to do', () => {
    expect(missingHaproxy('3.2')).toMatch(/HAProxy 3\.2 was wanted.*--bin PATH/)
  })
})

describe('npm run test:haproxy', () => {
  it('teaches with --help, and for what it does not know', () => {
    expect(script('test-haproxy', '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('--bin PATH') })
    const { status, stderr } = script('test-haproxy', '--bni', 'x')
    expect(status).toBe(2)
    expect(stderr).toMatch(/--bni[\s\S]*--bin PATH/)
  })

  it('wants a HAProxy that heddle works with', async () => {
    const old = script('test-haproxy', '--bin', await named('2.4.22'))
    expect(old).toMatchObject({ status: 1, stderr: expect.stringContaining('needs HAProxy 2.6 or newer') })
    expect(old.stdout).toBe('0 passed, 1 failed\n')
    const { status, stderr } = script('test-haproxy', '--bin', process.execPath)
    expect(status).toBe(1)
    expect(stderr).toContain('expected the path of a HAProxy')
  })
})

describe('npm run haproxy', () => {
  it('prints the path of the own one where that is of the release', async () => {
    const path = await named('7.4.1', 'haproxy')
    expect(script('print-haproxy', '7.4')).toMatchObject({ status: 0, stdout: `${path}\n` })
  })

  it('knows what it can give', () => {
    expect(script('print-haproxy', '--help')).toMatchObject({ status: 0, stdout: expect.stringContaining('RELEASE') })
    expect(script('print-haproxy', '1.8').stderr).toContain('HAProxy 1.8 was wanted')
    expect(script('print-haproxy', 'new')).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('2.6, 3.0, 3.2'),
    })
  })
})
