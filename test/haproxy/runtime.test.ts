import { describe, expect, it } from 'vitest'
import { observeRunning } from '../../src/haproxy/observe.ts'
import { setStates } from '../../src/haproxy/runtime.ts'
import { httpServer, install, minimalCandidate, request, startHaproxy, workFolder } from '../support/haproxy.ts'

async function site(delay: number) {
  const [folder, server] = [await workFolder(), await httpServer({ name: 'web', delay })]
  await install(folder, minimalCandidate(folder, { backends: { web: [server.name] } }))
  await startHaproxy(folder)
  return { folder, server, web: { backend: 'web', server: server.name } }
}

describe('the state of a server', () => {
  it('is what the running worker was told, with nothing else changed', async () => {
    const { folder, server, web } = await site(0)
    expect((await request(folder)).status).toBe(200)
    expect(await setStates(folder, [{ ...web, state: 'maint', isGone: false }])).toEqual({ kind: 'told' })
    expect((await request(folder)).status).toBe(503)
    const observed = await observeRunning(folder)
    expect(observed.kind === 'running' && observed.running.servers.get('web')?.get(server.name)?.state).toBe('maint')
    expect(await setStates(folder, [{ ...web, state: 'ready', isGone: false }])).toEqual({ kind: 'told' })
    expect((await request(folder)).status).toBe(200)
  })

  it('maint lets requests finish, unless the container is gone', async () => {
    for (const isGone of [false, true]) {
      const { folder, server, web } = await site(400)
      // 3.x ends it without an answer
      const answer = request(folder).then(
        ({ status }) => status,
        () => null,
      )
      while (server.asked() === 0) await new Promise((resolve) => setTimeout(resolve, 5))
      await setStates(folder, [{ ...web, state: 'maint', isGone }])
      expect((await answer) === 200).toBe(!isGone)
    }
  })

  it('of a server that is not there, or of a HAProxy that is not, is a failure that says so', async () => {
    const { folder, web } = await site(0)
    const other = { ...web, server: '10.2.1.1:80', state: 'maint', isGone: false } as const
    expect(await setStates(folder, [other])).toEqual({
      kind: 'failed',
      why: 'set server web/10.2.1.1:80 state maint: No such server.',
    })
    expect(await setStates({ statsSocket: '/nowhere/s.sock', masterSocket: '/nowhere/m.sock' }, [other])).toMatchObject(
      { kind: 'failed' },
    )
  })
})
