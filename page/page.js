// What is shown comes from the catalog and from HAProxy: it only ever becomes text, never markup.
//
// One state (`page`), one direction: answers and the URL's hash change it, `show` draws all of it anew, and `patch` makes
// the document the same, keeping every element that is still there: focus, selection, scrolling and open details stay.

const pageSize = 50
const mostShort = 3
const mostDetails = 200
const mostStrands = 24
const longestSearch = 300
const pollEvery = 5000
const reconnectAfter = 30_000
const settle = 250

/** By name in the hash. */
const views = {
  routes: {
    title: 'Routes',
    one: 'route',
    path: '/api/v1/routes',
    looksIn: 'host, path, service, instance or address',
  },
  services: {
    title: 'Services',
    one: 'service',
    path: '/api/v1/services',
    looksIn: 'name, route, instance or address',
  },
  problems: { title: 'Problems', one: 'problem', path: '/api/v1/problems', looksIn: 'service, code or text' },
  changes: { title: 'Changes', one: 'change', path: '/api/v1/revisions', looksIn: null },
}

const page = {
  /** What the hash says; the number is that of the page of the list. */
  view: 'routes',
  q: '',
  service: '',
  number: 1,
  /** Keys of items whose details are shown. */
  open: new Set(),
  /** The command that was just copied. */
  copied: '',
  status: null,
  receivedAt: 0,
  /** How far our clock is ahead of heddle's. */
  ahead: 0,
  /** The newest list and the view it is of; `refusal` in place of items. */
  loaded: null,
  isLive: false,
  isLost: false,
}

// ---------------------------------------------------------------------------------------------- elements

function byId(id) {
  return document.getElementById(id)
}

/** Control, direction and other invisible characters as escapes: a name must not turn the line around that it stands in. */
function visible(text) {
  return text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, (character) =>
    character
      .split('')
      .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
      .join(''),
  )
}

/** `tag.class`, then attributes as objects, children as nodes or texts, or lists of these; null is nothing. */
function element(what, ...parts) {
  const [tag, ...classes] = what.split('.')
  const made = document.createElement(tag)
  if (classes.length > 0) made.className = classes.join(' ')
  for (const part of parts.flat(Number.POSITIVE_INFINITY)) {
    if (part === null) continue
    if (part instanceof Node) made.append(part)
    else if (typeof part === 'object') setAttributes(made, part)
    else made.append(visible(String(part)))
  }
  return made
}

/** Links and `data-` attributes are never shown, so they have the text itself. */
function setAttributes(made, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null) made.setAttribute(name, name === 'href' || name.startsWith('data-') ? value : visible(value))
  }
}

function icon(name, className = '') {
  const [made, use] = ['svg', 'use'].map((tag) => document.createElementNS('http://www.w3.org/2000/svg', tag))
  made.setAttribute('class', `icon ${className}`.trim())
  made.setAttribute('aria-hidden', 'true')
  use.setAttribute('href', `#i-${name}`)
  made.append(use)
  return made
}

/** Makes `old` the same as `fresh`, which is used up. */
function patch(old, fresh) {
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data
    return
  }
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name)
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
  patchChildren(old, [...fresh.childNodes])
}

/** Elements with a `data-key` are known by it, others by their place. As long as the order stands, none is moved. */
function patchChildren(parent, fresh) {
  const keys = new Set(fresh.map(keyOf))
  const kept = new Map()
  for (const child of [...parent.childNodes]) {
    const key = keyOf(child)
    if (key !== null && keys.has(key)) kept.set(key, child)
    else if (key !== null) child.remove()
  }
  let next = parent.firstChild
  for (const node of fresh) {
    const key = keyOf(node)
    const old = key === null ? next : (kept.get(key) ?? null)
    if (old === null || keyOf(old) !== key || old.nodeName !== node.nodeName) {
      parent.insertBefore(node, next)
      continue
    }
    kept.delete(key)
    if (old === next) next = next.nextSibling
    else parent.insertBefore(old, next)
    patch(old, node)
  }
  while (next !== null) {
    const last = next
    next = next.nextSibling
    last.remove()
  }
}

function keyOf(node) {
  return node.dataset?.key ?? null
}

function fill(id, ...children) {
  patchChildren(byId(id), [...element('div', children).childNodes])
}

// ---------------------------------------------------------------------------------------------- words

function figure(count) {
  return count.toLocaleString('en')
}

function plural(count, word) {
  return `${figure(count)} ${word}${count === 1 ? '' : 's'}`
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}`
}

function span(seconds) {
  if (seconds < 90) return `${Math.max(0, Math.round(seconds))} s`
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`
  if (seconds < 172_800) return `${Math.round(seconds / 3600)} h`
  return `${Math.round(seconds / 86_400)} d`
}

function sinceReceived() {
  return (Date.now() - page.receivedAt) / 1000
}

function time(at) {
  return element('time', { datetime: at }, new Date(at).toLocaleString())
}

function ago(at) {
  const text = `${span((Date.now() - page.ahead - Date.parse(at)) / 1000)} ago`
  return element('time', { datetime: at, title: new Date(at).toLocaleString() }, text)
}

const marks = { prefix: '', exact: '$', raw: '*' }

function matchText({ host, path, match }) {
  return `${host === '*' ? '' : host}${path}${marks[match] ?? ''}`
}

function mentions(text) {
  return page.q !== '' && text.toLowerCase().includes(page.q.toLowerCase())
}

/** The text with what was searched for marked in it. */
function found(text) {
  if (!mentions(text)) return text
  const at = text.toLowerCase().indexOf(page.q.toLowerCase())
  const end = at + page.q.length
  return [text.slice(0, at), element('mark', text.slice(at, end)), text.slice(end)]
}

function hashOf({ view, q = '', service = '', number = 1 }) {
  const wanted = new URLSearchParams()
  if (service !== '') wanted.set('service', service)
  if (q !== '') wanted.set('q', q)
  if (number > 1) wanted.set('page', String(number))
  const query = wanted.toString()
  return query === '' ? `#${view}` : `#${view}?${query}`
}

function serviceLink(name) {
  return element('a.name', { href: hashOf({ view: 'services', service: name }) }, found(name))
}

/** A state is a shape and a word; colour only helps. */
const states = {
  ready: ['ready', 'good'],
  drain: ['drain', 'warn'],
  maint: ['maint', 'bad'],
  dead: ['dead', 'bad'],
  unresolved: ['unknown', 'warn'],
  fresh: ['ready', 'good'],
  stale: ['clock', 'warn'],
  waiting: ['clock', 'warn'],
  doubtful: ['unknown', 'bad'],
  reload: ['reload', 'quiet'],
  runtime: ['runtime', 'quiet'],
  held: ['maint', 'warn'],
  rejected: ['dead', 'bad'],
}

/** What is well says so to the eye by its shape alone. */
function stateMark(state, isShort = false) {
  const [shape, colour] = states[state] ?? ['unknown', 'quiet']
  return element(
    `span.state.${colour}`,
    icon(shape),
    element(isShort && state === 'ready' ? 'span.unseen' : 'span', state),
  )
}

// ---------------------------------------------------------------------------------------------- overview

function showOverview() {
  const { status, isLost } = page
  if (status === null) return
  const { ready, reason, revision, pending, notices, version } = status
  const word = ready ? 'Ready' : 'Not ready'
  const title = isLost ? 'No answer · heddle' : `${views[page.view].title} · heddle`
  document.title = ready || isLost ? title : `Not ready · ${title}`
  byId('serving').classList.toggle('idle', !ready || isLost)
  fill('ready', icon(ready ? 'ready' : 'warning', ready ? 'good' : 'bad'), isLost ? `${word} when last seen` : word)
  const lacks = (pending?.reload ?? []).map(({ code, subject }) => `${code} ${subject}`.trim())
  fill(
    'revision',
    element('p', sentence(reason)),
    revision === null ? null : runningRevision(revision),
    lacks.length === 0 ? null : element('p.quiet', `To be brought in: ${lacks.slice(0, 3).join(', ')}`),
  )
  fill('version', version)
  showHaproxy(status.haproxy)
  showSources(status.sources)
  fill(
    'notices',
    Object.entries(notices).map(([name, text]) => note('warn', 'warning', element('strong', name), ` ${text}`)),
  )
}

function runningRevision({ number, hash, provenAt }) {
  return element('p.quiet', `Revision ${figure(number)}, `, element('code', hash), ', proved ', ago(provenAt))
}

function note(colour, shape, ...children) {
  return element(`div.note.${colour}`, icon(shape), element('div', children))
}

function showHaproxy({ isConnected, version, pid, process, oldWorkers, reloads, error }) {
  const state = icon(isConnected ? 'ready' : 'dead', isConnected ? 'good' : 'bad')
  fill(
    'haproxy',
    element('h2', 'HAProxy'),
    element('p.headline', state, isConnected ? (version ?? 'connected') : 'not connected'),
    error === null ? null : element('p.bad', error),
    facts([
      ['Reloads', `${figure(reloads.success)}${reloads.failure === 0 ? '' : `, ${figure(reloads.failure)} failed`}`],
      ['Old workers', figure(oldWorkers)],
      ['Process', process === 'spawn' ? 'spawned' : 'attached'],
      ['Worker', pid === null ? 'none' : `pid ${pid}`],
    ]),
  )
}

function facts(rows) {
  return element(
    'dl',
    rows.map(([name, ...value]) => element('div', element('dt', name), element('dd', value))),
  )
}

/** Ages grow on their own between answers. */
function showSources(sources) {
  const rows = Object.entries(sources).map(([name, { state, ageSeconds, error, partitions, note: remark }]) => {
    const { stale, total } = partitions
    return element(
      'li',
      { 'data-key': name },
      element('strong', name),
      stateMark(state),
      element('span.quiet.age', ageSeconds === null ? 'never' : `answered ${span(ageSeconds + sinceReceived())} ago`),
      stale === 0 ? null : element('p.remark.warn', `${figure(stale)} of ${figure(total)} parts stale`),
      error === null ? null : element('p.remark.quiet', error),
      remark === null ? null : element('p.remark.quiet', remark),
    )
  })
  fill('sources', element('h2', 'Sources'), element('ul', rows))
}

function showViews() {
  const { decided = false, revision } = page.status ?? {}
  const counts = decided ? page.status.counts : undefined
  const { up = 0, all = 0 } = counts?.instances ?? {}
  const tiles = {
    routes: [counts?.routes, `to ${plural(counts?.backends ?? 0, 'backend')}`],
    services: [counts?.services, `${figure(up)} of ${plural(all, 'instance')} up`],
    problems: [counts?.problems, counts?.problems === 0 ? 'nothing to do' : 'and what to do'],
    changes: [revision?.number, 'running revision'],
  }
  fill(
    'views',
    Object.entries(tiles).map(([view, [count, remark]]) => {
      const isWrong = view === 'problems' && count > 0
      return element(
        'a',
        { href: hashOf({ view }), 'data-key': view, 'aria-current': view === page.view ? 'page' : null },
        element('span.tile', views[view].title),
        element(isWrong ? 'span.count.warn' : 'span.count', isWrong ? icon('warning') : null, figure(count ?? '–')),
        element('span.remark.quiet', count === undefined ? 'none yet' : remark),
      )
    }),
  )
}

// ---------------------------------------------------------------------------------------------- parts of items

function cell(what, label, ...children) {
  return element(what, { 'data-label': label }, children)
}

function row(what, columns) {
  return element(
    'tr',
    columns.map((name) => element(what, { scope: 'col' }, name)),
  )
}

function table(columns, bodies) {
  return element(`table.${page.view}`, { 'data-key': page.view }, element('thead', row('th', columns)), bodies)
}

/** One body for each item: its row, and its details when they are open. */
function itemBody(key, cells, details) {
  const isOpen = page.open.has(key)
  const shown = isOpen ? element('tr.details', element('td', { colspan: String(cells.length) }, details())) : null
  return element(isOpen ? 'tbody.open' : 'tbody', { 'data-key': key }, element('tr.item', cells), shown)
}

function opener(key, name) {
  const isOpen = String(page.open.has(key))
  const label = { 'aria-expanded': isOpen, 'aria-label': `Details of ${name}` }
  return element('button.opener', { type: 'button', 'data-toggle': key }, label, icon('open'))
}

/** A strand for each instance; where there are many, one stands for several, and no state vanishes. */
function strands(all) {
  const scale = Math.min(1, mostStrands / all.length)
  const threads = Object.keys(states).flatMap((state) => {
    const count = all.filter((one) => one === state).length
    return Array.from({ length: Math.ceil(count * scale) }, () => element(`i.${state}`))
  })
  return element('span.strands', { 'aria-hidden': 'true' }, threads)
}

function upText(up, all) {
  if (all === 0) return element('span.bad', 'none')
  const colour = up === all ? 'quiet' : up === 0 ? 'bad' : 'warn'
  return element(`span.${colour}`, `${figure(up)} of ${figure(all)} up`)
}

function addressText({ address, port }) {
  return address === null ? 'no address' : `${address}:${port}`
}

/** The few that matter most: those searched for, then those that are not well. */
function shortList(instances, key, isFoundItself) {
  const isFound = ({ id, node, ...place }) => [addressText(place), id, node].some(mentions)
  const rank = (instance) => (isFound(instance) ? 0 : 2) + (instance.state === 'ready' ? 1 : 0)
  const shown = [...instances].sort((a, b) => rank(a) - rank(b)).slice(0, mostShort)
  const rest = instances.length - shown.length
  const more = () => element('button.more', { type: 'button', 'data-toggle': key }, `${figure(rest)} more`)
  return element(
    'ul.instances',
    shown.map((instance) => {
      const { id, node, state, source } = instance
      const isNamed = !isFoundItself && isFound(instance)
      return element(
        'li',
        { title: `${id} on ${node}` },
        [stateMark(state, true), ' ', element('span.address', found(addressText(instance)))],
        source === null ? null : element('span.quiet', ` ${source}`),
        isNamed ? element('span.quiet', ' ', found(id), ' on ', found(node)) : null,
      )
    }),
    rest > 0 ? element('li', more()) : null,
  )
}

/** What HAProxy has may lag behind, or be somebody else's doing: only a difference is spelled out. */
function liveText({ state, weight, live }) {
  if (live === null) return element('span.quiet', '–')
  const isOther = live.state !== state && !(state === 'drain' && live.weight === 0)
  const isHeavier = weight !== null && live.weight !== weight
  if (!isOther && !isHeavier) return element('span.quiet', 'the same')
  const parts = [isOther ? stateMark(live.state) : null, isHeavier ? `weight ${figure(live.weight)}` : null]
  return element('span.warn', parts[0], isOther && isHeavier ? ' ' : null, parts[1])
}

function sessionText(live) {
  const { sessions = null, queue, total } = live ?? {}
  if (sessions === null) return element('span.quiet', '–')
  const waiting = queue > 0 ? element('span.warn', `, ${figure(queue)} waiting`) : null
  return element('span', { title: `${figure(total)} since this worker started` }, figure(sessions), waiting)
}

function remarksOf({ backup = false, health = 'passing', isCorrected = false, why }) {
  const remarks = [
    why ?? null,
    health !== 'passing' && health !== why ? health : null,
    isCorrected ? 'corrected by Docker' : null,
    backup ? 'backup' : null,
  ]
  return remarks.filter((remark) => remark !== null).join(', ')
}

/** By their titles. Those of the live state are left out where it was not asked for. */
const instanceColumns = {
  State: ({ state }) => stateMark(state),
  Address: (instance) => element('span.address', found(addressText(instance))),
  'Proved by': ({ source }) => source ?? '–',
  Instance: ({ id }) => element('span.name', found(id)),
  Node: ({ node }) => element('span.name', found(node)),
  Weight: ({ weight }) => weight ?? '–',
  'In HAProxy': liveText,
  Sessions: ({ live }) => sessionText(live),
  Remarks: remarksOf,
}

function instanceTable(instances) {
  const rest = instances.length - mostDetails
  const isLive = instances.some(({ live }) => live !== undefined)
  const columns = Object.entries(instanceColumns).filter(([name]) => isLive || !/^(In HAProxy|Sessions)$/.test(name))
  const rows = instances.slice(0, mostDetails).map((instance) => {
    const cells = columns.map(([name, content]) => cell('td', name, content(instance)))
    return element('tr', { 'data-key': `${instance.node}/${instance.id}` }, cells)
  })
  const titles = columns.map(([name]) => name)
  return [
    element('table.inner', element('thead', row('th', titles)), element('tbody', rows)),
    rest > 0 ? element('p.quiet', `And ${figure(rest)} more.`) : null,
  ]
}

function problemsLink(service, count) {
  if (count === 0) return null
  return element(
    'a.remark.warn',
    { href: hashOf({ view: 'problems', service }) },
    icon('warning'),
    plural(count, 'problem'),
  )
}

// ---------------------------------------------------------------------------------------------- routes

function routesTable(routes) {
  return table(
    ['Host', 'Path', 'Service', 'Options', 'Instances', 'Addresses, and what proved them'],
    routes.map((route) => {
      const name = matchText(route)
      const key = `route ${name}`
      return itemBody(key, routeCells(route, key, name), () => routeDetails(route))
    }),
  )
}

function routeCells(route, key, name) {
  const { host, path, match, service, redirect, lingersUntil, isCurrent, problems, instances, up, all } = route
  const options = Object.entries(route.options).filter(([option]) => option !== 'redirect')
  const withoutServer = Array.from({ length: Math.max(0, all - instances.length) }, () => 'unresolved')
  const isFoundItself = mentions(name) || mentions(service)
  const leadsTo =
    redirect === null
      ? [
          cell(
            'td.up',
            'Instances',
            strands([...instances.map(({ state }) => state), ...withoutServer]),
            upText(up, all),
          ),
          cell(instances.length === 0 ? 'td.none' : 'td', 'Addresses', shortList(instances, key, isFoundItself)),
        ]
      : [
          cell('td.up.quiet', 'Instances', 'redirect'),
          cell('td', 'To', element('span.redirect', icon('to'), element('code', redirect))),
        ]
  return [
    cell('td.host', 'Host', opener(key, name), host === '*' ? element('span.quiet', 'any host') : found(host)),
    cell('td.path', 'Path', element('code', found(path), marks[match] ?? '')),
    cell(
      'td',
      'Service',
      serviceLink(service),
      lingersUntil === null ? null : element('span.remark.warn', 'no instance left'),
      isCurrent ? null : element('span.remark.warn', 'last good version'),
      problemsLink(service, problems),
    ),
    cell(
      options.length === 0 ? 'td.none' : 'td',
      'Options',
      options.map(([option, value]) => element('code.option', value === true ? option : `${option}=${value}`)),
    ),
    ...leadsTo,
  ]
}

function routeDetails(route) {
  const { text, owner, service, instances, all, redirect, lingersUntil } = route
  const rest = redirect === null ? all - instances.length : 0
  return [
    facts([
      ['As written', element('code', text)],
      ['Backend', backendText(route)],
      ...(owner === service ? [] : [['Owner', serviceLink(owner)]]),
      ...(lingersUntil === null ? [] : [['Answers 503', 'until ', time(lingersUntil)]]),
    ]),
    instances.length === 0 ? null : instanceTable(instances),
    rest > 0 ? element('p.quiet', `${plural(rest, 'instance')} without a server: see `, serviceLink(service)) : null,
    explainCommand(route),
  ]
}

function backendText({ backend, section }) {
  if (backend === null) return 'none: HAProxy answers itself'
  const spare = section === null ? null : [', called ', element('code', section), ' by HAProxy until the next reload']
  return [element('code', backend), spare]
}

/** Only of plain names: what is copied goes into somebody's shell. */
function explainCommand({ host, path }) {
  const url = `${host.replace('*', 'www')}${path}`
  if (host === '*' || !/^[a-z0-9._-]+\/[A-Za-z0-9._~/-]*$/.test(url)) return null
  const command = `heddle explain http://${url}`
  const word = page.copied === command ? 'Copied' : 'Copy'
  return element(
    'p.command',
    element('code', command),
    element('button', { type: 'button', 'data-copy': command, 'aria-live': 'polite' }, word),
  )
}

// ---------------------------------------------------------------------------------------------- services

function servicesTable(services) {
  return table(
    ['Service', 'Routes', 'Instances', 'Addresses, and what proved them', 'Problems'],
    services.map((service) => {
      const key = `service ${service.name}`
      return itemBody(key, serviceCells(service, key), () => serviceDetails(service))
    }),
  )
}

function routeLinks(routes) {
  return routes.map((route) => {
    const name = matchText(route)
    const href = hashOf({ view: 'routes', q: name.slice(0, longestSearch) })
    return element('li', element('a.name', { href }, found(name)))
  })
}

function serviceCells({ name, routes, instances, problems }, key) {
  const rest = routes.length - mostShort
  const up = instances.filter(({ state, why }) => state === 'ready' && why === null).length
  const isFoundItself = mentions(name) || routes.some((route) => mentions(matchText(route)))
  return [
    cell('td.host', 'Service', opener(key, name), serviceLink(name)),
    cell(
      routes.length === 0 ? 'td.none' : 'td',
      'Routes',
      element(
        'ul',
        routeLinks(routes.slice(0, mostShort)),
        rest > 0 ? element('li.quiet', `and ${figure(rest)} more`) : null,
      ),
    ),
    cell(
      'td.up',
      'Instances',
      strands(instances.map(({ state }) => state)),
      upText(up, instances.length),
      sessionsRemark(instances),
    ),
    cell(instances.length === 0 ? 'td.none' : 'td', 'Addresses', shortList(instances, key, isFoundItself)),
    cell(problems.length === 0 ? 'td.none' : 'td', 'Problems', problemsLink(name, problems.length)),
  ]
}

/** Of all its instances; nothing where HAProxy has not told. */
function sessionsRemark(instances) {
  const told = instances.map(({ live }) => live?.sessions ?? null).filter((sessions) => sessions !== null)
  if (told.length === 0) return null
  const sum = told.reduce((all, sessions) => all + sessions, 0)
  return element('span.remark.quiet', sum === 0 ? 'idle' : plural(sum, 'session').replace(' ', '\u00a0'))
}

function serviceDetails({ routes, backends, instances, problems }) {
  const spare = backends.filter(({ section }) => section !== null)
  return [
    spare.length === 0 ? null : facts(spare.map((backend) => ['Backend', backendText(backend)])),
    problems.length === 0 ? null : problemList(problems.slice(0, mostDetails)),
    routes.length <= mostShort ? null : element('ul.matches', routeLinks(routes)),
    instances.length === 0 ? element('p.quiet', 'No instance is registered.') : instanceTable(instances),
  ]
}

// ---------------------------------------------------------------------------------------------- problems, changes

function problemList(problems) {
  const times = new Map()
  return element(
    'ol.problems',
    { 'data-key': 'problems' },
    problems.map(({ code, service, instance, subject, reason, hint }) => {
      const key = [code, service, instance, subject].join('\n')
      times.set(key, (times.get(key) ?? 0) + 1)
      return element(
        'li',
        { 'data-key': `${key}\n${times.get(key)}` },
        element(
          'p',
          element('strong.warn', icon('warning'), ' ', found(code)),
          ' ',
          serviceLink(service),
          instance === null ? null : element('span.quiet.name', ' ', found(instance)),
        ),
        element('p', element('code.subject', found(subject)), ' ', found(reason)),
        element('p.hint', icon('to'), element('span', hint)),
      )
    }),
  )
}

function changeTexts({ routes, servers, backends }) {
  return Object.entries({ routes, servers, backends }).flatMap(([word, { added, removed, changed }]) => {
    const signs = [
      ['+', added],
      ['−', removed],
      ['~', changed],
    ].filter(([, count]) => count > 0)
    return signs.length === 0 ? [] : [`${word} ${signs.map(([sign, count]) => `${sign}${figure(count)}`).join(' ')}`]
  })
}

const reasonWords = {
  'not-ours': 'HAProxy ran something else',
  global: 'settings or templates',
  'new-backend': 'new backend',
  section: 'options of backend',
  server: 'options of server',
  refused: 'HAProxy refused',
  'in-spare': 'own section for',
  'gone-backend': 'backend gone:',
  spares: 'spare sections',
}

/** The code of a reason for a reload in words; any other reason as it is. */
function reasonText(reason) {
  const [code, ...rest] = reason.split(' ')
  return [reasonWords[code] ?? code, ...rest].join(' ')
}

/** A few of the changes by name; which others there are tell the figures. */
function sampleList(samples, changes) {
  const all = Object.values(changes).flatMap(Object.values)
  const rest = all.reduce((sum, count) => sum + count, 0) - samples.length
  if (samples.length === 0) return null
  const codes = samples.flatMap((text) => [element('code', text), ' '])
  return element('p.samples', codes, rest > 0 ? element('span.quiet', `and ${figure(rest)} more`) : null)
}

function changeList(revisions) {
  return element(
    'ol.changes',
    { 'data-key': 'changes' },
    [...revisions]
      .reverse()
      .map(({ number, hash, at, action, cause, reasons, changes, samples }) =>
        element(
          'li',
          { 'data-key': `${number} ${at} ${action}` },
          element('strong', figure(number)),
          stateMark(action),
          element('span', changeTexts(changes).join(', ') || 'same routes and servers'),
          element('span.quiet', `by ${cause}`),
          element('code.quiet', hash),
          time(at),
          sampleList(samples, changes),
          reasons.length === 0
            ? null
            : element(action === 'rejected' ? 'p.bad' : 'p.quiet', reasons.map(reasonText).join('; ')),
        ),
      ),
  )
}

// ---------------------------------------------------------------------------------------------- the list

const lists = { routes: routesTable, services: servicesTable, problems: problemList, changes: changeList }

const nothingYet = {
  routes: ['No routes yet', 'A service asks for one with a tag, such as heddle.route=shop.example.com/api'],
  services: ['No services yet', 'A service is listed when it has a tag or meta key of heddle.'],
  problems: ['No problems', 'All that services ask for is understood, and every address is proved.'],
  changes: ['No changes yet', 'Each revision that is brought into HAProxy, held or rejected gets a line here.'],
}

function empty(shape, title, text) {
  return element('div.empty', icon(shape), element('p', element('strong', title)), element('p.quiet', text))
}

function listOf({ view, q, service, loaded }) {
  if (loaded === null || loaded.view !== view) return element('p.empty.quiet', 'Loading …')
  if (loaded.refusal !== null) return empty('clock', sentence(loaded.refusal.error), sentence(loaded.refusal.hint))
  if (loaded.items.length > 0) return [liveNote(loaded.live), lists[view](loaded.items)]
  const { one, looksIn } = views[view]
  if (q !== '') return empty('search', 'Nothing found', `No ${one} has “${q}” in its ${looksIn}.`)
  if (service !== '') return empty(view === 'problems' ? 'ready' : 'search', 'Nothing here', `No ${one} of ${service}.`)
  return empty(view === 'problems' ? 'ready' : 'search', ...nothingYet[view])
}

/** Why there are no sessions, if HAProxy was asked for them. */
function liveNote(live) {
  const [, why] = /^failed: (.*)/.exec(live ?? '') ?? []
  return why === undefined ? null : note('warn', 'warning', element('strong', 'No sessions: '), why)
}

function rangeText({ items, total, offset }, view) {
  if (items.length === total) return plural(total, views[view].one)
  if (view === 'changes') return `the newest ${figure(items.length)} of ${figure(total)}`
  return `${figure(offset + 1)}–${figure(offset + items.length)} of ${plural(total, views[view].one)}`
}

function showBar() {
  const { view, service, loaded, number } = page
  const { title, looksIn } = views[view]
  const isHere = loaded !== null && loaded.view === view && loaded.refusal === null
  const isLast = !isHere || loaded.offset + loaded.items.length >= loaded.total
  fill('title', title)
  byId('search').hidden = looksIn === null
  byId('q').placeholder = sentence(looksIn ?? '')
  fill(
    'filter',
    service === ''
      ? null
      : ['Only of ', serviceLink(service), ' ', element('a', { href: hashOf({ view }) }, 'Show all')],
  )
  fill('range', isHere ? rangeText(loaded, view) : null)
  byId('pages').hidden = view === 'changes' || (number === 1 && isLast)
  // not `disabled`, which would take the focus away
  byId('previous').setAttribute('aria-disabled', String(number === 1))
  byId('next').setAttribute('aria-disabled', String(isLast))
}

function showConnection() {
  const { isLost, isLive, receivedAt } = page
  const state = isLost ? ['dead', 'bad'] : isLive ? ['ready', 'good'] : ['clock', 'warn']
  fill('connection', icon(...state), isLost ? 'no answer' : isLive ? 'live' : `asking every ${pollEvery / 1000} s`)
  document.body.classList.toggle('old', isLost)
  const old = receivedAt === 0 ? 'Nothing is known yet.' : `What is shown is ${span(sinceReceived())} old.`
  fill('lost', isLost ? note('bad', 'dead', element('strong', 'heddle does not answer. '), old) : null)
}

function show() {
  showConnection()
  showOverview()
  showViews()
  showBar()
  fill('items', listOf(page))
}

// ---------------------------------------------------------------------------------------------- asking

/** What is refused because of what was asked, or because nothing has been decided, is an answer too. */
async function ask(path) {
  const response = await fetch(path, { cache: 'no-store', signal: AbortSignal.timeout(10_000) })
  const isRefused = response.status === 400 || response.status === 503
  if (!response.ok && !isRefused) throw new Error(`${path} answered ${response.status}`)
  const date = Date.parse(response.headers.get('date') ?? '')
  if (!Number.isNaN(date)) page.ahead = Date.now() - date
  const body = await response.json()
  if (isRefused) return refused(body)
  const { headers } = response
  return { items: body, total: Number(headers.get('x-total-count')), live: headers.get('x-live'), refusal: null }
}

function refused(refusal) {
  return { items: [], total: 0, refusal }
}

function listPath({ view, q, service, number }) {
  const wanted = new URLSearchParams({ limit: String(pageSize) })
  if (number > 1) wanted.set('offset', String((number - 1) * pageSize))
  if (q !== '') wanted.set('q', q)
  if (service !== '') wanted.set('service', service)
  return `${views[view].path}?${wanted}`
}

/** Before the first decision there are no lists to ask for, only a history. */
function askList(path, { decided, reason }) {
  if (decided || path.startsWith(views.changes.path)) return ask(path)
  return refused({ error: 'nothing has been decided yet', hint: reason })
}

function takeStatus(status) {
  page.status = status
  page.receivedAt = Date.now()
}

async function refreshOnce() {
  const { view, number } = page
  const path = listPath(page)
  const { items: status } = await ask('/api/v1/status')
  const list = await askList(path, status)
  takeStatus(status)
  page.isLost = false
  // a newer search has its own answer coming
  if (path === listPath(page)) {
    page.loaded = { view, offset: (number - 1) * pageSize, ...list }
    if (list.items.length === 0 && list.total > 0) replaceHash({ ...page, number: Math.ceil(list.total / pageSize) })
  }
  show()
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
  } catch {
    page.isLost = true
    show()
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
    page.isLive = true
  })
  events.addEventListener('status', (event) => {
    takeStatus(JSON.parse(event.data))
    refreshSoon()
  })
  events.addEventListener('state', refreshSoon)
  events.addEventListener('error', () => {
    page.isLive = false
    if (pollTimer === 0) pollTimer = setInterval(refreshSoon, pollEvery)
    refreshSoon()
    // refused: the browser does not try again by itself
    if (events.readyState === EventSource.CLOSED) setTimeout(follow, reconnectAfter)
  })
}

// ---------------------------------------------------------------------------------------------- moving

function readHash() {
  const [view, query = ''] = location.hash.slice(1).split(/\?(.*)/s)
  const wanted = new URLSearchParams(query)
  page.view = Object.hasOwn(views, view) ? view : 'routes'
  page.q = (wanted.get('q') ?? '').trim().slice(0, longestSearch)
  page.service = wanted.get('service') ?? ''
  page.number = Math.min(100_000, Math.max(1, Number.parseInt(wanted.get('page'), 10) || 1))
  if (page.view === 'services' && page.service !== '') page.open.add(`service ${page.service}`)
  if (byId('q').value.trim() !== page.q) byId('q').value = page.q
}

/** After a link or the browser's own buttons. What had the focus may be gone: then the list's title gets it. */
function goToHash() {
  readHash()
  show()
  if (document.activeElement === document.body) byId('title').focus({ preventScroll: true })
  void refresh()
}

function replaceHash(wanted) {
  history.replaceState(null, '', hashOf(wanted))
  readHash()
  refreshSoon()
}

function search(text) {
  const q = text.trim()
  if (q !== page.q) replaceHash({ ...page, q, number: 1 })
}

function toggle(key) {
  if (!page.open.delete(key)) page.open.add(key)
  show()
}

async function copy(button) {
  const command = button.dataset.copy
  try {
    await navigator.clipboard.writeText(command)
  } catch {
    // only pages of HTTPS and of this machine may write to the clipboard
    getSelection()?.selectAllChildren(button.previousElementSibling)
    return
  }
  page.copied = command
  show()
  setTimeout(() => {
    page.copied = ''
    show()
  }, 2000)
}

function onClick({ target }) {
  const { toggle: key, copy: command } = target.closest('button')?.dataset ?? {}
  const item = target.closest('tr.item')
  const isPlain = target.closest('a, button') === null && getSelection()?.isCollapsed !== false
  if (key !== undefined) toggle(key)
  else if (command !== undefined) void copy(target.closest('button'))
  else if (item !== null && isPlain) toggle(item.parentElement.dataset.key)
}

function onKey(event) {
  const input = byId('q')
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
}

function step({ currentTarget }, by) {
  if (currentTarget.getAttribute('aria-disabled') === 'true') return
  location.hash = hashOf({ ...page, number: page.number + by })
  byId('title').scrollIntoView()
}

function start() {
  readHash()
  byId('q').addEventListener('input', ({ target }) => search(target.value))
  byId('previous').addEventListener('click', (event) => step(event, -1))
  byId('next').addEventListener('click', (event) => step(event, 1))
  byId('items').addEventListener('click', onClick)
  document.addEventListener('keydown', onKey)
  document.addEventListener('visibilitychange', refreshSoon)
  addEventListener('hashchange', goToHash)
  setInterval(() => {
    showConnection()
    showOverview()
  }, 1000)
  // no event tells of sessions
  setInterval(() => {
    if (page.view === 'services') refreshSoon()
  }, pollEvery)
  show()
  void refresh()
  follow()
}

start()
