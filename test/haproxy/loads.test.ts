import { beforeAll, describe, expect, it } from 'vitest'
import { loadReader } from '../../src/haproxy/loads.ts'
import { install, minimalCandidate, startHaproxy, type WorkFolder, workFolder } from '../support/haproxy.ts'

describe('sessions of servers', () => {
  let folder: WorkFolder
  const names = ['web', '4', '-1', 'a.b_c']
  const idle = { sessions: 0, total: 0, queue: 0 }

  beforeAll(async () => {
    folder = await workFolder()
    const backends = Object.fromEntries(names.map((name, index) => [name, [`127.0.0.1:${index + 1}`, '127.0.0.1:9']]))
    await install(folder, minimalCandidate(folder, { backends: { ...backends, empty: [] } }))
    await startHaproxy(folder)
  })

  it.each([
    ['one after the other', 100],
    ['all at once', 0],
  ])('are told by section and server, whatever a section is called, %s', async (_how, mostSingly) => {
    const { sections, why } = await loadReader(() => folder, { mostSingly })([...names, 'empty'])
    expect(why).toBeNull()
    expect(sections).toEqual(
      new Map([
        ...['web', '4', '-1', 'a.b_c'].map((name): [string, unknown] => {
          const own = `127.0.0.1:${names.indexOf(name) + 1}`
          return [name, new Map([own, '127.0.0.1:9'].map((server) => [server, idle]))]
        }),
        ['empty', new Map()],
      ]),
    )
  })

  it('of a section that is not there are missing, and all others are told', async () => {
    const { sections, why } = await loadReader(() => folder)(['nobody', 'web', '5'])
    expect(why).toContain('nobody')
    expect(sections.get('web')?.size).toBe(2)
    // HAProxy takes it for the number of another section, whose servers are not shown under this name
    expect(sections.get('5') ?? new Map()).toEqual(new Map())
  })

  it.each(['web 4 -1', 'web;show info', 'web\nshow info', '', ':', '-1:', '<<'])(
    'of %j are not asked for',
    async (section) => {
      expect(await loadReader(() => folder)([section])).toEqual({
        sections: new Map(),
        why: `HAProxy tells no statistics of ${section}`,
      })
    },
  )

  it('are the same for all who ask within a while, and new ones after it', async () => {
    const ask = loadReader(() => folder)
    const [one, other] = await Promise.all([ask(['web', 'empty']), ask(['4', 'web'])])
    expect(other.sections.get('web')).toBe(one.sections.get('web'))
    expect((await ask(['web'])).sections.get('web')).toBe(one.sections.get('web'))
    const askAnew = loadReader(() => folder, { shared: 0 })
    const before = await askAnew(['web'])
    expect((await askAnew(['web'])).sections.get('web')).not.toBe(before.sections.get('web'))
  })

  it('of no section are no question, and without HAProxy there is a reason', async () => {
    const nowhere = loadReader(() => ({ masterSocket: '/nowhere/m.sock', statsSocket: '/nowhere/s.sock' }))
    expect(await nowhere([])).toEqual({ sections: new Map(), why: null })
    expect(await nowhere(['web'])).toEqual({ sections: new Map(), why: expect.stringContaining('/nowhere/s.sock') })
  })

  it('come through the master where the socket of the worker is gone', async () => {
    const { sections, why } = await loadReader(() => ({ ...folder, statsSocket: '/nowhere/s.sock' }))(['web', '4'])
    expect(why).toBeNull()
    expect([...sections.keys()]).toEqual(['web', '4'])
  })
})
