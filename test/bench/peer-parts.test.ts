import { spawn } from 'node:child_process'
import { BlockList } from 'node:net'
import { describe, expect, it } from 'vitest'
import { addressOf, containerRange } from '../../bench/peer/catalog.mjs'
import { parseAnswer } from '../../bench/peer/connection.mjs'
import { busySeconds, parseStat, processorSeconds, readProcesses, treeOf } from '../../bench/peer/processes.mjs'
import { cellsOf, type Measured, notesOf } from '../../bench/peer/report.mjs'
import { percentile, repeatableRandom, summary } from '../../bench/peer/statistics.mjs'

describe('figures from samples', () => {
  it('are values that occurred, in whatever order they came', () => {
    expect(percentile([5, 1, 4, 2, 3], 50)).toBe(3)
    expect(percentile([20, 10], 50)).toBe(10)
    expect(percentile([20, 10], 95)).toBe(20)
    expect(percentile([7], 0)).toBe(7)
    expect(percentile([], 50)).toBeNull()
  })

  it('tell of a change that was never shown', () => {
    expect(summary([3, Number.POSITIVE_INFINITY, 1])).toEqual({ p50: 3, p95: Infinity, max: Infinity })
  })

  it('follow the same pauses in every run', () => {
    const [one, other] = [repeatableRandom(), repeatableRandom()]
    const values = Array.from({ length: 1_000 }, () => one())
    expect(Array.from({ length: 1_000 }, () => other())).toEqual(values)
    expect(Math.min(...values)).toBeGreaterThan(0)
    expect(Math.max(...values)).toBeLessThan(1)
    expect(values.reduce((sum, value) => sum + value) / values.length).toBeCloseTo(0.5, 1)
  })
})

describe('processor time', () => {
  // utime 10, stime 20; of ended children 300 and 400
  const line = '77 (a) b (c)) S 5 77 77 0 -1 4194560 9 8 7 6 10 20 300 400 20 0 1 0 99 0 0\n'

  it('is read behind any name', () => {
    expect(parseStat(line)).toEqual({ pid: 77, parent: 5, ticks: 30, ofEnded: 700 })
    expect(parseStat('')).toBeNull()
  })

  it('is that of a process, of all it started, and of those that ended', () => {
    const process = (pid: number, parent: number) => ({ pid, parent, ticks: 100, ofEnded: 10 })
    // a child may have a lower number than its parent
    const all = [process(3, 9), process(9, 2), process(2, 1), process(4, 1)]
    expect(treeOf(all, 2).map(({ pid }) => pid)).toEqual([2, 9, 3])
    expect(processorSeconds(all, 2)).toBeCloseTo(3.3)
    expect(processorSeconds(all, 8)).toBe(0)
  })

  it('keeps what a child used after it has ended', async () => {
    const before = processorSeconds(readProcesses(), process.pid)
    const busy = 'while (process.cpuUsage().user < 200_000);'
    const child = spawn(process.execPath, ['-e', busy])
    await new Promise((resolve) => child.once('close', resolve))
    expect(processorSeconds(readProcesses(), process.pid) - before).toBeGreaterThan(0.1)
  })

  it('of the machine is all but idleness and waiting', () => {
    expect(busySeconds('cpu  100 200 300 9999 8888 40 50 60 70 80\ncpu0 1 1 1 1 1 1 1 1 0 0\n')).toBeCloseTo(7.5)
  })
})

describe('an answer', () => {
  it('is there when all of it is', () => {
    const text = 'HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello'
    for (let length = 0; length < text.length; length++) expect(parseAnswer(text.slice(0, length))).toBeNull()
    expect(parseAnswer(text)).toEqual({ status: 200, body: 'hello', isLast: false })
  })

  it('may be the last of its connection', () => {
    const text = 'HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-length: 0\r\n\r\n'
    expect(parseAnswer(text)).toEqual({ status: 503, body: '', isLast: true })
  })
})

describe('the containers of a catalog', () => {
  it('have an address each, in one range', () => {
    const range = new BlockList()
    const [network = '', prefix] = containerRange.split('/')
    range.addSubnet(network, Number(prefix))
    const addresses = Array.from({ length: 130_000 }, (_, number) => addressOf(number))
    expect(new Set(addresses).size).toBe(addresses.length)
    const some = addresses.filter((_, number) => number % 997 === 0)
    expect(some.filter((address) => !range.check(address))).toEqual([])
  })
})

describe('the table', () => {
  const one = (name: string, factor: number, failures: Readonly<Record<string, number>> = {}): Measured => {
    const time = { p50: factor, p99: 2 * factor, max: 3 * factor }
    const peaks = { resident: 100 * factor, proportional: 90 * factor, processes: 2 * factor }
    return {
      name,
      start: 1_000 * factor,
      times: {
        register: [10 * factor],
        critical: [20 * factor],
        passing: [30 * factor],
        deregister: [40 * factor],
        'new service': [50 * factor],
      },
      changes: 40,
      churn: { controller: 2 * factor, haproxy: 3 * factor, consul: factor },
      quiet: { controller: 0, haproxy: factor, consul: 0 },
      reloads: 4 * (factor - 1),
      load: { requests: 40_000, failures, ...time },
      memory: { controller: peaks, haproxy: peaks },
      throughput: { microseconds: 25 * factor, perSecond: 30_000 / factor, ...time },
      others: 0.123 * factor,
    }
  }
  const { head, body } = cellsOf([one('heddle', 1), one('other', 3)])
  const row = (label: string) => body.find(([first]) => first === label)?.slice(1)

  it('sets the others beside the first', () => {
    expect(head).toEqual(['', 'heddle', 'other', 'ratio'])
    expect(row('every route served after a start')).toEqual(['1,000 ms', '3,000 ms', '3.0'])
    expect(row('change to traffic, p95')).toEqual(['50 ms', '150 ms', '3.0'])
    expect(row('critical, p50')).toEqual(['20 ms', '60 ms', '3.0'])
    expect(row('requests/s seen at the last route')).toEqual(['30,000', '10,000', '0.33'])
    expect(row('processor time a request at the last route')).toEqual(['25.0 µs', '75.0 µs', '3.0'])
  })

  it('counts for a change what the load alone did not take', () => {
    expect(row('processor time a change, all three')).toEqual(['125 ms', '375 ms', '3.0'])
    expect(row('… of HAProxy')).toEqual(['50 ms', '150 ms', '3.0'])
  })

  it('has no ratio to nothing', () => {
    expect(row('reloads in the churn')).toEqual(['0', '8', '-'])
  })

  it('says what was never shown', () => {
    const never = { ...one('other', 1), times: { ...one('other', 1).times, critical: [Number.POSITIVE_INFINITY] } }
    const cells = cellsOf([one('heddle', 1), never]).body.find(([label]) => label === 'critical, max')
    expect(cells).toEqual(['critical, max', '20 ms', '> 60 s', '∞'])
  })

  it('is told with who else was at work, and how requests failed', () => {
    expect(notesOf([one('heddle', 1)])).toBe('Other programs took of the processors: 12 % during heddle.')
    expect(notesOf([one('heddle', 1), one('other', 3, { reset: 2, 503: 1 })])).toContain(
      'Failed requests: other: 503 1, reset 2 of 40,000.',
    )
  })
})
