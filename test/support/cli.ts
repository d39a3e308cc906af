import { connectRuntime } from '../../src/haproxy/cli.ts'
import type { WorkFolder } from './haproxy.ts'

/** What somebody tells the running HAProxy over its stats socket. Rejects when it does not take one of them. */
export async function commandsTo(folder: WorkFolder, ...commands: readonly string[]): Promise<void> {
  const connection = await connectRuntime(folder.statsSocket)
  if (!connection.ok) throw new Error(connection.why)
  for (const command of commands) {
    const answer = await connection.runtime.ask(command)
    const text = answer.ok ? answer.answer : answer.why
    if (!/^$|^Server deleted\.$|changed from|port changed/.test(text)) throw new Error(`${command}: ${text}`)
  }
  connection.runtime.close()
}
