import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { findPrometheus, findPromtool } from '../../scripts/tools.mjs'
import { metricTable } from '../../src/status/metric-table.ts'
import { httpServer, until } from '../support/haproxy.ts'
import { startHeddle } from '../support/heddle.ts'
import { startPrometheus } from '../support/prometheus.ts'
import { entry, followed, setUp } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

/** The compiled heddle and its HAProxy as Prometheus sees them, with the files of prometheus/. */

const [prometheus, promtool] = [findPrometheus() ?? '', findPromtool() ?? '']
const read = (name: string) => readFileSync(new URL(`../../prometheus/${name}`, import.meta.url), 'utf8')

const operations = readFileSync(new URL('../../docs/operations.md', import.meta.url), 'utf8')

/** A heddle that follows a change or two and asks for a token. */
async function edge() {
  const [web, other] = [await httpServer({ name: 'web' }), await httpServer({ name: 'other' })]
  const { folder, settings, file, args } = await setUp('spawn', {
    web: [entry('w1', web, 'heddle.route=shop.example')],
  })
  const tokenFile = join(dirname(settings), 'token')
  await writeFile(tokenFile, 'a-token-of-prometheus\n')
  const text = await readFile(settings, 'utf8')
  const [, status = ''] = /^status: \{listen: "([^"]+)"\}$/m.exec(text) ?? []
  const [, stats = ''] = /^ {2}statsBind: "([^"]+)"$/m.exec(text) ?? []
  await writeFile(settings, text.replace(`"${status}"}`, `"${status}", tokenFile: ${tokenFile}}`))
  const running = await startHeddle(folder, settings, args)
  await running.ready()
  await writeSnapshot(file, { web: [entry('w2', other, 'heddle.route=shop.example')] })
  await followed(folder, 'shop.example', 'other')
  const metrics = async () => {
    const headers = { authorization: 'Bearer a-token-of-prometheus', connection: 'close' }
    return (await fetch(`http://${status}/metrics`, { headers })).text()
  }
  return { running, status, stats, tokenFile, metrics }
}

describe.skipIf(prometheus === '' || promtool === '')('Prometheus', () => {
  it('has both targets up, heddle ready and the rules loaded, and no word against the metrics', async () => {
    const { running, status, stats, tokenFile, metrics } = await edge()
    expect((await running.get('/metrics')).status).toBe(401)
    // a turn is counted when it is over, a moment after it serves
    const text = await until(async () => {
      const answer = await metrics()
      return /^heddle_change_duration_seconds_count [1-9]/m.test(answer) && answer
    })
    const lint = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' })
    expect(`${lint.stdout}${lint.stderr}`).toBe('')
    expect(lint.status).toBe(0)
    for (const name of Object.keys(metricTable)) expect(text).toMatch(new RegExp(`^# HELP ${name} .*\\.$`, 'm'))

    const config = read('prometheus.yml')
      .replaceAll('15s', '200ms')
      .replace('/run/heddle-token/token', tokenFile)
      .replace('heddle:8480', status)
      .replace('haproxy:8404', stats)
    const watching = await startPrometheus({ 'prometheus.yml': config, 'alerts.yml': read('alerts.yml') })
    const up = await until(async () => {
      const samples = await watching.query('up')
      return samples.length === 2 && samples.every(({ value }) => value === 1) && samples
    }, 20_000)
    expect(up.map(({ labels }) => [labels['job'], labels['instance']]).sort()).toEqual([
      ['haproxy', stats],
      ['heddle', status],
    ])
    expect(await watching.query('heddle_ready')).toMatchObject([{ value: 1, labels: { job: 'heddle' } }])
    expect(await watching.query('heddle_haproxy_up')).toMatchObject([{ value: 1 }])
    expect(await watching.query('count({__name__=~"haproxy_server_.*"})')).toEqual([])
    expect(await watching.query('haproxy_backend_active_servers{proxy="web"}')).toMatchObject([{ value: 1 }])
    const [, join = ''] = /```promql\n(sum by \(service\)[^`]*)```/.exec(operations) ?? []
    await until(async () => {
      const [one, ...more] = await watching.query(join.replace('[5m]', '[30s]'))
      return one?.labels['service'] === 'web' && more.length === 0
    })
    expect(JSON.stringify(await watching.get('rules'))).toContain('HeddleNotReady')
    await until(async () => (await watching.query('ALERTS')).length === 0)

    running.signal('SIGTERM')
    expect(await running.ended).toBe(0)
    await until(async () => (await watching.query('ALERTS{alertname="HeddleDown"}')).length === 1)
  }, 60_000)
})
