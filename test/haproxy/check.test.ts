import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { checkConfiguration, haproxyVersion } from '../../src/haproxy/check.ts'
import { haproxyBin, install, minimalCandidate, until, workFolder } from '../support/haproxy.ts'

/** A program in place of HAProxy. */
async function fakeHaproxy(script: string): Promise<string> {
  const { directory } = await workFolder()
  const path = join(dirname(directory), 'fake')
  await writeFile(path, `#!/bin/sh\n${script}\n`)
  await chmod(path, 0o755)
  return path
}

async function configuration(text: string): Promise<string> {
  const { directory } = await workFolder()
  await mkdir(directory)
  const path = join(directory, 'haproxy.cfg')
  await writeFile(path, text)
  return path
}

describe('the check of a configuration', () => {
  it('accepts a good one with maps of its own', async () => {
    const folder = await workFolder()
    await install(folder, minimalCandidate(folder, { backends: { web: ['127.0.0.1:9'] } }))
    const file = join(folder.directory, 'current', 'haproxy.cfg')
    expect(await checkConfiguration(haproxyBin, file)).toEqual({ kind: 'valid' })
  })

  it('refuses a bad one and tells the line', async () => {
    const file = await configuration('global\ndefaults\n  mode http\nfrontend a\n  bindd :80\n')
    expect(await checkConfiguration(haproxyBin, file)).toMatchObject({
      kind: 'invalid',
      output: expect.stringMatching(/haproxy\.cfg:5\].*unknown keyword 'bindd'/s),
    })
  })

  it('says the same of the same file each time', async () => {
    const file = await configuration('global\n  maxconn many\ndefaults\n  mode http\nfrontend a\n  bindd :80\n')
    expect(await checkConfiguration(haproxyBin, file)).toEqual(await checkConfiguration(haproxyBin, file))
  })

  it.each([
    ['is cut in the middle of a line', 'defaults\n  mode http\nbackend a\n  server b 127.0.0.1:1'],
    ['lacks a map', 'defaults\n  mode http\nfrontend a\n  bind :1\n  use_backend %[path,map(gone.map)]\n'],
    ['listens nowhere', 'defaults\n  mode http\n'],
  ])('refuses one that %s', async (_, text) => {
    expect(await checkConfiguration(haproxyBin, await configuration(text))).toMatchObject({ kind: 'invalid' })
  })

  it('knows nothing where HAProxy is not there or may not be run', async () => {
    expect(await checkConfiguration('/nowhere/haproxy', '/dev/null')).toMatchObject({
      kind: 'failed',
      why: expect.stringMatching(/\/nowhere\/haproxy: not found; .*haproxy\.bin/),
    })
    const file = await configuration('')
    expect(await checkConfiguration(file, file)).toMatchObject({
      kind: 'failed',
      why: expect.stringContaining('executed'),
    })
  })

  it('kills one that hangs, and all it started', async () => {
    const pidFile = join((await workFolder()).directory, '..', 'pid')
    const bin = await fakeHaproxy(`sleep 600 &\necho $! > ${pidFile}\nwait`)
    const result = await checkConfiguration(bin, '/dev/null', { timeout: 500 })
    expect(result).toMatchObject({ kind: 'failed', why: expect.stringContaining('did not end within 500 ms') })
    const pid = Number(await readFile(pidFile, 'utf8'))
    await until(async () => {
      const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => ' Z ')
      return / Z /.test(state)
    })
  })

  it('ends at once when it is aborted', async () => {
    const bin = await fakeHaproxy('sleep 600')
    const controller = new AbortController()
    const checking = checkConfiguration(bin, '/dev/null', { timeout: 60_000, signal: controller.signal })
    controller.abort()
    expect(await checking).toMatchObject({ kind: 'failed', why: expect.stringContaining('aborted') })
    expect(await checkConfiguration(bin, '/dev/null', { signal: controller.signal })).toMatchObject({ kind: 'failed' })
  })

  it.each(['kill -SEGV $$', 'exit 139'])('does not take a crash (%s) for a refusal', async (script) => {
    expect(await checkConfiguration(await fakeHaproxy(script), '/dev/null')).toMatchObject({ kind: 'failed' })
  })

  it('keeps 64 kB of ten megabytes of messages', async () => {
    const bin = await fakeHaproxy('echo first; head -c 10000000 /dev/zero | tr "\\0" x; exit 1')
    const result = await checkConfiguration(bin, '/dev/null')
    expect(result.kind === 'invalid' && result.output.startsWith('first\nxxx')).toBe(true)
    expect(result.kind === 'invalid' && result.output.length).toBe(64 * 1024)
  })

  it('shows HAProxy nothing of our environment', async () => {
    vi.stubEnv('HEDDLE_CANARY', 'canary')
    const result = await checkConfiguration(await fakeHaproxy('env; pwd; exit 1'), '/dev/null')
    vi.unstubAllEnvs()
    expect(result).toMatchObject({ kind: 'invalid', output: expect.stringMatching(/^\/$/m) })
    expect(result.kind === 'invalid' && result.output).not.toContain('canary')
  })
})

describe('the version of the binary', () => {
  it('is the one it prints', async () => {
    expect(await haproxyVersion(haproxyBin)).toMatchObject({
      kind: 'version',
      version: expect.stringMatching(/^\d+\.\d+\.\d+/),
    })
    const old = await fakeHaproxy('echo "HA-Proxy version 2.2.9-2+deb11u6 2023/12/23 - https://haproxy.org/"')
    expect(await haproxyVersion(old)).toEqual({ kind: 'version', version: '2.2.9-2+deb11u6' })
  })

  it('is unknown for another program and for none', async () => {
    expect(await haproxyVersion(await fakeHaproxy('echo hello'))).toMatchObject({ kind: 'failed' })
    expect(await haproxyVersion('/nowhere/haproxy')).toMatchObject({ kind: 'failed' })
  })
})
