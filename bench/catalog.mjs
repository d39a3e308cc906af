// Catalogs of any size, as raw answers of Consul: what a snapshot document holds.

const hostSize = 200

/** Sizes as people say them: `1000x10` is 1,000 services of 10 instances each. */
export function parseSize(text) {
  const [, services, instances] = /^(\d+)x(\d+)$/.exec(text) ?? []
  if (services === undefined || Number(services) * Number(instances) > 60_000) {
    throw new Error(`expected a size such as 1000x10, of at most 60000 instances, got ${text}`)
  }
  return { services: Number(services), instances: Number(instances) }
}

/**
 * Instance `i` of service `s`, as GET /v1/health/service/NAME answers it. Instances lie across hosts as a scheduler would
 * put them, 200 to a host, each with an address of its own in 10.2.0.0/16.
 */
export function entryOf(size, s, i) {
  const number = s * size.instances + i
  const hosts = Math.max(3, Math.ceil((size.services * size.instances) / hostSize))
  const host = 1 + (number % hosts)
  const service = `web-${s}`
  return {
    Node: { Node: `host-${host}`, Address: `192.0.2.${host % 256}`, Datacenter: 'dc1', CreateIndex: 5 + host },
    Service: {
      ID: `${service}-${i}`,
      Service: service,
      Address: `10.2.${host}.${1 + Math.floor(number / hosts)}`,
      Port: 8080,
      Tags: [`heddle.route=${service}.example.com`, `heddle.route=shop.example.com/${service} strip`, 'version=1'],
      Meta: { team: `team-${s % 40}` },
      Weights: { Passing: 1, Warning: 1 },
      CreateIndex: 1000 + number,
      ModifyIndex: 1000 + number,
    },
    Checks: [
      { Node: `host-${host}`, CheckID: 'serfHealth', Name: 'Serf Health Status', Status: 'passing', ServiceID: '' },
      {
        Node: `host-${host}`,
        CheckID: `service:${service}-${i}`,
        Name: 'http',
        Status: 'passing',
        ServiceID: `${service}-${i}`,
      },
    ],
  }
}

/** The whole catalog as a snapshot document. */
export function catalogOf(size) {
  const services = {}
  for (let s = 0; s < size.services; s++) {
    services[`web-${s}`] = Array.from({ length: size.instances }, (_, i) => entryOf(size, s, i))
  }
  return { consul: { services } }
}
