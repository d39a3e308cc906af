import { areColliding, containsRange, isLoopback, type ListenAddress, parseListenAddress } from './addresses.ts'
import { printDuration } from './durations.ts'
import { longestSocketPath } from './places.ts'
import type { Settings } from './schema.ts'

/** Two or more settings that are right by themselves and can't work together. */
export interface Fault {
  /** All that take part: while one of them is wrong by itself, nothing is said about them together. */
  readonly keys: readonly string[]
  /** The one to report it at. */
  readonly at: string
  readonly expected: string
  readonly got: string
}

/** Everything that can't work together. `isRoot`: heddle runs as root. */
export function faultsOf(settings: Settings, isRoot: boolean): readonly Fault[] {
  return [
    ...accounts(settings, isRoot),
    ...certificate(settings),
    ...openStatus(settings),
    ...listeners(settings),
    ...sockets(settings),
    ...ranges(settings),
    ...quietNotLonger(settings.apply, 'settle'),
    ...quietNotLonger(settings.apply, 'tidy'),
  ]
}

function accounts({ haproxy }: Settings, isRoot: boolean): Fault[] {
  if (isRoot) return []
  return (['user', 'group', 'chroot'] as const)
    .filter((name) => haproxy[name] !== null)
    .map((name) => ({
      keys: [`haproxy.${name}`],
      at: `haproxy.${name}`,
      expected: 'none, because heddle does not run as root',
      got: JSON.stringify(haproxy[name]),
    }))
}

function certificate({ consul: { tls } }: Settings): Fault[] {
  if ((tls.cert === null) === (tls.key === null)) return []
  const [present, absent] = tls.cert === null ? ['key', 'cert'] : ['cert', 'key']
  return [
    {
      keys: ['consul.tls.cert', 'consul.tls.key'],
      at: `consul.tls.${present}`,
      expected: `consul.tls.${absent} as well`,
      got: 'one without the other',
    },
  ]
}

function openStatus({ status }: Settings): Fault[] {
  const address = parseListenAddress(status.listen)
  if (address === null || isLoopback(address.address) || status.token !== null || status.tokenFile !== null) return []
  return [
    {
      keys: ['status.listen', 'status.token', 'status.tokenFile'],
      at: 'status.listen',
      expected: 'a loopback address, or status.token or status.tokenFile beside it',
      got: JSON.stringify(status.listen),
    },
  ]
}

interface Listener {
  readonly key: string
  readonly text: string
  readonly address: ListenAddress
}

function listeners({ haproxy, status }: Settings): Fault[] {
  const all = [
    ...haproxy.bind.map((text) => ['haproxy.bind', text] as const),
    ['haproxy.monitor', haproxy.monitor?.replace(/\/.*$/, '') ?? null] as const,
    ['haproxy.statsBind', haproxy.statsBind] as const,
    ['status.listen', status.listen] as const,
  ].flatMap(([key, text]): Listener[] => {
    const address = text === null ? null : parseListenAddress(text)
    return text === null || address === null ? [] : [{ key, text, address }]
  })
  const faults: Fault[] = []
  for (const [index, one] of all.entries()) {
    const other = all.slice(0, index).find(({ address }) => areColliding(address, one.address))
    if (other === undefined) continue
    const got = `${JSON.stringify(one.text)}, and ${other.key} is ${JSON.stringify(other.text)}`
    faults.push({ keys: [other.key, one.key], at: one.key, expected: 'an address and port of its own', got })
  }
  if (haproxy.bind.length === 0) {
    faults.push({ keys: ['haproxy.bind'], at: 'haproxy.bind', expected: 'at least one entry', got: 'an empty list' })
  }
  return faults
}

function sockets({ haproxy, control }: Settings): Fault[] {
  const faults: Fault[] = []
  if (control.socket.length > longestSocketPath) {
    faults.push({
      keys: ['haproxy.directory', 'control.socket'],
      at: 'haproxy.directory',
      expected: `a path short enough for a socket in it, ${longestSocketPath} characters in all (or control.socket elsewhere)`,
      got: `${control.socket.length} characters`,
    })
  }
  const paths = [
    ['haproxy.masterSocket', haproxy.masterSocket],
    ['haproxy.statsSocket', haproxy.statsSocket],
    ['control.socket', control.socket],
  ] as const
  for (const [index, [key, path]] of paths.entries()) {
    const other = paths.slice(0, index).find(([, earlier]) => earlier === path)?.[0]
    if (other === undefined) continue
    faults.push({ keys: [other, key], at: key, expected: 'a socket of its own', got: `that of ${other}` })
  }
  return faults
}

function ranges({ weave }: Settings): Fault[] {
  const whole = weave.reserved.find((range) => containsRange(range, weave.cidr))
  if (whole === undefined) return []
  return [
    {
      keys: ['weave.cidr', 'weave.reserved'],
      at: 'weave.reserved',
      expected: `ranges that leave something of weave.cidr, which is ${weave.cidr}`,
      got: JSON.stringify(whole),
    },
  ]
}

function quietNotLonger(apply: Settings['apply'], name: 'settle' | 'tidy'): Fault[] {
  const { quiet, longest } = apply[name]
  if (quiet <= longest) return []
  return [
    {
      keys: [`apply.${name}.quiet`, `apply.${name}.longest`],
      at: `apply.${name}.longest`,
      expected: `at least apply.${name}.quiet, which is ${printDuration(quiet)}`,
      got: printDuration(longest),
    },
  ]
}
