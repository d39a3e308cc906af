import { parseIpv4 } from '../../addresses/ipv4.ts'
import type { Container, ContainerNetwork, Ms, PublishedPort } from '../../types.ts'
import { entriesField, field, listField, textField } from '../field.ts'

/** An event about a container. `died`: it does not run any more; `touched`: look at it again. */
export interface ContainerEvent {
  readonly kind: 'died' | 'touched'
  readonly id: string
  /** When it happened by the engine's clock; null if it does not say. */
  readonly at: Ms | null
}

/**
 * Decodes an object of `GET /containers/{id}/json`, or a row of `GET /containers/json`. Null: not a container.
 * Environment, labels and commands are never looked at.
 */
export function decodeContainer(raw: unknown): Container | null {
  const id = containerId(field(raw, 'Id'))
  const name = nameOf(raw)
  if (id === null || name === null) return null
  const rows = [...inspectedPorts(raw), ...listedPorts(raw)]
  const exposed = entriesField(raw, 'Config', 'ExposedPorts').flatMap(([text]) => tcpPort(text))
  return {
    id,
    name,
    running: isRunning(field(raw, 'State')),
    startedAt: textField(raw, 'State', 'StartedAt'),
    network: networkOf(textField(raw, 'HostConfig', 'NetworkMode')),
    addresses: addressesOf(raw),
    ports: [...new Set([...exposed, ...rows.map((row) => row.containerPort)])].sort((a, b) => a - b),
    published: publishedOf(rows),
  }
}

/**
 * Null when it is no list; a row that is no container is left out. A list goes less far than inspections: it has no
 * start times, and no exposed ports that are not published.
 */
export function decodeList(raw: unknown): readonly Container[] | null {
  if (!Array.isArray(raw)) return null
  return raw.flatMap((row: unknown) => decodeContainer(row) ?? [])
}

const deaths: ReadonlySet<string> = new Set(['die', 'destroy'])
const touches: ReadonlySet<string> = new Set(['start', 'restart', 'stop', 'rename', 'connect', 'disconnect'])

/** Actions that may change what we keep of a container: all others (health checks run `exec_*` all day) are left out. */
export const followedActions: readonly string[] = [...deaths, ...touches]

/** Null: of no concern. Throws on a line that is no JSON. */
export function decodeEvent(line: string): ContainerEvent | null {
  const event: unknown = JSON.parse(line)
  const type = field(event, 'Type')
  const action = textField(event, 'Action')
  const actor = type === 'network' ? field(event, 'Actor', 'Attributes', 'container') : field(event, 'Actor', 'ID')
  const id = containerId(actor)
  if (id === null || (type !== 'container' && type !== 'network')) return null
  if (type === 'container' && deaths.has(action)) return { kind: 'died', id, at: timeOf(event) }
  return touches.has(action) ? { kind: 'touched', id, at: timeOf(event) } : null
}

function timeOf(event: unknown): Ms | null {
  const nanoseconds = field(event, 'timeNano')
  if (typeof nanoseconds === 'number' && nanoseconds > 0) return nanoseconds / 1e6
  const seconds = field(event, 'time')
  // Whole seconds: taken as their end, so that a death is not taken for one of an earlier life.
  return typeof seconds === 'number' && seconds > 0 ? seconds * 1000 + 999 : null
}

/** An inspected container has an object for its state, a listed one a word. */
function isRunning(state: unknown): boolean {
  if (typeof state === 'string') return state === 'running' || state === 'paused'
  // Docker calls a container that waits for its next restart running.
  return field(state, 'Running') === true && field(state, 'Restarting') !== true
}

function nameOf(raw: unknown): string | null {
  const names = [field(raw, 'Name'), ...listField(raw, 'Names')].map((name) => textField({ name }, 'name'))
  // `/web/alias` is a link to a container, under the name of another.
  const own = names.map((name) => name.replace(/^\//, '')).filter((name) => name !== '' && !name.includes('/'))
  return own[0] ?? null
}

function networkOf(mode: string): ContainerNetwork {
  if (mode === 'host') return { kind: 'host' }
  const shared = mode.startsWith('container:') ? mode.slice('container:'.length) : ''
  return shared === '' ? { kind: 'own' } : { kind: 'container', id: shared }
}

function addressesOf(raw: unknown): readonly string[] {
  const byName = entriesField(raw, 'NetworkSettings', 'Networks')
    .toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
    .map(([, network]) => textField(network, 'IPAddress'))
  const all = [textField(raw, 'NetworkSettings', 'IPAddress'), ...byName]
  return [...new Set(all.filter((address) => parseIpv4(address) !== null))]
}

/** A TCP port of a container; `hostPort` is null when its host does not publish it. */
interface PortRow {
  readonly hostAddress: string
  readonly hostPort: number | null
  readonly containerPort: number
}

/** `{"8080/tcp": [{HostIp, HostPort}] | null}` */
function inspectedPorts(raw: unknown): readonly PortRow[] {
  return entriesField(raw, 'NetworkSettings', 'Ports').flatMap(([text, bindings]) =>
    tcpPort(text).flatMap((containerPort) => [
      { hostAddress: '', hostPort: null, containerPort },
      ...listField({ bindings }, 'bindings').map((binding) => ({
        hostAddress: textField(binding, 'HostIp'),
        hostPort: portNumber(Number.parseInt(textField(binding, 'HostPort'), 10)),
        containerPort,
      })),
    ]),
  )
}

/** `[{IP, PrivatePort, PublicPort, Type}]` */
function listedPorts(raw: unknown): readonly PortRow[] {
  return listField(raw, 'Ports').flatMap((row) => {
    const containerPort = portNumber(field(row, 'PrivatePort'))
    if (field(row, 'Type') !== 'tcp' || containerPort === null) return []
    return [{ hostAddress: textField(row, 'IP'), hostPort: portNumber(field(row, 'PublicPort')), containerPort }]
  })
}

const everywhere: ReadonlySet<string> = new Set(['', '0.0.0.0', '::'])

/** A port published on every address of its host has a row for IPv4 and one for IPv6: they become one of `0.0.0.0`. */
function publishedOf(rows: readonly PortRow[]): readonly PublishedPort[] {
  const byText = new Map<string, PublishedPort>()
  for (const { hostPort, containerPort, ...row } of rows) {
    if (hostPort === null) continue
    const hostAddress = everywhere.has(row.hostAddress) ? '0.0.0.0' : row.hostAddress
    byText.set(`${hostPort} ${containerPort} ${hostAddress}`, { hostAddress, hostPort, containerPort })
  }
  return [...byText.values()].sort(
    (a, b) => a.hostPort - b.hostPort || a.containerPort - b.containerPort || (a.hostAddress < b.hostAddress ? -1 : 1),
  )
}

function tcpPort(text: string): readonly number[] {
  const port = /^([0-9]{1,5})\/tcp$/.exec(text)
  const number = port === null ? null : portNumber(Number(port[1]))
  return number === null ? [] : [number]
}

function portNumber(raw: unknown): number | null {
  return typeof raw === 'number' && Number.isInteger(raw) && raw >= 1 && raw <= 65535 ? raw : null
}

/** Docker's own are 64 hexadecimal digits; a snapshot somebody wrote may have shorter ones. */
function containerId(raw: unknown): string | null {
  return typeof raw === 'string' && /^[0-9A-Za-z][0-9A-Za-z_-]{0,63}$/.test(raw) ? raw : null
}
