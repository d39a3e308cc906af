import type { Registration } from './consul.ts'

/** The catalog of the fake Consul: what is registered, with the indexes that 1.13.9 gives its answers. */

/** Its check has the id `check:ID`. */
export type FakeInstance = Omit<Registration, 'weaveAddress' | 'weights'>

export interface FakeCheck {
  readonly id: string
  /** Of its service; '' for one of the node itself. */
  readonly service: string
  readonly status: string
  readonly output?: string
}

/** What a token may read. */
export interface Rights {
  readonly nodes: boolean
  readonly service: (name: string) => boolean
}

export const allRights: Rights = { nodes: true, service: () => true }

export interface CatalogRead {
  readonly index: bigint
  readonly body: unknown
  readonly isFiltered: boolean
  /** Changes of these wake a query that blocks; the index can also grow without them. */
  readonly watched: readonly string[]
}

export interface FakeCatalog {
  /** An instance, in place of the one with the same id; its check is registered in the same moment. */
  readonly register: (instance: FakeInstance) => void
  /** An instance with its checks; without an id the whole node. */
  readonly deregister: (node: string, id?: string) => void
  /** Of an instance, or (service '') of the node. The same again is no change. */
  readonly setCheck: (node: string, check: FakeCheck) => void
  readonly removeCheck: (node: string, id: string) => void
  /** Null: no such path. `filter` is the tag that must be there. */
  readonly read: (path: readonly string[], rights: Rights, filter: string | null) => CatalogRead | null
  /** What a server that was wiped says: no index is beyond `index` any more. Wakes nobody. */
  readonly rewind: (index: bigint) => void
  /** Sets what is called with the keys of every change. */
  readonly onChange: (listener: (changed: readonly string[]) => void) => void
}

interface Row {
  readonly instance: FakeInstance
  readonly createIndex: bigint
}

interface Node {
  readonly address: string
  readonly createIndex: bigint
  readonly rows: Map<string, Row>
  readonly checks: Map<string, FakeCheck>
}

export function fakeCatalog(first: bigint): FakeCatalog {
  const nodes = new Map<string, Node>()
  const indexes = new Map<string, bigint>()
  let index = first
  let listener: (changed: readonly string[]) => void = () => {}

  const indexOf = (...keys: readonly string[]) =>
    keys.map((key) => indexes.get(key) ?? 1n).reduce((most, next) => (next > most ? next : most))
  const touch = (...keys: readonly string[]) => {
    index += 1n
    for (const key of keys) indexes.set(key, index)
    listener(keys)
  }
  const namesOf = ({ rows }: Node) => [...rows.values()].map(({ instance }) => `service/${instance.service}`)

  function addNode(name: string, address = '10.2.0.1'): Node {
    const node: Node = { address, createIndex: index + 1n, rows: new Map(), checks: new Map() }
    nodes.set(name, node)
    return node
  }

  function ofService(name: string, filter: string | null): readonly object[] {
    return [...nodes].flatMap(([nodeName, node]) =>
      [...node.rows.values()]
        .filter(({ instance }) => instance.service === name && hasTag(instance, filter))
        .map((row) => ({
          Node: nodeDocument(nodeName, node),
          Service: serviceDocument(row),
          Checks: checksOf(nodeName, node, ({ service }) => service === '' || service === row.instance.id),
        })),
    )
  }

  function readNode(name: string, rights: Rights, filter: string | null): Pick<CatalogRead, 'body' | 'isFiltered'> {
    const node = nodes.get(name)
    if (node === undefined || !rights.nodes) return { body: null, isFiltered: node !== undefined }
    // as 1.13.9 does: the right to read a service is asked for its id, not for its name
    const allowed = [...node.rows].filter(([id]) => rights.service(id))
    const shown = allowed.filter(([, { instance }]) => hasTag(instance, filter))
    const services = Object.fromEntries(shown.map(([id, row]) => [id, serviceDocument(row)]))
    return {
      body: { Node: nodeDocument(name, node), Services: services },
      isFiltered: allowed.length < node.rows.size,
    }
  }

  return {
    register: (instance) => {
      const { node: name, id, service, status } = instance
      const isNew = !nodes.has(name)
      const node = nodes.get(name) ?? addNode(name, instance.nodeAddress)
      const before = node.rows.get(id)
      node.rows.set(id, { instance, createIndex: before?.createIndex ?? index + 1n })
      if (status !== undefined) node.checks.set(`check:${id}`, { id: `check:${id}`, service: id, status })
      const names = new Set([service, before?.instance.service ?? service].map((each) => `service/${each}`))
      touch(
        `node/${name}`,
        ...names,
        'services',
        ...(isNew ? ['nodes'] : []),
        ...checksKeys(name, status !== undefined),
      )
    },
    deregister: (name, id) => {
      const node = nodes.get(name)
      if (node === undefined) return
      const row = id === undefined ? undefined : node.rows.get(id)
      if (id !== undefined && row === undefined) return
      const services = row === undefined ? namesOf(node) : [`service/${row.instance.service}`]
      if (id === undefined) nodes.delete(name)
      else node.rows.delete(id)
      for (const [key, check] of node.checks) if (check.service === id) node.checks.delete(key)
      touch(`node/${name}`, ...services, 'services', ...(id === undefined ? ['nodes'] : []), ...checksKeys(name, true))
    },
    setCheck: (name, check) => {
      const node = nodes.get(name) ?? addNode(name)
      if (JSON.stringify(node.checks.get(check.id)) === JSON.stringify(check)) return
      node.checks.set(check.id, check)
      const row = node.rows.get(check.service)
      touch(...checksKeys(name, true), ...(row === undefined ? namesOf(node) : [`service/${row.instance.service}`]))
    },
    removeCheck: (name, id) => {
      const node = nodes.get(name)
      if (node?.checks.delete(id) === true) touch(...checksKeys(name, true), ...namesOf(node))
    },
    read: ([api, of, name = '', ...more], rights, filter) => {
      if (more.length > 0) return null
      switch (`${api}/${of}${name === '' ? '' : '/NAME'}`) {
        case 'catalog/nodes': {
          const body = rights.nodes ? [...nodes].map(([each, node]) => nodeDocument(each, node)) : []
          return { index: indexOf('nodes', 'services'), body, isFiltered: !rights.nodes, watched: ['nodes'] }
        }
        case 'catalog/services': {
          const all = new Map<string, Set<string>>()
          for (const { rows } of nodes.values()) {
            for (const { instance } of rows.values()) {
              all.set(instance.service, new Set([...(all.get(instance.service) ?? []), ...(instance.tags ?? [])]))
            }
          }
          const allowed = [...all].filter(([each]) => rights.service(each)).map(([each, tags]) => [each, [...tags]])
          const isFiltered = allowed.length < all.size
          return { index: indexOf('services'), body: Object.fromEntries(allowed), isFiltered, watched: ['services'] }
        }
        case 'catalog/node/NAME':
          return { index: indexOf(`node/${name}`), ...readNode(name, rights, filter), watched: [`node/${name}`] }
        case 'health/node/NAME': {
          const node = nodes.get(name)
          const all = node === undefined ? [] : checksOf(name, node, () => true)
          const isAllowed = ({ ServiceName }: { readonly ServiceName: string }) =>
            rights.nodes && (ServiceName === '' || rights.service(ServiceName))
          const body = all.filter(isAllowed)
          // its index is that of the checks of all nodes
          const most = indexOf('nodes', 'checks')
          return { index: most, body, isFiltered: body.length < all.length, watched: [`checks/${name}`] }
        }
        case 'health/service/NAME': {
          const all = ofService(name, filter)
          const body = rights.nodes && rights.service(name) ? all : []
          const own = indexes.has(`service/${name}`) ? indexOf(`service/${name}`) : indexOf('services')
          return { index: own, body, isFiltered: body.length < all.length, watched: [`service/${name}`] }
        }
        default:
          return null
      }
    },
    rewind: (to) => {
      index = to
      for (const [key, value] of indexes) if (value > to) indexes.set(key, to)
    },
    onChange: (next) => {
      listener = next
    },
  }
}

function checksKeys(node: string, hasChanged: boolean): readonly string[] {
  return hasChanged ? ['checks', `checks/${node}`] : []
}

function hasTag({ tags = [] }: FakeInstance, filter: string | null): boolean {
  return filter === null || tags.includes(filter)
}

function nodeDocument(name: string, { address, createIndex }: Node): object {
  return { ID: '', Node: name, Address: address, Datacenter: 'dc1', Meta: null, CreateIndex: Number(createIndex) }
}

function serviceDocument({ instance, createIndex }: Row): object {
  const { id, service, address = '', port = 80, tags = [], meta = {} } = instance
  return {
    ID: id,
    Service: service,
    Tags: tags,
    Address: address,
    Meta: meta,
    Port: port,
    Weights: { Passing: 1, Warning: 1 },
    EnableTagOverride: false,
    CreateIndex: Number(createIndex),
  }
}

function checksOf(name: string, { rows, checks }: Node, isWanted: (check: FakeCheck) => boolean) {
  return [...checks.values()].filter(isWanted).map(({ id, service, status, output = '' }) => ({
    Node: name,
    CheckID: id,
    Name: 'check',
    Status: status,
    Output: output,
    ServiceID: service,
    ServiceName: rows.get(service)?.instance.service ?? '',
    ServiceTags: rows.get(service)?.instance.tags ?? [],
  }))
}
