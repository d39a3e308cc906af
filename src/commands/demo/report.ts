import type { Ms } from '../../types.ts'
import type { Mistake } from './client.ts'
import type { Ports } from './parts.ts'
import type { Change } from './scenario.ts'

/** What the demo came to. */
export interface Summary {
  /** Since every route was answered for the first time. */
  readonly duration: Ms
  readonly requests: number
  /** Requests that were not answered as they should have been. */
  readonly wrong: number
  readonly followed: number
  readonly notFollowed: number
  readonly slowest: Ms | null
  readonly median: Ms | null
}

export interface Ready {
  readonly source: string
  readonly containers: number
  readonly ports: Ports
  readonly settingsFile: string
}

/** Prints what happens: lines for people, or one JSON object a line. */
export interface Report {
  readonly ready: (ready: Ready) => void
  readonly change: (change: Change, at: Ms) => void
  readonly mistake: (mistake: Mistake, at: Ms) => void
  readonly summary: (summary: Summary) => void
}

export function jsonReport(write: (text: string) => void): Report {
  const line = (event: string, value: object): void => write(`${JSON.stringify({ event, ...value })}\n`)
  return {
    ready: (ready) => line('ready', ready),
    change: (change, at) => line('change', { at, ...change }),
    mistake: (mistake, at) => line('mistake', { at, ...mistake }),
    summary: (summary) => line('summary', summary),
  }
}

/** Mistakes beyond these are only counted. */
const shownMistakes = 20

export function textReport(write: (text: string) => void): Report {
  let mistakes = 0
  const line = (at: Ms, what: string, then: string): void =>
    write(`${seconds(at).padStart(7)}  ${what.padEnd(74)}  ${then}\n`)
  return {
    ready: (ready) => write(printReady(ready)),
    change({ what, sign, followedAfter }, at) {
      line(at, what, followedAfter === null ? 'NOT FOLLOWED' : `${sign} after ${duration(followedAfter)}`)
    },
    mistake({ url, reason }, at) {
      mistakes++
      if (mistakes <= shownMistakes) line(at, `WRONG  ${url}`, reason)
      if (mistakes === shownMistakes) write('         more of them are counted, not shown\n')
    },
    summary: (summary) => write(`\n${printSummary(summary)}\n`),
  }
}

function printReady({ source, containers, ports, settingsFile }: Ready): string {
  const routes = [
    ['shop', 'shop.localhost', '/'],
    ['cart', 'shop.localhost', '/cart/items'],
    ['api', 'api.localhost', '/v1/users'],
    ['blog', 'blog.demo.localhost', '/'],
    ['docs', 'en.docs.localhost', '/guide'],
  ] as const
  const asks = routes.map(([service, host, path]) => {
    const url = `http://${host}:${ports.routes}${path}`
    const curl = `curl -H 'Host: ${host}' http://127.0.0.1:${ports.routes}${path}`
    return `  ${service.padEnd(8)}${url.padEnd(44)}  ${curl}\n`
  })
  return [
    `heddle demo: ${containers} containers on 127.2.N.x, ${source}, HAProxy on port ${ports.routes}\n\n`,
    ...asks,
    '\n',
    `  status  http://127.0.0.1:${ports.status}/\n`,
    `  metrics http://127.0.0.1:${ports.status}/metrics\n`,
    `  HAProxy http://127.0.0.1:${ports.haproxy}/stats\n`,
    `  ask it  node dist/cli.js --config ${settingsFile} routes\n\n`,
    'A client asks every route all the time. Containers come and go; Ctrl-C ends it.\n\n',
  ].join('')
}

function printSummary({ duration: length, requests, wrong, followed, notFollowed, median, slowest }: Summary): string {
  const answers = wrong === 0 ? 'all answered as they should be' : `${wrong} NOT answered as they should be`
  const times = median === null || slowest === null ? '' : ` (median ${duration(median)}, slowest ${duration(slowest)})`
  const lost = notFollowed === 0 ? '' : `, ${notFollowed} NOT followed`
  return `${seconds(length)}: ${requests} requests, ${answers}; ${followed} changes followed${times}${lost}`
}

function seconds(time: Ms): string {
  return `${(time / 1000).toFixed(1)}s`
}

function duration(time: Ms): string {
  return time < 1000 ? `${Math.round(time)} ms` : `${(time / 1000).toFixed(1)} s`
}
