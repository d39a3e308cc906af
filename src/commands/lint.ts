import { escapeUnprintable } from '../printable.ts'
import type { ProblemView } from '../status/views.ts'
import { type ExitCode, exitCodes, type Io } from './context.ts'
import { painter } from './table.ts'
import type { View } from './view.ts'

/** Shows every problem of the catalog; `found` when there is one, or when not all of it could be read. */
export async function lint(view: View, options: { readonly json: boolean }, io: Io): Promise<ExitCode> {
  const problems = await view.problems()
  if (options.json) io.stdout(`${JSON.stringify(problems, null, 2)}\n`)
  else if (problems.length > 0) io.stdout(printProblems(problems, io))
  else io.stdout(view.notes.length === 0 ? 'no problems\n' : 'no problems in what could be read\n')
  return problems.length + view.notes.length === 0 ? exitCodes.done : exitCodes.found
}

function printProblems(problems: readonly ProblemView[], io: Io): string {
  const paint = painter(io.isColoured)
  const blocks = problems.map(({ code, service, instance, subject, reason, hint }) => {
    const where = escapeUnprintable(instance === null ? service : `${service} (${instance})`)
    return `${paint(code, 'red')}  ${where}\n  ${subject}\n  ${reason}\n  ${paint('→', 'cyan')} ${hint}\n`
  })
  return `${blocks.join('\n')}\n${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}\n`
}
