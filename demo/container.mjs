// A container as heddle expects it: it serves HTTP, and registers itself in Consul with its weave address, tags and a check.
// Real ones are registered by registrator or their scheduler; docker-compose.yml uses this one, so that it needs no more images.

import { createServer } from 'node:http'
import { BlockList } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'

const {
  SERVICE: service = 'demo',
  TAGS: tags = 'heddle',
  PORT: port = '8080',
  CONSUL_HTTP_ADDR: consul = 'http://127.0.0.1:8500',
  WEAVE_CIDR: range = '10.2.0.0/16',
  ADDRESS: address = weaveAddress(range),
} = process.env
const id = `${service}-${hostname()}-${port}`
const lookEvery = 2_000
/** After it is out of the catalog: until HAProxy sends nothing more. */
const grace = 1_000

function weaveAddress(cidr) {
  const weave = new BlockList()
  const [network, prefix] = cidr.split('/')
  weave.addSubnet(network, Number(prefix))
  const own = Object.values(networkInterfaces()).flat()
  const found = own.find((one) => one.family === 'IPv4' && weave.check(one.address))
  if (found === undefined) throw new Error(`no address in ${cidr}: is this container on the weave network?`)
  return found.address
}

async function ask(method, path, body) {
  const answer = await fetch(`${consul}/v1/agent/${path}`, {
    method,
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(5_000),
  })
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`)
  return answer.text()
}

function register() {
  return ask('PUT', 'service/register', {
    ID: id,
    Name: service,
    Address: address,
    Port: Number(port),
    Tags: tags.split('\n').filter((tag) => tag !== ''),
    Check: {
      HTTP: `http://${address}:${port}/healthy`,
      Interval: '1s',
      // it listens by now; Consul would call it critical until its first question
      Status: 'passing',
      Timeout: '1s',
      // of one that was killed
      DeregisterCriticalServiceAfter: '1m',
    },
  })
}

const server = createServer((request, answer) => {
  answer.setHeader('content-type', 'text/plain; charset=utf-8')
  answer.end(`${service} at ${address}:${port} (${hostname()})\n${request.method} ${request.url}\n`)
})
// longer than HAProxy keeps an idle connection, so that it is never this side that closes
server.keepAliveTimeout = 120_000
await new Promise((resolve, reject) => server.once('error', reject).listen(Number(port), address, resolve))

const ending = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => ending.abort())

// Consul may come later, and may forget: the agent of docker-compose.yml keeps nothing
let complaint = ''
while (!ending.signal.aborted) {
  try {
    const known = JSON.parse(await ask('GET', 'services'))
    if (known[id] === undefined) {
      await register()
      console.log(`${id} is registered`)
    }
    complaint = ''
  } catch ({ message }) {
    if (complaint !== message) console.log(`Consul: ${message}`)
    complaint = message
  }
  await pause(lookEvery, undefined, { signal: ending.signal }).catch(() => {})
}

await ask('PUT', `service/deregister/${id}`).then(
  () => console.log(`${id} is deregistered`),
  ({ message }) => console.log(`${id} could not be deregistered: ${message}`),
)
await pause(grace)
server.close()
server.closeIdleConnections()
