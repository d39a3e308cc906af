import type { FastifyInstance } from 'fastify'
import { z } from 'zod'
import type { State } from '../control/state.ts'
import { textsOf } from '../render/config.ts'
import { encodeDocument } from '../sources/snapshot-document.ts'
import type { Candidate, Decision } from '../types.ts'
import { notYet } from './not-yet.ts'

/** Whole documents, for commands of whoever may connect to the control socket: too large and too telling for the status endpoint. */

/** Files of the wanted revision, by name. */
export const candidateView = z.object({
  hash: z.string(),
  routesHash: z.string(),
  structure: z.string(),
  files: z.record(z.string(), z.string()),
})
export type CandidateView = z.infer<typeof candidateView>

export function candidateViewOf(candidate: Candidate): CandidateView {
  const { hash, routesHash, structure } = candidate
  return { hash, routesHash, structure, files: Object.fromEntries(textsOf(candidate)) }
}

/** What was admitted, as a snapshot document: what a failing source says now is not in it. */
export function snapshotOf({ memory }: Decision, prefix: string): string {
  const { catalog, engines, weave } = memory
  return encodeDocument({ catalog, engines, weave, memory }, prefix)
}

export function addDocuments(app: FastifyInstance, state: () => State, prefix: () => string): void {
  app.get('/control/v1/candidate', (_request, reply) => {
    const { candidate } = state()
    return candidate === null ? reply.code(503).send(notYet(state())) : reply.send(candidateViewOf(candidate))
  })
  app.get('/control/v1/snapshot', (_request, reply) => {
    const { decision } = state()
    if (decision === null) return reply.code(503).send(notYet(state()))
    return reply.type('application/json').send(snapshotOf(decision, prefix()))
  })
}
