/** An IPv4 range; `first` and `last` are its network and broadcast addresses, as unsigned 32-bit numbers. */
export interface Ipv4Range {
  readonly first: number
  readonly last: number
  /** Length of the prefix, 0 to 32. */
  readonly length: number
}

/**
 * What an address from outside may be used for. `malformed`: no dotted quad. `special`: an address that is never a
 * container's (0.0.0.0/8, loopback, link-local, multicast, broadcast). `reserved`: of a host's bridge. `outside`: an
 * ordinary address, not of the weave range.
 */
export type AddressVerdict = 'usable' | 'malformed' | 'special' | 'reserved' | 'outside'

/**
 * A dotted quad as an unsigned 32-bit number, null for anything else: no leading zeros, no hexadecimal, no spaces,
 * no missing parts, since every reader of such forms understands them differently.
 */
export function parseIpv4(text: string): number | null {
  if (text.length < 7 || text.length > 15) return null
  let address = 0
  let part = 0
  let digits = 0
  let dots = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 46) {
      if (digits === 0) return null
      address = address * 256 + part
      part = 0
      digits = 0
      dots++
      continue
    }
    if (code < 48 || code > 57) return null
    if (digits > 0 && part === 0) return null
    part = part * 10 + code - 48
    digits++
    if (part > 255) return null
  }
  return dots === 3 && digits > 0 ? address * 256 + part : null
}

/** `10.2.0.0/16` or a single address. Bits beyond the prefix are ignored. Null when it is neither. */
export function parseRange(text: string): Ipv4Range | null {
  const [quad = '', prefix = '32', ...rest] = text.split('/')
  const address = parseIpv4(quad)
  if (address === null || rest.length > 0 || !/^(?:3[0-2]|[12]?[0-9])$/.test(prefix)) return null
  const length = Number(prefix)
  const size = 2 ** (32 - length)
  const first = address - (address % size)
  return { first, last: first + size - 1, length }
}

export function isInRange(address: number, range: Ipv4Range): boolean {
  return address >= range.first && address <= range.last
}

const specialRanges = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/4', '255.255.255.255'].flatMap(
  (text) => parseRange(text) ?? [],
)

export interface AddressRules {
  /** Whether a container may have this address. */
  readonly judge: (text: string) => AddressVerdict
  /** Whether a host may: any ordinary address, in the weave range or not. */
  readonly isHost: (text: string) => boolean
}

/**
 * Rules of one weave range. A special range is refused unless the weave range lies in it (a trial on loopback
 * addresses), so a range of everything does not open it. Host parts of all zeros or all ones are refused for the
 * weave range as a whole only: `.0` and `.255` of a part of it are handed out to containers.
 */
export function addressRules(weave: { readonly cidr: string; readonly reserved: readonly string[] }): AddressRules {
  const range = parseRange(weave.cidr)
  const reserved = weave.reserved.flatMap((text) => parseRange(text) ?? [])
  const special = specialRanges.filter(
    (refused) => range === null || !(range.first >= refused.first && range.last <= refused.last),
  )
  const isSpecial = (address: number) => special.some((refused) => isInRange(address, refused))
  return {
    judge: (text) => {
      const address = parseIpv4(text)
      if (address === null) return 'malformed'
      if (isSpecial(address)) return 'special'
      if (range === null || !isInRange(address, range)) return 'outside'
      if (reserved.some((bridges) => isInRange(address, bridges))) return 'reserved'
      return range.length < 31 && (address === range.first || address === range.last) ? 'special' : 'usable'
    },
    isHost: (text) => {
      const address = parseIpv4(text)
      return address !== null && !isSpecial(address)
    },
  }
}
