// The catalog that both systems serve. Pure: what is where follows from numbers.

/** Range of the containers' addresses: all of it is routed to loopback, and nothing else of a run is in there. */
export const containerRange = '127.16.0.0/12'

const perByte = 250

/** Each container has an address of its own, those of a catalog the first ones, those that come later the next. */
export function addressOf(number) {
  const low = number % perByte
  const middle = Math.floor(number / perByte) % perByte
  const high = Math.floor(number / perByte ** 2)
  return `127.${16 + high}.${middle}.${1 + low}`
}

/** Half of the services have a host of their own, the others a path of a host that they share. */
export function routeOf(s) {
  return s % 2 === 0
    ? { host: `web-${s}.example.com`, path: '/', tag: `heddle.route=web-${s}.example.com` }
    : { host: 'shop.example.com', path: `/web-${s}`, tag: `heddle.route=shop.example.com/web-${s}` }
}

/** What a client asks for, below the path of the route. */
export function targetOf(s) {
  const { host, path } = routeOf(s)
  return { host, path: `${path === '/' ? '' : path}/orders?page=2` }
}

export function nodeOf(number, hosts) {
  return `host-${1 + (number % hosts)}`
}

/** An instance as it is registered; `where` is its address and port. */
export function instanceOf({ service, tag, id, node, where }) {
  const [address, port] = where.split(':')
  // `http` is what consul-template's template goes by: it can't ask for a tag by its beginning
  return { service, id, node, address, port: Number(port), tags: ['http', tag] }
}

/** All instances of a catalog, over its hosts, behind one port; instance `i` of service `s` is number s × instances + i. */
export function instancesOf({ services, instances, hosts }, port) {
  return Array.from({ length: services * instances }, (_, number) => {
    const s = Math.floor(number / instances)
    return instanceOf({
      service: `web-${s}`,
      tag: routeOf(s).tag,
      id: `web-${s}-${number % instances}`,
      node: nodeOf(number, hosts),
      where: `${addressOf(number)}:${port}`,
    })
  })
}
