import { setTimeout as delay } from 'node:timers/promises'

/**
 * Tries `check` until it does not throw (or reject), and returns its value. For conditions that come true by
 * themselves: `await eventually(() => expect(reports.at(-1)).toEqual(...))`. The error of the last try is shown
 * when it has not come true `within` milliseconds (10 s), tried `every` so many (20 ms).
 */
export async function eventually<T>(
  check: () => T | Promise<T>,
  { within = 10_000, every = 20 }: { within?: number; every?: number } = {},
): Promise<T> {
  const end = performance.now() + within
  for (;;) {
    try {
      return await check()
    } catch (error) {
      if (performance.now() >= end) {
        const text = error instanceof Error ? error.message : String(error)
        throw new Error(`not within ${within} ms: ${text}`, { cause: error })
      }
    }
    await delay(every)
  }
}
