import { describe, expect, it } from 'vitest'
import { plan } from '../../src/plan/plan.ts'
import { afterUrgent, type Urgent, urgentServers } from '../../src/plan/urgent.ts'
import type { Endpoint, Model, Running } from '../../src/types.ts'
import { instance } from '../support/worlds.ts'
import { backend, candidateOf, model, route, runningOf, server } from './models.ts'

const now = model([backend('web', [server(1), server(2)])], [route('shop.example.com/', 'web')])
const installed = candidateOf(now)
const running = runningOf(now, installed)

function endpoint(last: number, code: string | null): Endpoint {
  const one = instance('web', `i${last}`)
  if (code === null) return { kind: 'dead', instance: one, why: 'it is not running' }
  const about = { service: 'web', instance: one.key, subject: '', reason: '', hint: '' }
  return { kind: 'unresolved', instance: one, problem: { code, ...about } }
}

/** What can't wait on the way from `now` to these servers of web; `lost` are what became of other instances. */
function urgentTo(
  servers: readonly ReturnType<typeof server>[],
  lost: readonly Endpoint[] = [],
  from: Running = running,
) {
  const wanted: Model = model([backend('web', servers)], now.routes)
  const open = plan(from, { model: wanted, candidate: candidateOf(wanted, { hash: 'bbbbbbbbbbbb' }) }, installed, now)
  return urgentServers(open, from, now, new Map([['web', lost]]))
}

const gone: Urgent = { backend: 'web', server: '10.2.1.2:8080', state: 'maint', isGone: true }

describe('what can not wait for a reload', () => {
  it.each([
    ['dead', null],
    ['without its address, which another container has', 'address-reused'],
    ['gone from its engine', 'container-gone'],
  ])('is a server whose container is %s: its requests are ended', (_what, code) => {
    expect(urgentTo([server(1)], [endpoint(2, code)])).toEqual([gone])
  })

  it('is one that turned critical, whose requests may finish, and one that recovered', () => {
    const critical = { backend: 'web', server: '10.2.1.2:8080', state: 'maint', isGone: false }
    expect(urgentTo([server(1), server(2, { state: 'maint' })])).toEqual([critical])
    const after = afterUrgent(running, [{ ...critical, state: 'maint' }])
    expect(urgentTo([server(1), server(2)], [], after)).toEqual([{ ...critical, state: 'ready' }])
  })

  it.each([
    ['left the catalog', [server(1)], []],
    ['moved', [server(1), server(3)], []],
    ['can not be resolved any more', [server(1)], [endpoint(2, 'no-address')]],
  ])('is one that %s while another one serves: its requests may finish', (_what, servers, lost) => {
    expect(urgentTo(servers, lost)).toEqual([{ ...gone, isGone: false }])
  })

  it('is not the last one that serves: its successor comes with the reload', () => {
    expect(urgentTo([server(3)])).toEqual([])
    const critical: Urgent = { ...gone, server: '10.2.1.1:8080', isGone: false }
    expect(urgentTo([server(1, { state: 'maint' })])).toEqual([critical])
    expect(urgentTo([server(1)], [], afterUrgent(running, [critical]))).toEqual([{ ...critical, state: 'ready' }])
    expect(urgentTo([server(3)], [endpoint(2, null)])).toEqual([gone])
  })

  it.each([
    ['is drained', [server(1), server(2, { state: 'drain' })]],
    ['has another weight', [server(1), server(2, { weight: 7 })]],
    ['is new', [server(1), server(2), server(3)]],
  ] as const)('is not one that %s', (_what, servers) => {
    expect(urgentTo(servers)).toEqual([])
  })

  it('is done when HAProxy was told', () => {
    const after = afterUrgent(running, urgentTo([server(1)], [endpoint(2, null)]))
    expect(after.servers.get('web')?.get('10.2.1.2:8080')).toEqual({ weight: 1, state: 'maint' })
    expect(urgentTo([server(1)], [endpoint(2, null)], after)).toEqual([])
  })
})
