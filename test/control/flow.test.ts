import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { wakes } from '../../src/control/flow.ts'

const { signal } = new AbortController()

describe('waiting for the next turn', () => {
  it('ends at once when a cause came before it', async () => {
    const flow = wakes()
    flow.wake('catalog')
    flow.wake('docker')
    flow.wake('catalog')
    expect(await flow.next(null, signal)).toEqual({ causes: new Set(['catalog', 'docker']), isDue: false })
  })

  it('ends when a cause comes, with all that came until the waiter ran', async () => {
    const flow = wakes()
    const turn = flow.next(null, signal)
    flow.wake('catalog')
    flow.wake('templates')
    expect(await turn).toEqual({ causes: new Set(['catalog', 'templates']), isDue: false })
  })

  it('hands every cause to one turn only', async () => {
    const flow = wakes()
    flow.wake('catalog')
    await flow.next(null, signal)
    const turn = flow.next(null, signal)
    flow.wake('docker')
    expect((await turn).causes).toEqual(new Set(['docker']))
  })

  it('ends when it is due, and not before', async () => {
    const flow = wakes()
    const until = performance.now() + 20
    expect(await flow.next(until, signal)).toEqual({ causes: new Set(), isDue: true })
    expect(performance.now()).toBeGreaterThanOrEqual(until)
  })

  it('ends at once when it was due already, and takes the causes that stand', async () => {
    const flow = wakes()
    flow.wake('settings')
    expect(await flow.next(performance.now() - 1, signal)).toEqual({ causes: new Set(['settings']), isDue: true })
  })

  it('lets others work in between, however often it is due', async () => {
    const flow = wakes()
    let hasRun = false
    setTimeout(() => (hasRun = true))
    for (const end = performance.now() + 5_000; !hasRun && performance.now() < end; ) await flow.next(0, signal)
    expect(hasRun).toBe(true)
  })

  it('does not fire early for an instant that no timer can carry', async () => {
    const flow = wakes()
    const turn = flow.next(performance.now() + 2 ** 40, signal)
    let isOver = false
    void turn.then(() => (isOver = true))
    await new Promise((resolve) => setTimeout(resolve, 20))
    expect(isOver).toBe(false)
    flow.wake('catalog')
    expect((await turn).isDue).toBe(false)
  })

  it('ends when the signal is aborted, before or meanwhile', async () => {
    const flow = wakes()
    expect((await flow.next(null, AbortSignal.abort())).causes.size).toBe(0)
    const stop = new AbortController()
    const turn = flow.next(null, stop.signal)
    stop.abort()
    expect(await turn).toEqual({ causes: new Set(), isDue: false })
  })

  it('takes one waiter at a time', async () => {
    const flow = wakes()
    const first = flow.next(null, signal)
    await expect(flow.next(null, signal)).rejects.toThrow('expected one waiter')
    flow.wake('catalog')
    expect((await first).causes.size).toBe(1)
  })

  it('loses no cause, however wakes and turns interleave', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.constantFrom('catalog', 'docker', 'weave', null), { maxLength: 30 }),
        async (script) => {
          const flow = wakes()
          const stop = new AbortController()
          const seen: string[] = []
          const loop = (async () => {
            while (!stop.signal.aborted)
              for (const cause of (await flow.next(null, stop.signal)).causes) seen.push(cause)
          })()
          for (const cause of script) {
            if (cause === null) await new Promise((resolve) => setImmediate(resolve))
            else flow.wake(cause)
          }
          stop.abort()
          await loop
          expect(new Set(seen)).toEqual(new Set(script.filter((cause) => cause !== null)))
        },
      ),
    )
  })

  it('leaves no listener behind on the signal', async () => {
    const flow = wakes()
    const stop = new AbortController()
    let listeners = 0
    const { addEventListener, removeEventListener } = stop.signal
    stop.signal.addEventListener = (...args: Parameters<typeof addEventListener>) => {
      listeners++
      return addEventListener.apply(stop.signal, args)
    }
    stop.signal.removeEventListener = (...args: Parameters<typeof removeEventListener>) => {
      listeners--
      return removeEventListener.apply(stop.signal, args)
    }
    for (let turn = 0; turn < 50; turn++) {
      const next = flow.next(null, stop.signal)
      flow.wake('catalog')
      await next
    }
    expect(listeners).toBe(0)
  })
})
