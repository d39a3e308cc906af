import type { z } from 'zod'
import type { State } from '../control/state.ts'
import type { AskLoads, Loads } from '../haproxy/loads.ts'
import type { Decision, Ms, Running } from '../types.ts'
import { revisionDiffView, revisionsView, revisionView, type ServiceParts, serviceViewOf, statusView } from './api.ts'
import type { ExplainView } from './explanation.ts'
import { findProblems, findRoutes, findServices, type Page } from './lists.ts'
import { sectionsWithServers } from './live-servers.ts'
import type { Metrics } from './metrics.ts'
import { notYet } from './not-yet.ts'
import { openApiDocument } from './openapi.ts'
import {
  explainQuery,
  type OperationName,
  problemsQuery,
  revisionParams,
  revisionsQuery,
  routesQuery,
  servicesQuery,
} from './operations.ts'
import { readPage } from './page.ts'
import type { ErrorView } from './views.ts'

export interface Answer {
  readonly status: number
  readonly type: string
  readonly body: string | Buffer
  readonly headers?: Readonly<Record<string, string>>
}

/** What was asked, decoded but not looked at. */
export interface Asked {
  readonly query: unknown
  readonly params: unknown
}

export interface AnswerSettings {
  readonly state: () => State
  /** Null: nothing has been decided yet. */
  readonly explain: (url: string, method: string, live: boolean) => Promise<ExplainView | null>
  readonly loads: AskLoads
  readonly config: () => unknown
  readonly metrics: Metrics
  readonly now: () => Ms
  readonly explainTimeout: Ms
}

type Answerer = (asked: Asked) => Answer | Promise<Answer>

/** By the names of operations: all but `events`, which never ends. */
export function createAnswers(settings: AnswerSettings): ReadonlyMap<string, Answerer> {
  const { state, explain, loads, config, metrics, now, explainTimeout } = settings
  const files = readPage()
  const answerers: Record<Exclude<OperationName, 'events'>, Answerer> = {
    page: () => ({ status: 200, ...files.page }),
    pageStyle: () => ({ status: 200, ...files.pageStyle }),
    pageScript: () => ({ status: 200, ...files.pageScript }),
    pageIcon: () => ({ status: 200, ...files.pageIcon }),
    livez: () => json({ live: true }),
    readyz: () => {
      const { isReady, reason } = state().ready
      return json({ ready: isReady, reason }, isReady ? 200 : 503)
    },
    metrics: async () => ({ status: 200, type: metrics.contentType, body: await metrics.text(state(), now()) }),
    status: () => json(statusView(state(), now())),
    routes: asking(routesQuery, (query) => list('routes', state(), query, (newest) => findRoutes(newest, query))),
    services: asking(servicesQuery, (query) => services(state(), query, loads)),
    problems: asking(problemsQuery, (query) =>
      list('problems', state(), query, (newest) => findProblems(newest, query)),
    ),
    revisions: asking(revisionsQuery, ({ limit }) => {
      const all = revisionsView(state())
      return page({ items: limit === undefined ? all : all.slice(-limit), total: all.length })
    }),
    revision: ({ params }) => revision(state(), params, revisionView),
    revisionDiff: ({ params }) => revision(state(), params, revisionDiffView),
    explain: asking(explainQuery, async ({ url, method, live }) => {
      const explained = await within(explainTimeout, explain(url, method, live ?? false))
      if (explained === 'too late') return refuse(504, 'the answer took too long', 'ask again, or without live')
      if (explained.value === null) return json(notYet(state()), 503)
      return json(explained.value)
    }),
    config: () => json(config()),
    openapi: () => json(openApiDocument(state().version)),
  }
  return new Map(Object.entries(answerers))
}

export function refuse(status: number, error: string, hint: string): Answer {
  return json({ error, hint } satisfies ErrorView, status)
}

function json(value: unknown, status = 200): Answer {
  return { status, type: 'application/json; charset=utf-8', body: JSON.stringify(value) ?? 'null' }
}

function page<T>({ items, total }: Page<T>): Answer {
  return { ...json(items), headers: { 'x-total-count': String(total) } }
}

/** More sections than these are asked for only by who says so. */
const mostSections = 200

/** Sessions are asked for where that is cheap: of a part of the list. State and weight are at hand. */
async function services(state: State, query: z.output<typeof servicesQuery>, ask: AskLoads): Promise<Answer> {
  const { decision, running } = state
  const views = (found: Page<ServiceParts>, sections: Loads['sections']) => ({
    ...found,
    items: found.items.map((parts) => serviceViewOf(parts, running, sections)),
  })
  const isWanted = query.live ?? query.limit !== undefined
  if (!isWanted || decision === null || running === null) {
    const answer = list('services', state, query, (newest) => views(findServices(newest, query), new Map()))
    return withLive(answer, isWanted ? 'failed: HAProxy does not answer' : notAsked)
  }
  const found = findServices(state, query)
  const sections = found.items.flatMap(({ backends }) => sectionsWithServers(backends, running))
  if (query.live !== true && sections.length > mostSections) return withLive(page(views(found, new Map())), notAsked)
  const told = await ask(sections)
  return withLive(page(views(found, told.sections)), told.why === null ? 'asked' : `failed: ${told.why}`)
}

const notAsked = 'not asked: use limit, or live=true'

/** A header takes no character beyond ASCII, and a reason can name a file. */
function withLive(answer: Answer, live: string): Answer {
  if (answer.status !== 200) return answer
  return { ...answer, headers: { ...answer.headers, 'x-live': live.replace(/[^ -~]/g, '?') } }
}

interface Printed {
  readonly running: Running | null
  readonly answer: Answer
}

/** Whole lists, printed once for what they are of: they are large, and slow readers of one share its bytes. */
const printed = new WeakMap<Decision, Map<string, Printed>>()

function list(name: string, state: State, query: object, find: (state: State) => Page<unknown>): Answer {
  if (state.decision === null) return json(notYet(state), 503)
  const isWhole = Object.values(query).every((value) => value === undefined)
  if (!isWhole) return page(find(state))
  const answers = printed.get(state.decision) ?? new Map<string, Printed>()
  printed.set(state.decision, answers)
  const known = answers.get(name)
  if (known !== undefined && known.running === state.running) return known.answer
  const answer = page(find(state))
  const shared = { ...answer, body: Buffer.from(answer.body) }
  answers.set(name, { running: state.running, answer: shared })
  return shared
}

function asking<Q extends z.ZodType>(schema: Q, answer: (query: z.output<Q>) => Answer | Promise<Answer>): Answerer {
  return ({ query }) => {
    const parsed = schema.safeParse(query)
    if (parsed.success) return answer(parsed.data)
    const names = [...new Set(parsed.error.issues.map(({ path }) => path.join('.')))].join(', ')
    return refuse(400, `wrong query parameter: ${names}`, 'see /api/v1/openapi.json for what each takes')
  }
}

function revision(state: State, params: unknown, view: (state: State, number: number) => unknown): Answer {
  const parsed = revisionParams.safeParse(params)
  const found = parsed.success ? view(state, Number(parsed.data.number)) : null
  if (found !== null) return json(found)
  const kept = state.history.map(({ number }) => number)
  const hint = kept.length === 0 ? 'the history is empty' : `the history has ${kept[0]} to ${kept.at(-1)}`
  return refuse(404, 'no such revision', hint)
}

async function within<T>(limit: Ms, work: Promise<T>): Promise<{ readonly value: T } | 'too late'> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<'too late'>((resolve) => {
    timer = setTimeout(() => resolve('too late'), limit)
  })
  try {
    return await Promise.race([work.then((value) => ({ value })), late])
  } finally {
    clearTimeout(timer)
  }
}
