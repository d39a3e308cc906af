import type { Urgent } from '../plan/urgent.ts'
import { setStateCommand, shutdownSessionsCommand } from '../render/server-line.ts'
import type { CliLimits } from './cli.ts'
import { connectWorker, type HaproxySockets } from './worker.ts'

export type Told = { readonly kind: 'told' } | { readonly kind: 'failed'; readonly why: string }

/**
 * Tells the worker that serves now, all in one go: about a millisecond. What it knows of them then is as it was told. For a
 * server that is gone, the requests that run on it are ended, and those that still try to reach it. Never rejects.
 */
export async function setStates(
  sockets: HaproxySockets,
  changes: readonly Urgent[],
  limits: CliLimits = {},
): Promise<Told> {
  const connection = await connectWorker(sockets, limits)
  if (!connection.ok) return { kind: 'failed', why: connection.why }
  const { runtime } = connection
  const commands = changes.flatMap(({ backend, server, state, isGone }) => [
    setStateCommand(backend, server, state),
    ...(isGone ? [shutdownSessionsCommand(backend, server)] : []),
  ])
  const answers = await Promise.all(commands.map((command) => runtime.ask(command))).finally(() => runtime.close())
  for (const [index, answer] of answers.entries()) {
    if (!answer.ok) return { kind: 'failed', why: answer.why }
    // silence is how HAProxy agrees
    if (answer.answer !== '') return { kind: 'failed', why: `${commands[index]}: ${answer.answer.slice(0, 200)}` }
  }
  return { kind: 'told' }
}
