import { expect, it } from 'vitest'
import { problemCodes } from '../../src/problems.ts'
import { type MetricRow, metricTable } from '../../src/status/metric-table.ts'
import { openApiDocument } from '../../src/status/openapi.ts'
import { version } from '../../src/version.ts'

/** Pages that are made from the code: `npx vitest run test/docs -u` writes them anew. */

const page = (lines: readonly string[]) => `${lines.join('\n')}\n`

it('docs/problems.md names every problem with what to write instead', async () => {
  const rows = Object.entries(problemCodes).map(([code, hint]) => `| \`${code}\` | ${hint.replaceAll('|', '\\|')} |`)
  const head = [
    '# Problems',
    '',
    'What `heddle lint`, the API and `heddle_problems{code}` call a mistake. Codes are stable. While one stands everything else is served,',
    'and a route that was understood before keeps its last good version. PREFIX is `expose.prefix`, `heddle` unless it was changed.',
    '',
  ]
  await expect(page([...head, '| code | what to do |', '| --- | --- |', ...rows])).toMatchFileSnapshot(
    '../../docs/problems.md',
  )
})

it('docs/metrics.md names every metric with its type, labels and meaning', async () => {
  const rows = Object.entries<MetricRow>(metricTable).map(([name, { type, help, labels = {} }]) => {
    const named = Object.entries(labels).map(([label, values]) => {
      return `\`${label}\`: ${typeof values === 'string' ? values : values.join(', ')}`
    })
    return `| \`${name}\` | ${type} | ${named.join('; ')} | ${help} |`
  })
  const head = [
    '# Metrics',
    '',
    'What `/metrics` of the status endpoint says. [prometheus/](../prometheus) has alerts made of it and a scrape configuration;',
    '[what to do when one fires](operations.md#alerts) is in the operations page.',
    '',
    'Beside these stand the usual ones of the process and of Node.js. Worth a panel: `process_resident_memory_bytes`,',
    '`process_cpu_seconds_total`, `process_open_fds` and `nodejs_eventloop_lag_p99_seconds`. HAProxy has an exporter of its own,',
    '`/metrics` on `haproxy.statsBind`: requests, response times and sessions are there.',
    '',
  ]
  const columns = ['| name | type | labels | meaning |', '| --- | --- | --- | --- |']
  await expect(page([...head, ...columns, ...rows])).toMatchFileSnapshot('../../docs/metrics.md')
})

it('docs/openapi.json is the OpenAPI document of the status endpoint', async () => {
  const text = `${JSON.stringify(openApiDocument(version), null, 2)}\n`
  await expect(text).toMatchFileSnapshot('../../docs/openapi.json')
})
