import type { Option } from './option.ts'
import { parseDuration, parseWhole, parseWord, set, value, wrong } from './values.ts'

const defaultCookie = 'SRV'

/** Options of a service, which a route may also set for itself alone. */
export const serviceOptions: readonly Option[] = [
  {
    key: 'timeout',
    levels: ['service', 'route'],
    kind: 'rewrite',
    usage: 'timeout=30s',
    parse: (text) => set(parseDuration(text ?? '', 1), (timeout) => ({ timeout })),
  },
  {
    key: 'balance',
    levels: ['service', 'route'],
    kind: 'section',
    usage: 'balance=roundrobin|leastconn|first|source',
    parse: (text) =>
      set(parseWord(text ?? '', ['roundrobin', 'leastconn', 'first', 'source']), (balance) => ({ balance })),
  },
  {
    key: 'sticky',
    levels: ['service', 'route'],
    kind: 'section',
    usage: 'sticky or sticky=COOKIE',
    parse: (text) => {
      if (text === null) return value({ sticky: defaultCookie })
      const isName = /^[A-Za-z0-9_-]{1,64}$/.test(text)
      return isName ? value({ sticky: text }) : wrong('expected a cookie name of 1 to 64 letters, digits, - and _')
    },
  },
  {
    key: 'maxconn',
    levels: ['service', 'route'],
    kind: 'section',
    usage: 'maxconn=N',
    parse: (text) => set(parseWhole(text ?? '', 1, 1_000_000), (maxconn) => ({ maxconn })),
  },
  {
    key: 'proto',
    levels: ['service', 'route'],
    kind: 'section',
    usage: 'proto=http|h2c',
    parse: (text) => set(parseWord(text ?? '', ['http', 'h2c']), (proto) => ({ proto })),
  },
  {
    key: 'drain',
    levels: ['service', 'route'],
    kind: 'model',
    usage: 'drain=30s',
    parse: (text) => set(parseDuration(text ?? '', 0), (drain) => ({ drain })),
  },
  {
    key: 'linger',
    levels: ['service', 'route'],
    kind: 'model',
    usage: 'linger=10m',
    parse: (text) => set(parseDuration(text ?? '', 0), (linger) => ({ linger })),
  },
]
