import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { accessSync, constants, readdirSync, readFileSync } from 'node:fs'
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { eventually } from './eventually.ts'
import { freePorts, loopbackAddress } from './ports.ts'

/**
 * A real Consul server for tests, alone on a loopback address of its own.
 *
 * ```ts
 * const consul = await startConsul()
 * await consul.register({ node: 'host1', id: 'web-1', service: 'web', tags: ['heddle'], port: 80, status: 'passing' })
 * await consul.setCheck('host1', 'web-1', 'critical')
 * await consul.deregister('host1', 'web-1')
 * await consul.stop()
 * ```
 *
 * Instances are written to the catalog directly (`/v1/catalog/register`), on nodes that have no agent, so nothing
 * runs their checks or brings them back. The server's own node is `server`.
 */
export interface TestConsul {
  /** `http://127.x.y.z:PORT`; stays the same over restarts. */
  readonly address: string
  /** Of management, when started with `acl`. */
  readonly token: string | null
  readonly register: (instance: Registration) => Promise<void>
  /** An instance with its checks, or, without an id, the whole node. */
  readonly deregister: (node: string, id?: string) => Promise<void>
  /** The check that `register` made for the instance; without an id a check of the node itself. */
  readonly setCheck: (node: string, id: string | null, status: string, output?: string) => Promise<void>
  /** Sets or lifts maintenance, of an instance or (null) of its node. */
  readonly setMaintenance: (node: string, id: string | null, isOn: boolean) => Promise<void>
  /** A new token (its secret) with these rules, for instance `node_prefix "" { policy = "read" }`. */
  readonly createToken: (rules: string) => Promise<string>
  /** Replaces the rules of a token made by `createToken`. */
  readonly changeToken: (token: string, rules: string) => Promise<void>
  readonly deleteToken: (token: string) => Promise<void>
  /** Any other request to `/v1` + path, with the management token; throws unless the status is 200. */
  readonly request: (method: string, path: string, body?: unknown) => Promise<unknown>
  /** Connections that the agent has open on its HTTP port, idle ones included (Linux). */
  readonly openSockets: () => number
  /** SIGSTOP and SIGCONT: sockets stay open and nothing answers. */
  readonly freeze: () => void
  readonly thaw: () => void
  /** SIGKILL; the data stays. */
  readonly kill: () => Promise<void>
  /** Kills it if it runs, and starts it again, by default with the data that it had. Resolves when it leads again. */
  readonly restart: (options?: { wipe?: boolean }) => Promise<void>
  /** Ends it and removes its data. */
  readonly stop: () => Promise<void>
}

export interface Registration {
  readonly node: string
  readonly id: string
  readonly service: string
  /** Of the node; 10.2.0.1 unless given. */
  readonly nodeAddress?: string
  readonly address?: string
  readonly port?: number
  readonly tags?: readonly string[]
  readonly meta?: Readonly<Record<string, string>>
  /** Address of the tagged address `weave`. */
  readonly weaveAddress?: string
  readonly weights?: { readonly Passing: number; readonly Warning: number }
  /** Status of its check; left out: it has none. */
  readonly status?: string
}

/** What a run of tests that ends early would leave behind. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const one of running) one.kill('SIGKILL')
})

export interface ConsulOptions {
  /** Deny by default, with a management token. */
  readonly acl?: boolean
  /** `limits.http_max_conns_per_client` of the agent. */
  readonly maxConnections?: number
  /** More configuration, in HCL. */
  readonly config?: string
}

/** The consul binary: on the PATH, else what the test script has put into the cache directory. */
export function findConsul(): string {
  const onPath = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '')
  const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'heddle')
  for (const directory of [...onPath, cache, ...cachedVersions(cache)]) {
    const path = join(directory, 'consul')
    if (isProgram(path)) return path
  }
  throw new Error(`expected a consul binary on the PATH or in ${cache}: run \`npm test\`, which sees to it`)
}

function cachedVersions(cache: string): readonly string[] {
  try {
    const folders = readdirSync(cache, { withFileTypes: true })
    return folders
      .filter((entry) => entry.isDirectory() && entry.name.startsWith('consul'))
      .map(({ name }) => join(cache, name))
  } catch {
    return []
  }
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return readdirSync(join(path, '..'), { withFileTypes: true }).some(
      (entry) => entry.name === 'consul' && !entry.isDirectory(),
    )
  } catch {
    return false
  }
}

export async function startConsul(options: ConsulOptions = {}): Promise<TestConsul> {
  const directory = await mkdtemp(join(tmpdir(), 'heddle-consul-'))
  const host = loopbackAddress()
  const [http = 0, serf = 0, server = 0] = await freePorts(3, host)
  const token = options.acl === true ? randomUUID() : null
  const configPath = join(directory, 'agent.hcl')
  const dataPath = join(directory, 'state')
  const logPath = join(directory, 'consul.log')
  const address = `http://${host}:${http}`
  await writeFile(configPath, configuration({ host, http, serf, server, dataPath, token }, options))
  const request = requester(address, token)
  let child = await launch()

  async function launch(): Promise<ChildProcess> {
    const log = await open(logPath, 'a')
    const launched = spawn(findConsul(), ['agent', '-config-file', configPath], { stdio: ['ignore', log.fd, log.fd] })
    running.add(launched)
    launched.once('exit', () => running.delete(launched))
    await log.close()
    await eventually(
      async () => {
        if (launched.exitCode !== null) throw new Error(`consul ended: ${readFileSync(logPath, 'utf8').slice(-2000)}`)
        const nodes = await request('GET', '/catalog/nodes?consistent=1')
        if (!Array.isArray(nodes) || nodes.length === 0) throw new Error('the server has not registered itself yet')
      },
      { within: 30_000, every: 50 },
    )
    return launched
  }

  async function end(signal: NodeJS.Signals): Promise<void> {
    if (child.exitCode !== null || child.signalCode !== null) return
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await gone
  }

  return {
    address,
    token,
    request,
    ...catalogWriter(request),
    ...tokenWriter(request),
    openSockets: () => countSockets(host, http),
    freeze: () => child.kill('SIGSTOP'),
    thaw: () => child.kill('SIGCONT'),
    kill: () => end('SIGKILL'),
    restart: async ({ wipe = false } = {}) => {
      await end('SIGKILL')
      if (wipe) await rm(dataPath, { recursive: true, force: true })
      child = await launch()
    },
    stop: async () => {
      await end('SIGKILL')
      await rm(directory, { recursive: true, force: true })
    },
  }
}

interface Place {
  readonly host: string
  readonly http: number
  readonly serf: number
  readonly server: number
  readonly dataPath: string
  readonly token: string | null
}

function configuration(place: Place, options: ConsulOptions): string {
  const { host, http, serf, server, dataPath, token } = place
  const acl = `acl { enabled = true, default_policy = "deny", tokens { initial_management = "${token}", agent = "${token}" } }`
  return `
server = true
bootstrap_expect = 1
node_name = "server"
data_dir = "${dataPath}"
bind_addr = "${host}"
client_addr = "${host}"
ports { http = ${http}, serf_lan = ${serf}, server = ${server}, serf_wan = -1, dns = -1, grpc = -1 }
performance { raft_multiplier = 1 }
disable_update_check = true
disable_host_node_id = true
leave_on_terminate = false
${token === null ? '' : acl}
${options.maxConnections === undefined ? '' : `limits { http_max_conns_per_client = ${options.maxConnections} }`}
${options.config ?? ''}
`
}

type Request = TestConsul['request']

function requester(address: string, token: string | null): Request {
  return async (method, path, body) => {
    const response = await fetch(`${address}/v1${path}`, {
      method,
      // a connection of its own: the tests count those of the source
      headers: { connection: 'close', ...(token === null ? {} : { 'x-consul-token': token }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(10_000),
    })
    const text = await response.text()
    if (response.status !== 200) throw new Error(`${method} ${path}: ${response.status} ${text}`)
    return text === '' ? null : JSON.parse(text)
  }
}

function catalogWriter(request: Request): Pick<TestConsul, 'register' | 'deregister' | 'setCheck' | 'setMaintenance'> {
  const nodeAddresses = new Map<string, string>()
  const register = async (node: string, rest: object) => {
    const address = nodeAddresses.get(node) ?? '10.2.0.1'
    await request('PUT', '/catalog/register', { Node: node, Address: address, ...rest })
  }
  return {
    register: async ({ node, id, service, nodeAddress, address, port, tags, meta, weaveAddress, weights, status }) => {
      if (nodeAddress !== undefined) nodeAddresses.set(node, nodeAddress)
      await register(node, {
        Service: {
          ID: id,
          Service: service,
          Address: address ?? '',
          Port: port ?? 80,
          Tags: tags ?? [],
          Meta: meta ?? {},
          ...(weaveAddress === undefined ? {} : { TaggedAddresses: { weave: { Address: weaveAddress, Port: 0 } } }),
          ...(weights === undefined ? {} : { Weights: weights }),
        },
        ...(status === undefined ? {} : { Check: check(id, status) }),
      })
    },
    deregister: async (node, id) => {
      await request('PUT', '/catalog/deregister', { Node: node, ...(id === undefined ? {} : { ServiceID: id }) })
    },
    setCheck: (node, id, status, output = '') => register(node, { Check: { ...check(id, status), Output: output } }),
    setMaintenance: async (node, id, isOn) => {
      const checkId = id === null ? '_node_maintenance' : `_service_maintenance:${id}`
      if (!isOn) await request('PUT', '/catalog/deregister', { Node: node, CheckID: checkId })
      else await register(node, { Check: { ...check(id, 'critical'), CheckID: checkId } })
    },
  }
}

function check(id: string | null, status: string): object {
  return { CheckID: id === null ? 'node' : `check:${id}`, Name: 'check', Status: status, ServiceID: id ?? '' }
}

function tokenWriter(request: Request): Pick<TestConsul, 'createToken' | 'changeToken' | 'deleteToken'> {
  const made = new Map<string, { readonly accessor: string; readonly policy: string }>()
  const find = (token: string) => {
    const found = made.get(token)
    if (found === undefined) throw new Error('expected a token made by createToken')
    return found
  }
  return {
    createToken: async (rules) => {
      const policy = randomUUID()
      const accessor = randomUUID()
      const secret = randomUUID()
      const answer = await request('PUT', '/acl/policy', { Name: policy, Rules: rules })
      if (typeof answer !== 'object' || answer === null || !('ID' in answer)) throw new Error('expected a policy')
      made.set(secret, { accessor, policy: String(answer.ID) })
      const policies = [{ Name: policy }]
      await request('PUT', '/acl/token', { AccessorID: accessor, SecretID: secret, Policies: policies })
      return secret
    },
    changeToken: async (token, rules) => {
      const { policy } = find(token)
      await request('PUT', `/acl/policy/${policy}`, { ID: policy, Name: randomUUID(), Rules: rules })
    },
    deleteToken: async (token) => {
      await request('DELETE', `/acl/token/${find(token).accessor}`)
    },
  }
}

/** Established connections to `host:port`, as the listening side sees them. */
function countSockets(host: string, port: number): number {
  const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, '0')
  const local = `${host
    .split('.')
    .map((byte) => hex(Number(byte), 2))
    .reverse()
    .join('')}:${hex(port, 4)}`
  const lines = readFileSync('/proc/net/tcp', 'utf8')
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
  return lines.filter((columns) => columns[1] === local && columns[3] === '01').length
}
