import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { findPromtool } from '../../scripts/tools.mjs'
import { type MetricRow, metricTable } from '../../src/status/metric-table.ts'

/** What prometheus/ holds: that Prometheus takes it, and that it speaks of metrics and sections which are there. */

const promtool = findPromtool() ?? ''
const folder = fileURLToPath(new URL('../../prometheus/', import.meta.url))
const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8')

const text = z.string().min(10)
const rulesShape = z.object({
  groups: z.array(
    z.strictObject({
      name: z.string(),
      rules: z.array(
        z.strictObject({
          alert: z.string().regex(/^[A-Z][A-Za-z]+$/),
          expr: z.string(),
          for: z.string().optional(),
          labels: z.strictObject({ severity: z.enum(['critical', 'warning']) }),
          annotations: z.strictObject({ summary: text, description: text, action: text, runbook: text }),
        }),
      ),
    }),
  ),
})
const testsShape = z.object({
  tests: z.array(
    z.object({
      input_series: z.array(z.object({ series: z.string() })),
      promql_expr_test: z.array(z.object({ exp_samples: z.array(z.object({ labels: z.string() })) })),
    }),
  ),
})
const configShape = z.object({ scrape_configs: z.array(z.object({ job_name: z.string() })) })

const alerts = rulesShape.parse(parse(read('prometheus/alerts.yml'))).groups.flatMap(({ rules }) => rules)
const { tests } = testsShape.parse(parse(read('prometheus/alerts.test.yml')))

/** What PromQL asks of heddle's metrics that the table of metrics does not have. */
function unknownIn(promql: string): readonly string[] {
  const rows: ReadonlyMap<string, MetricRow> = new Map(Object.entries(metricTable))
  return [...promql.matchAll(/\b(heddle_[a-z_]+)(?:\{([^}]*)\})?/g)].flatMap(([, name = '', selector = '']) => {
    const base = name.replace(/_(bucket|sum|count)$/, '')
    const row = rows.get(name) ?? (rows.get(base)?.type === 'histogram' ? rows.get(base) : undefined)
    if (row === undefined) return [`${name} is no metric`]
    return [...selector.matchAll(/(\w+)[=!~]+"([^"]*)"/g)].flatMap(([, label = '', value = '']) => {
      if (label === 'job' || label === 'instance' || (label === 'le' && row.type === 'histogram')) return []
      const values = row.labels?.[label]
      if (values === undefined) return [`${name} has no label ${label}`]
      return typeof values === 'string' || values.includes(value) ? [] : [`${name}: ${label} is never ${value}`]
    })
  })
}

describe.skipIf(promtool === '')('Prometheus', () => {
  it.each(['check rules alerts.yml', 'test rules alerts.test.yml', 'check config --syntax-only prometheus.yml'])(
    'is content: promtool %s',
    (command) => {
      const { status, stdout, stderr } = spawnSync(promtool, command.split(' '), { cwd: folder, encoding: 'utf8' })
      expect({ status, output: `${stdout}${stderr}` }).toEqual({ status: 0, output: expect.stringMatching(/SUCCESS/) })
    },
    60_000,
  )
})

describe('an alert', () => {
  it('only asks for metrics, labels and values that heddle has', () => {
    expect(alerts.flatMap(({ expr }) => unknownIn(expr))).toEqual([])
    expect(tests.flatMap((one) => one.input_series.flatMap(({ series }) => unknownIn(series)))).toEqual([])
    expect(unknownIn('heddle_redy == 0 or heddle_notices{subjekt="x"} or heddle_notices{subject="x"}')).toHaveLength(3)
  })

  it('only asks for jobs that are scraped', () => {
    const jobs = configShape.parse(parse(read('prometheus/prometheus.yml'))).scrape_configs.map((one) => one.job_name)
    const asked = alerts.flatMap(({ expr }) => [...expr.matchAll(/job="([^"]*)"/g)].map(([, job]) => job))
    expect([...new Set(asked)].sort()).toEqual(['haproxy', 'heddle'])
    expect(jobs).toEqual(expect.arrayContaining(['haproxy', 'heddle']))
  })

  it.each(alerts)('$alert is seen to fire in alerts.test.yml', ({ alert }) => {
    const fired = tests.flatMap((one) => one.promql_expr_test.flatMap(({ exp_samples: samples }) => samples))
    expect(fired.filter(({ labels }) => labels.includes(`alertname="${alert}"`))).not.toEqual([])
  })

  it.each(alerts)('$alert names a section of the operations page that says what to do', ({ alert, annotations }) => {
    expect(annotations.runbook).toBe(`docs/operations.md#${alert.toLowerCase()}`)
    expect(read('docs/operations.md')).toContain(`\n### ${alert}\n`)
  })
})
