import type { Redirect, RedirectPart, RedirectVariable } from '../../types.ts'
import { foldCase, isHostName, pathFault, trimSlash } from '../grammar.ts'
import type { Option, Options } from './option.ts'
import { parseWhole, parseWord, set, type Value, value, wrong } from './values.ts'

const mostVariables = 3
const longestUrl = 1024

/** Options of one route alone: what becomes of the request on its way to the service. */
export const rewriteOptions: readonly Option[] = [
  {
    key: 'strip',
    levels: ['route'],
    kind: 'rewrite',
    usage: 'strip or strip=/path',
    parse: (text, match) => {
      const matched = match?.path ?? '/'
      if (text === null) return cut(matched)
      const fault = pathFault(text)
      if (fault !== null) return wrong(fault)
      const prefix = trimSlash(text)
      const isWholeSegments = matched === prefix || matched.startsWith(`${prefix}/`)
      return isWholeSegments ? cut(prefix) : wrong('expected whole segments that the match begins with')
    },
  },
  {
    key: 'add',
    levels: ['route'],
    kind: 'rewrite',
    usage: 'add=/path',
    parse: (text) => {
      const fault = pathFault(text ?? '')
      if (text === null || fault !== null) return wrong(fault ?? 'expected a path')
      const prefix = trimSlash(text)
      return value(prefix === '' ? {} : { add: prefix })
    },
  },
  {
    key: 'host',
    levels: ['route'],
    kind: 'rewrite',
    usage: 'host=NAME',
    parse: (text) => {
      const name = foldCase(text ?? '')
      return isHostName(name) ? value({ host: name }) : wrong('expected a host name')
    },
  },
  {
    key: 'redirect',
    levels: ['route'],
    kind: 'rewrite',
    usage: 'redirect=CODE,URL',
    parse: (text) => set(parseRedirect(text ?? ''), (redirect) => ({ redirect })),
  },
  {
    key: 'rawpath',
    levels: ['route'],
    kind: 'rewrite',
    usage: 'rawpath',
    parse: (text) => (text === null ? value({ rawpath: true }) : wrong('it takes no value')),
  },
  {
    key: 'priority',
    levels: ['route'],
    kind: 'model',
    usage: 'priority=N',
    parse: (text) => set(parseWhole(text ?? '', 0, 1_000_000), (priority) => ({ priority })),
  },
]

function cut(path: string): Value<Options> {
  const prefix = trimSlash(path)
  return value(prefix === '' ? {} : { strip: prefix })
}

const codes = new Map<string, Redirect['code']>([
  ['301', 301],
  ['302', 302],
  ['303', 303],
  ['307', 307],
  ['308', 308],
])
const variables = ['host', 'path', 'query'] as const satisfies readonly RedirectVariable[]

function parseRedirect(text: string): Value<Redirect> {
  const comma = text.indexOf(',')
  const code = codes.get(text.slice(0, Math.max(comma, 0)))
  if (code === undefined) return wrong('expected CODE,URL with one of the codes 301, 302, 303, 307, 308')
  const url = text.slice(comma + 1)
  if (url.length > longestUrl) return wrong(`expected a URL of at most ${longestUrl} characters`)
  if (!/^(?:https?:\/\/[^/]|\/(?!\/))/.test(url))
    return wrong('expected a URL that begins with http://, https:// or one /')
  // what the client sends must not become the host that a redirect leads to: a path can be `//name`, a query empty
  if (!/^(?:https?:\/\/(?:[A-Za-z0-9_]|\$host)|\/(?:[^/$]|\$host|\$query$|$))/.test(url)) {
    return wrong('expected a host name or $host after ://, and plain text between the first / and $path')
  }
  const location = parseLocation(url)
  return location.kind === 'wrong' ? location : value({ code, location: location.value })
}

function parseLocation(url: string): Value<readonly RedirectPart[]> {
  const [first = '', ...rest] = url.split('$')
  const parts: RedirectPart[] = [{ literal: first }]
  for (const piece of rest) {
    const [, name = '', literal = ''] = /^(host|path|query|)(.*)$/s.exec(piece) ?? []
    const variable = parseWord(name, variables)
    if (variable.kind === 'wrong') return wrong('expected $host, $path or $query after a $')
    parts.push({ variable: variable.value }, { literal })
  }
  const isPlain = parts.every((part) => 'variable' in part || /^[A-Za-z0-9._~:/?#@!&()*+,=%-]*$/.test(part.literal))
  if (!isPlain) return wrong('expected letters, digits and ._~:/?#@!&()*+,=%- in the URL; write others as %xx')
  if (rest.length > mostVariables) return wrong(`expected at most ${mostVariables} variables`)
  return value(parts.filter((part) => 'variable' in part || part.literal !== ''))
}
