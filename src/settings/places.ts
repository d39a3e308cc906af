import { parseListenAddress, parseRange } from './addresses.ts'
import { matching, ok, type Reader, reader, wrong } from './values.ts'

/** IPv4 or any range in CIDR notation. */
export function range(families: 'ipv4' | 'any'): Reader<string> {
  return {
    describe: families === 'ipv4' ? 'an IPv4 range such as 10.2.0.0/16' : 'a range such as 10.0.0.0/8 or fd00::/8',
    read: (text) => {
      const parsed = parseRange(text, families)
      return typeof parsed === 'string' ? ok(parsed) : wrong(parsed.fault)
    },
  }
}

/** `leastPort` 0 where the system may choose the port. */
export function listenAddress(leastPort: 0 | 1 = 1): Reader<string> {
  return reader('an address and a port such as :80, 127.0.0.1:8080 or [::]:80', (text) => {
    const parsed = parseListenAddress(text)
    return parsed !== null && parsed.port >= leastPort ? text : null
  })
}

export const monitorAddress: Reader<string> = reader(
  'an address, a port and a path such as :34180/haproxy_status',
  (text) => {
    const slash = text.indexOf('/')
    const address = slash === -1 ? null : parseListenAddress(text.slice(0, slash))
    const isPath = /^\/[A-Za-z0-9._~/-]{0,200}$/.test(text.slice(slash))
    return address !== null && address.port > 0 && isPath ? text : null
  },
)

/** A path that can stand as one word in haproxy.cfg: no blanks, quotes, `#`, `$` or `\`. */
function wordPath(what: string, most: number): Reader<string> {
  const describe = `the absolute path of ${what}, of letters, digits and ._~@:+=-`
  return {
    describe,
    isPath: true,
    read: (text) => {
      if (!/^\/[A-Za-z0-9._~@:+=/-]*$/.test(text)) return wrong(describe)
      if (text.length > most) return wrong(`a path of at most ${most} characters`)
      return ok(text.replace(/(?<=.)\/+$/, ''))
    },
  }
}

/** HAProxy appends to the name while it binds, so it takes less than the 107 bytes of a socket's address. */
export const longestSocketPath = 97

export const socketPath: Reader<string> = wordPath('a socket', longestSocketPath)

export const directory: Reader<string> = wordPath('a directory', 1024)

/** A path that only heddle itself opens. */
export function path(what: string): Reader<string> {
  return { ...matching(`the absolute path of ${what}`, /^\/[^\p{Cc}]{0,4000}$/u), isPath: true }
}

/** A program: a name that is looked up in PATH, or a path. */
export const program: Reader<string> = {
  ...matching(
    'the name or the absolute path of a program, without blanks',
    /^(?:[A-Za-z0-9._+-]{1,100}|\/[A-Za-z0-9._~@:+=/-]{1,1024})$/,
  ),
  isPath: true,
}

/** Where HAProxy logs to. A host name would be resolved by each `haproxy -c`, which hangs when DNS does. */
export const logTarget: Reader<string> = reader(
  '`stdout`, `stderr`, the path of a socket, or the address of a syslog server such as 10.0.0.5:514',
  (text) => {
    if (text === 'stdout' || text === 'stderr') return text
    if (text.startsWith('/')) return socketPath.read(text).ok ? text : null
    const parsed = parseListenAddress(text.includes(':') ? text : `${text}:514`)
    return parsed !== null && parsed.address !== null && parsed.port > 0 ? text : null
  },
)

const label = '[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?'
const domainPattern = new RegExp(`^${label}(?:\\.${label})*$`)

function parseDomain(text: string): string | null {
  const name = text.toLowerCase().replace(/\.$/, '')
  return name.length <= 253 && domainPattern.test(name) ? name : null
}

/** Lower case, without a dot at the end. */
export const domain: Reader<string> = reader('a domain such as example.com', parseDomain)

/** One host as a browser names it, without its port; lower case. */
export const hostName: Reader<string> = reader(
  'a host name or an address without port, such as heddle.example.com',
  (text) => {
    const isV6 = text.startsWith('[') && parseListenAddress(`${text}:1`) !== null
    return isV6 ? text.toLowerCase() : parseDomain(text)
  },
)

function parseUrl(text: string): URL | null {
  return /^[\x21-\x7e]{1,2000}$/.test(text) && URL.canParse(text) ? new URL(text) : null
}

function isBare(url: URL): boolean {
  return (url.pathname === '/' || url.pathname === '') && url.search === '' && url.hash === '' && url.hostname !== ''
}

/** `http://host:port` or `https://host:port` and nothing behind; `user:password@` is kept. */
export function httpUrl(example: string): Reader<string> {
  const describe = `a URL such as ${example}`
  return {
    describe,
    read: (text) => {
      if (text.startsWith('unix:')) {
        return wrong(`${describe}; unix sockets are not supported, let it listen on a loopback address instead`)
      }
      if (!/^https?:\/\//i.test(text)) return wrong(`${describe}, beginning with http:// or https://`)
      const url = parseUrl(text)
      if (url === null) return wrong(describe)
      return isBare(url) ? ok(url.href.replace(/\/$/, '')) : wrong(`${describe}, with nothing behind the port`)
    },
  }
}

/** `unix:///path`, `tcp://host:port`, `http://host:port` or `https://host:port`. */
export const engineUrl: Reader<string> = reader(
  'the URL of a Docker engine such as unix:///var/run/docker.sock or tcp://10.0.0.1:2376',
  (text) => {
    if (/^unix:\/\/\/[^\p{Cc}]{1,106}$/u.test(text)) return text
    const url = /^(?:tcp|https?):\/\//.test(text) ? parseUrl(text) : null
    return url !== null && isBare(url) ? text.replace(/\/$/, '') : null
  },
)
