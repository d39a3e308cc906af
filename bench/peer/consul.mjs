// A real Consul for one system, and what is written to its catalog: loading all of it, then one change after the other.

import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { startProgram } from './children.mjs'
import { freePorts } from './ports.mjs'

/** Operations that Consul takes in one transaction. */
const perTransaction = 64
/** Transactions at a time. */
const writers = 4
const longestStart = 30_000

/**
 * One server with its data in memory. consul-template holds a connection for each service, so `connections` is what the agent
 * allows a client (its default is 200, which heddle keeps within).
 */
export async function startConsul({ bin, folder, address, connections }) {
  const [http, serf, server] = await freePorts(3, address)
  const file = join(folder, 'consul.json')
  writeFileSync(
    file,
    JSON.stringify({
      node_name: 'server',
      bind_addr: address,
      client_addr: address,
      ports: { http, serf_lan: serf, server, serf_wan: -1, dns: -1, grpc: -1 },
      connect: { enabled: false },
      performance: { raft_multiplier: 1 },
      limits: { http_max_conns_per_client: connections },
      disable_update_check: true,
    }),
  )
  const args = ['agent', '-dev', '-log-level=warn', '-config-file', file]
  const program = startProgram('Consul', bin, args, { log: join(folder, 'consul.log') })
  const put = writer(address, http)
  const end = performance.now() + longestStart
  // the server registers itself once it leads
  while (!(await leads(put))) {
    if (program.failed() !== null) throw new Error(program.failed())
    if (performance.now() > end) throw new Error('Consul does not lead')
    await delay(20)
  }
  return { ...program, url: `http://${address}:${http}`, ...catalogWriter(put) }
}

async function leads(put) {
  return put('GET', '/catalog/nodes?consistent=1').then(
    (text) => JSON.parse(text).length > 0,
    () => false,
  )
}

function writer(address, port) {
  const agent = new Agent({ keepAlive: true, maxSockets: writers })
  return (method, path, body) =>
    new Promise((resolve, reject) => {
      const sent = request({ host: address, port, path: `/v1${path}`, method, agent }, (answer) => {
        let text = ''
        answer.setEncoding('utf8')
        answer.on('data', (chunk) => {
          text += chunk
        })
        answer.on('end', () => {
          if (answer.statusCode === 200) resolve(text)
          else reject(new Error(`${method} ${path}: ${answer.statusCode} ${text.slice(0, 300)}`))
        })
      })
      sent.on('error', reject)
      sent.end(body === undefined ? '' : JSON.stringify(body))
    })
}

function catalogWriter(put) {
  const register = (node, rest) => put('PUT', '/catalog/register', { Node: node, SkipNodeUpdate: true, ...rest })
  return {
    load: async (instances) => {
      for (const batches of transactionsOf(instances)) {
        await Promise.all(
          Array.from({ length: writers }, async () => {
            for (let batch = batches.pop(); batch !== undefined; batch = batches.pop()) await put('PUT', '/txn', batch)
          }),
        )
      }
    },
    register: (instance) =>
      register(instance.node, { Service: serviceOf(instance), Check: checkOf(instance, 'passing') }),
    setCheck: (instance, status) => register(instance.node, { Check: checkOf(instance, status) }),
    deregister: ({ node, id }) => put('PUT', '/catalog/deregister', { Node: node, ServiceID: id }),
  }
}

/**
 * Node by node, and services before checks: for each check Consul looks at all that its node has so far, once in a
 * transaction. Each list of transactions has to be done before the next.
 */
function transactionsOf(instances) {
  const nodes = [...new Set(instances.map(({ node }) => node))]
  const sorted = nodes.flatMap((node) => instances.filter((one) => one.node === node))
  return [
    nodes.map((node) => ({ Node: { Verb: 'set', Node: { Node: node, Address: nodeAddress } } })),
    sorted.map((one) => ({ Service: { Verb: 'set', Node: one.node, Service: serviceOf(one) } })),
    sorted.map((one) => ({ Check: { Verb: 'set', Check: { Node: one.node, ...checkOf(one, 'passing') } } })),
  ].map((operations) =>
    Array.from({ length: Math.ceil(operations.length / perTransaction) }, (_, index) =>
      operations.slice(index * perTransaction, (index + 1) * perTransaction),
    ),
  )
}

/** Of hosts, where nothing is asked for. */
const nodeAddress = '192.0.2.1'

function serviceOf({ id, service, address, port, tags }) {
  return { ID: id, Service: service, Address: address, Port: port, Tags: tags }
}

function checkOf({ id }, status) {
  return { CheckID: `service:${id}`, Name: 'http', Status: status, ServiceID: id }
}
