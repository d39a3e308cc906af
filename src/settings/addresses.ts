import { isIPv4, isIPv6 } from 'node:net'
import ipaddr from 'ipaddr.js'

/** Where something listens. `address` null: on all addresses. */
export interface ListenAddress {
  readonly address: string | null
  readonly port: number
}

/** `:80`, `*:80`, `127.0.0.1:8080`, `[::]:80`. Null when it is none of these; port 0 is left to the caller. */
export function parseListenAddress(text: string): ListenAddress | null {
  const [, v4, v6, digits] = /^(?:([\d.]+|\*)|\[([0-9a-fA-F:.]+)\])?:(0|[1-9]\d{0,4})$/.exec(text) ?? []
  const port = Number(digits)
  if (digits === undefined || port > 65_535) return null
  if (v6 !== undefined) return isIPv6(v6) ? { address: v6.toLowerCase(), port } : null
  if (v4 === undefined || v4 === '*') return { address: null, port }
  return isIPv4(v4) ? { address: v4, port } : null
}

function isEveryAddress(address: string | null): boolean {
  return address === null || address === '0.0.0.0' || address === '::'
}

/** Whether two listeners would be in each other's way. */
export function areColliding(one: ListenAddress, other: ListenAddress): boolean {
  if (one.port !== other.port || one.port === 0) return false
  return one.address === other.address || isEveryAddress(one.address) || isEveryAddress(other.address)
}

export function isLoopback(address: string | null): boolean {
  if (address === null) return false
  return ipaddr.process(address).range() === 'loopback'
}

/** What is wrong with a range, in words that end a sentence of the form "expected ...". */
export type RangeFault = { readonly fault: string }

/**
 * A range in CIDR notation, or one address as a range of its own; IPv6 in its short form. Bits beyond the prefix
 * must be zero: a range written with the address of a host in it is often meant otherwise.
 */
export function parseRange(text: string, families: 'ipv4' | 'any'): string | RangeFault {
  const example = families === 'ipv4' ? '10.2.0.0/16' : '10.0.0.0/8 or fd00::/8'
  const [, address, digits] = /^([0-9a-fA-F:.]{2,45})(?:\/(0|[1-9]\d{0,2}))?$/.exec(text) ?? []
  const family = address === undefined ? 0 : isIPv4(address) ? 4 : isIPv6(address) ? 6 : 0
  if (address === undefined || family === 0 || (family === 6 && families === 'ipv4')) {
    return { fault: `a range in CIDR notation, such as ${example}` }
  }
  const longest = family === 4 ? 32 : 128
  const prefix = digits === undefined ? longest : Number(digits)
  if (prefix > longest) return { fault: `a prefix length of at most ${longest}` }
  const range = `${ipaddr.parse(address).toString()}/${prefix}`
  const network = (family === 4 ? ipaddr.IPv4 : ipaddr.IPv6).networkAddressFromCIDR(range).toString()
  if (`${network}/${prefix}` !== range) return { fault: `the first address of the range: ${network}/${prefix}` }
  return range
}

/** Whether all of `inner` lies in `outer`; both as `parseRange` gives them. */
export function containsRange(outer: string, inner: string): boolean {
  const [outerAddress, outerPrefix] = ipaddr.parseCIDR(outer)
  const [innerAddress, innerPrefix] = ipaddr.parseCIDR(inner)
  if (outerAddress.kind() !== innerAddress.kind() || innerPrefix < outerPrefix) return false
  return innerAddress.match(outerAddress, outerPrefix)
}
