import { parse } from 'yaml'
import { z } from 'zod'

/** One registered container of the demo. */
export interface SampleInstance {
  /** Unique in the demo; it is also the name of the container. */
  readonly id: string
  readonly service: string
  readonly node: string
  /** Of the host's bridge, never of a container. */
  readonly nodeAddress: string
  readonly address: string
  readonly port: number
  readonly tags: readonly string[]
  readonly meta: Readonly<Record<string, string>>
  readonly health: 'passing' | 'critical'
}

const entrySchema = z.object({
  Node: z.object({ Node: z.string(), Address: z.string() }),
  Service: z.object({
    ID: z.string(),
    Service: z.string(),
    Address: z.string(),
    Port: z.number(),
    Tags: z.array(z.string()),
    Meta: z.record(z.string(), z.string()),
    CreateIndex: z.number(),
  }),
  Checks: z.array(z.object({ CheckID: z.string(), ServiceID: z.string(), Status: z.enum(['passing', 'critical']) })),
})

const documentSchema = z.object({ consul: z.object({ services: z.record(z.string(), z.array(entrySchema)) }) })

/** What `GET /v1/health/service/NAME` answers for one instance, as far as heddle reads it. */
export type CatalogEntry = z.infer<typeof entrySchema>

/** Reads a snapshot document that holds nothing unusual; throws on any other. */
export function readSample(text: string): readonly SampleInstance[] {
  const document = documentSchema.parse(parse(text))
  return Object.values(document.consul.services)
    .flat()
    .map(({ Node, Service, Checks }) => ({
      id: Service.ID,
      service: Service.Service,
      node: Node.Node,
      nodeAddress: Node.Address,
      address: Service.Address,
      port: Service.Port,
      tags: Service.Tags,
      meta: Service.Meta,
      health: Checks.some((check) => check.Status === 'critical') ? 'critical' : 'passing',
    }))
}

export function toEntry(instance: SampleInstance, createIndex: number): CatalogEntry {
  return {
    Node: { Node: instance.node, Address: instance.nodeAddress },
    Service: {
      ID: instance.id,
      Service: instance.service,
      Address: instance.address,
      Port: instance.port,
      Tags: [...instance.tags],
      Meta: { ...instance.meta },
      CreateIndex: createIndex,
    },
    Checks: [{ CheckID: `service:${instance.id}`, ServiceID: instance.id, Status: instance.health }],
  }
}
