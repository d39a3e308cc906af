import type { BackendId, Balance, SectionOptions, Server } from '../types.ts'
import { isSpare } from './spares.ts'

const quad = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)\.){3}(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)$/
const backendId = /^(?:[A-Za-z0-9._-]{1,63}|x:[0-9a-f]{24})(?::[0-9a-f]{6})?$/
const cookieName = /^[A-Za-z0-9_-]{1,64}$/
const balances: ReadonlySet<string> = new Set(['roundrobin', 'leastconn', 'first', 'source'] satisfies Balance[])

/**
 * A server as words of HAProxy's language. Only words that both a file and `add server` understand on every supported
 * version: no `enabled`, `disabled`, `cookie`, `check`, and nothing that would have to come from `default-server`,
 * which `add server` does not inherit.
 */
interface ServerWords {
  readonly name: string
  readonly address: string
  readonly options: readonly string[]
}

/**
 * The last line of defence: whatever came from the catalog was parsed long before, so a value that does not fit
 * is a bug, and better an exception than a line of somebody else's making.
 */
function serverWords(server: Server, section: SectionOptions, weight: number): ServerWords {
  const { name, address, port } = server
  const { maxconn, proto } = checkedSection(section)
  if (!quad.test(address)) throw new Error(`expected the address of a server as a dotted quad, got ${shown(address)}`)
  if (!isWholeNumber(port, 1, 65_535)) throw new Error(`expected a port from 1 to 65535, got ${shown(port)}`)
  if (name !== `${address}:${port}`) throw new Error(`expected a server to be named by its address, got ${shown(name)}`)
  if (!isWholeNumber(server.weight, 0, 256))
    throw new Error(`expected a weight from 0 to 256, got ${shown(server.weight)}`)
  return {
    name,
    address: `${address}:${port}`,
    options: ['weight', String(weight), ...fixedWords(server, { maxconn, proto })],
  }
}

/** What of a server HAProxy doesn't tell again, and but for `maxconn` does not change while it runs. */
function fixedWords(
  { backup }: Pick<Server, 'backup'>,
  { maxconn, proto }: Pick<SectionOptions, 'maxconn' | 'proto'>,
): readonly string[] {
  return [
    ...(maxconn === null ? [] : ['maxconn', String(maxconn)]),
    ...(proto === 'h2c' ? ['proto', 'h2'] : []),
    ...(backup ? ['backup'] : []),
  ]
}

/** The same as one text: '' for a server without such options. */
export function wordsOf(server: Pick<Server, 'backup'>, section: SectionOptions): string {
  return fixedWords(server, section).join(' ')
}

/** True when they differ in nothing but what can be changed while HAProxy runs. */
export function differOnlyInLimit(words: string, others: string): boolean {
  const rest = (text: string) => text.replace(/^maxconn \d+ ?/, '')
  return rest(words) === rest(others)
}

function isWholeNumber(value: number, least: number, most: number): boolean {
  return Number.isInteger(value) && value >= least && value <= most
}

function shown(value: unknown): string {
  return JSON.stringify(value).slice(0, 80)
}

/**
 * The `server` line of a file, without indentation and newline. A file has no word for drain: weight 0 is the nearest
 * (sticky users may finish, nobody else comes), so a server that drains is weighed 0 there.
 */
export function serverLine(server: Server, section: SectionOptions): string {
  const words = serverWords(server, section, server.state === 'drain' ? 0 : server.weight)
  const disabled = server.state === 'maint' ? ' disabled' : ''
  return `server ${words.name} ${words.address} ${words.options.join(' ')}${disabled}`
}

/**
 * The same server as words for `add server`, whose section is named before them. It comes up in maintenance; its state is set
 * by a command of its own, because `enabled` is refused by 3.x.
 */
export function addedServer(
  server: Server,
  section: SectionOptions,
): { readonly name: string; readonly words: string } {
  const { name, address, options } = serverWords(server, section, server.weight)
  return { name, words: `${address} ${options.join(' ')}` }
}

/** `name` may have been read back from HAProxy: somebody else's server has another kind of name. */
export function checkedServerName(name: string): string {
  if (!/^[A-Za-z0-9_.:-]{1,256}$/.test(name)) throw new Error(`expected the name of a server, got ${shown(name)}`)
  return name
}

/** Throws unless the options are ones that a section may print as they stand. */
export function checkedSection(section: SectionOptions): SectionOptions {
  const { balance, sticky, maxconn, proto } = section
  if (!balances.has(balance)) throw new Error(`expected a balance algorithm, got ${shown(balance)}`)
  if (sticky !== null && !cookieName.test(sticky)) throw new Error(`expected a cookie name, got ${shown(sticky)}`)
  if (maxconn !== null && !isWholeNumber(maxconn, 1, 2 ** 31 - 1)) {
    throw new Error(`expected a maxconn, got ${shown(maxconn)}`)
  }
  if (proto !== 'http' && proto !== 'h2c') throw new Error(`expected http or h2c, got ${shown(proto)}`)
  return section
}

/** Throws unless `id` is one that heddle makes: it goes into files, maps and commands as it stands. */
export function checkedBackendId(id: BackendId): BackendId {
  if (!backendId.test(id)) throw new Error(`expected the id of a backend, got ${shown(id)}`)
  return id
}

/** The same for a section, which may be a spare one. */
export function checkedSectionName(name: string): string {
  return isSpare(name) ? name : checkedBackendId(name)
}
