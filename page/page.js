// What is shown comes from the catalog and from HAProxy: it only ever becomes text, never markup.

const pageSize = 100
const mostProblems = 100
const mostInstances = 12
const mostRevisions = 10
const pollEvery = 5000
const reconnectAfter = 30_000
const settle = 250

const view = { q: '', offset: 0, status: null, receivedAt: 0 }

// ---------------------------------------------------------------------------------------------- building

function byId(id) {
  return document.getElementById(id)
}

/** Control and direction characters as escapes: a name must not turn the line around that it stands in. */
function visible(text) {
  return text.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach the page
    /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Children are nodes, or strings, which `append` turns into text nodes. */
function element(tag, className, ...children) {
  const made = document.createElement(tag)
  if (className !== '') made.className = className
  made.append(...children.map((child) => (child instanceof Node ? child : visible(String(child)))))
  return made
}

function fill(id, ...children) {
  byId(id).replaceChildren(...children)
}

function plural(count, word) {
  return `${count.toLocaleString('en')} ${word}${count === 1 ? '' : 's'}`
}

function age(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

function sinceReceived() {
  return (Date.now() - view.receivedAt) / 1000
}

// ---------------------------------------------------------------------------------------------- showing

function showStatus() {
  const { status } = view
  if (status === null) return
  const ready = byId('ready')
  ready.textContent = status.ready ? 'ready' : 'not ready'
  ready.className = `badge ${status.ready ? 'good' : 'bad'}`
  document.title = status.ready ? 'heddle' : 'heddle: not ready'
  const { revision, haproxy, counts } = status
  fill(
    'revision',
    revision === null
      ? status.reason
      : `revision ${revision.number} (${revision.hash}), proved ${new Date(revision.provenAt).toLocaleString()}`,
  )
  const notices = [
    ...(!status.ready && revision !== null ? [status.reason] : []),
    ...(haproxy.error === null ? [] : [`HAProxy: ${haproxy.error}`]),
    ...Object.entries(status.notices).map(([name, text]) => `${name}: ${text}`),
  ]
  fill('notices', ...notices.map((text) => element('li', '', text)))
  byId('notices').hidden = notices.length === 0
  fill(
    'counts',
    ...[
      ['services', counts.services.toLocaleString('en')],
      ['routes', counts.routes.toLocaleString('en')],
      ['instances up', `${counts.instances.up.toLocaleString('en')} of ${counts.instances.all.toLocaleString('en')}`],
      ['problems', counts.problems.toLocaleString('en')],
      ['reloads', haproxy.reloads.success.toLocaleString('en')],
      ['old workers', String(haproxy.oldWorkers)],
      ['HAProxy', haproxy.isConnected ? (haproxy.version ?? 'connected') : 'not connected'],
    ].map(([name, value]) => element('div', '', element('dt', '', name), element('dd', '', value))),
  )
  fill('version', `heddle ${status.version}`)
  showSources()
}

const sourceClasses = { fresh: 'good', waiting: 'warn', stale: 'warn', doubtful: 'bad' }

/** Ages grow on their own between answers. */
function showSources() {
  if (view.status === null) return
  const sources = Object.entries(view.status.sources).map(([name, source]) => {
    const { state, ageSeconds, error, partitions } = source
    const when = ageSeconds === null ? 'has not answered yet' : `answered ${age(ageSeconds + sinceReceived())} ago`
    const stale = partitions.stale === 0 ? '' : `, ${partitions.stale} of ${partitions.total} parts stale`
    return element(
      'li',
      '',
      element('strong', '', name),
      ' ',
      element('span', sourceClasses[state] ?? '', state),
      ` ${when}${stale}`,
      ...(error === null ? [] : [element('div', 'quiet', error)]),
    )
  })
  fill('sources', ...sources)
}

function showProblems(problems, total) {
  byId('problems-section').hidden = total === 0
  const rest = total - problems.length
  byId('problems-note').textContent = rest > 0 ? `The first ${problems.length} of ${plural(total, 'problem')}.` : ''
  fill(
    'problems',
    ...problems.map(({ code, service, instance, subject, reason, hint }) =>
      element(
        'li',
        'problem',
        element('strong', '', service),
        instance === null ? '' : ` ${instance}`,
        ' ',
        element('code', 'warn', code),
        ' ',
        element('code', '', subject),
        element('div', '', reason),
        element('div', 'quiet', hint),
      ),
    ),
  )
}

function cell(label, ...children) {
  const made = element('td', '', element('div', '', ...children))
  made.dataset.label = label
  return made
}

const marks = { prefix: '', exact: '$', raw: '*' }
const stateClasses = { ready: 'good', drain: 'warn', maint: 'bad' }

function instanceList(route) {
  if (route.redirect !== null) return element('span', '', `redirect ${route.redirect}`)
  const shown = route.instances
    .slice(0, mostInstances)
    .map((instance) =>
      element(
        'li',
        '',
        element('span', 'address', `${instance.address}:${instance.port}`),
        ' ',
        element('span', stateClasses[instance.state] ?? '', instance.state),
        element('span', 'quiet', ` ${instance.source}, ${instance.node}`),
      ),
    )
  const rest = route.instances.length - shown.length
  return element(
    'div',
    '',
    element('span', route.up === 0 ? 'bad' : 'quiet', `${route.up} of ${route.all} up`),
    element('ul', '', ...shown),
    ...(rest > 0 ? [element('span', 'quiet', `and ${rest} more`)] : []),
  )
}

function routeRow(route) {
  const options = Object.entries(route.options)
    .filter(([name]) => name !== 'redirect')
    .map(([name, value]) => (value === true ? name : `${name}=${value}`))
  const remarks = [
    ...(route.lingersUntil === null ? [] : [`goes ${new Date(route.lingersUntil).toLocaleString()}`]),
    ...(route.isCurrent ? [] : ['last good version']),
    ...(route.problems === 0 ? [] : [plural(route.problems, 'problem')]),
  ]
  return element(
    'tr',
    '',
    cell('Host', route.host === '*' ? element('span', 'quiet', 'any') : route.host),
    cell('Path', element('code', '', `${route.path}${marks[route.match] ?? ''}`)),
    cell('Service', route.service, ...remarks.map((text) => element('div', 'warn', text))),
    cell('Options', ...options.map((text) => element('div', 'address', text))),
    cell('Instances', instanceList(route)),
  )
}

function showRoutes(routes, total) {
  fill('routes', ...routes.map(routeRow))
  const first = routes.length === 0 ? 0 : view.offset + 1
  byId('range').textContent =
    total === 0
      ? view.q === ''
        ? 'no routes'
        : 'nothing found'
      : `${first.toLocaleString('en')} to ${(view.offset + routes.length).toLocaleString('en')} of ${plural(total, 'route')}`
  byId('previous').disabled = view.offset === 0
  byId('next').disabled = view.offset + routes.length >= total
}

function changeText({ added, removed, changed }, word) {
  const parts = [
    ...(added === 0 ? [] : [`+${added}`]),
    ...(removed === 0 ? [] : [`−${removed}`]),
    ...(changed === 0 ? [] : [`~${changed}`]),
  ]
  return parts.length === 0 ? [] : [`${word} ${parts.join(' ')}`]
}

const actionClasses = { held: 'warn', rejected: 'bad' }

function showRevisions(revisions) {
  const rows = [...revisions].reverse().map(({ number, at, action, cause, reasons, changes }) => {
    const what = ['routes', 'servers', 'backends'].flatMap((word) => changeText(changes[word], word))
    return element(
      'li',
      '',
      element('strong', '', `${number} `),
      element('span', actionClasses[action] ?? '', action),
      ` ${new Date(at).toLocaleString()}, by ${cause}${what.length === 0 ? '' : `: ${what.join(', ')}`}`,
      ...(reasons.length === 0 ? [] : [element('div', 'quiet', reasons.join('; '))]),
    )
  })
  fill('revisions', ...(rows.length === 0 ? [element('li', 'quiet', 'none yet')] : rows))
}

// ---------------------------------------------------------------------------------------------- asking

async function ask(path) {
  const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(10_000) })
  // nothing has been decided yet: the status says what is waited for
  if (response.status === 503) return { body: [], total: 0 }
  if (!response.ok) throw new Error(`${path} answered ${response.status}`)
  return { body: await response.json(), total: Number(response.headers.get('x-total-count')) }
}

function showConnection(isLost) {
  const since = view.receivedAt === 0 ? '' : `; this is ${age(sinceReceived())} old`
  byId('connection').textContent = isLost ? `heddle does not answer${since}` : ''
}

function takeStatus(status) {
  view.status = status
  view.receivedAt = Date.now()
  showStatus()
}

async function refreshOnce() {
  const { q, offset } = view
  const wanted = new URLSearchParams({ limit: String(pageSize), offset: String(offset), ...(q === '' ? {} : { q }) })
  const [status, problems, routes, revisions] = await Promise.all([
    ask('/api/v1/status'),
    ask(`/api/v1/problems?limit=${mostProblems}`),
    ask(`/api/v1/routes?${wanted}`),
    ask(`/api/v1/revisions?limit=${mostRevisions}`),
  ])
  takeStatus(status.body)
  showProblems(problems.body, problems.total)
  showRevisions(revisions.body)
  // a newer search has its own answer coming
  if (view.q === q && view.offset === offset) {
    if (routes.body.length === 0 && offset > 0) turnTo(0)
    else showRoutes(routes.body, routes.total)
  }
}

let isRefreshing = false
let isWantedAgain = false

/** One at a time; whatever is asked for meanwhile becomes one more. */
async function refresh() {
  if (isRefreshing) {
    isWantedAgain = true
    return
  }
  isRefreshing = true
  try {
    await refreshOnce()
    showConnection(false)
  } catch {
    showConnection(true)
  }
  isRefreshing = false
  if (isWantedAgain) {
    isWantedAgain = false
    refreshSoon()
  }
}

let refreshTimer = 0

/** A hidden page asks nothing; it catches up when it is looked at. */
function refreshSoon() {
  if (refreshTimer !== 0 || document.hidden) return
  refreshTimer = setTimeout(() => {
    refreshTimer = 0
    void refresh()
  }, settle)
}

let pollTimer = 0

function follow() {
  const events = new EventSource('/api/v1/events')
  events.addEventListener('open', () => {
    clearInterval(pollTimer)
    pollTimer = 0
  })
  events.addEventListener('status', (event) => {
    takeStatus(JSON.parse(event.data))
    refreshSoon()
  })
  events.addEventListener('state', refreshSoon)
  events.addEventListener('error', () => {
    if (pollTimer === 0) pollTimer = setInterval(refreshSoon, pollEvery)
    refreshSoon()
    // refused: the browser does not try again by itself
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, reconnectAfter)
  })
}

// ---------------------------------------------------------------------------------------------- moving

function turnTo(offset) {
  view.offset = Math.max(0, offset)
  void refresh()
}

function search(text) {
  const q = text.trim()
  if (q === view.q) return
  view.q = q
  view.offset = 0
  history.replaceState(null, '', q === '' ? location.pathname : `#${encodeURIComponent(q)}`)
  refreshSoon()
}

function searchedText() {
  try {
    return decodeURIComponent(location.hash.slice(1))
  } catch {
    return ''
  }
}

function start() {
  const input = byId('q')
  input.value = searchedText()
  view.q = input.value.trim()
  input.addEventListener('input', () => search(input.value))
  byId('previous').addEventListener('click', () => turnTo(view.offset - pageSize))
  byId('next').addEventListener('click', () => turnTo(view.offset + pageSize))
  document.addEventListener('keydown', (event) => {
    const isTyping = event.target instanceof HTMLInputElement
    if (event.key === '/' && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault()
      input.focus()
      input.select()
    }
    if (event.key === 'Escape' && event.target === input) {
      input.value = ''
      search('')
    }
  })
  document.addEventListener('visibilitychange', refreshSoon)
  setInterval(showSources, 1000)
  void refresh()
  follow()
}

start()
