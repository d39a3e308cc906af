import { runDaemon } from '../daemon.ts'
import { createLogger } from '../log.ts'
import { type ExitCode, exitCodes, type GlobalOptions, type Io, readSettings, settingsOrComplain } from './context.ts'

/** Follows the catalog and keeps HAProxy in step until the signal comes. */
export async function run(options: GlobalOptions, snapshot: string | null, io: Io): Promise<ExitCode> {
  const settings = await settingsOrComplain(options, io)
  if (settings === null) return exitCodes.wrong
  const isColoured = io.isLogTerminal && (io.env['NO_COLOR'] ?? '') === ''
  const { log, change } = createLogger({ ...settings.log, isTerminal: io.isLogTerminal, isColoured })
  const ended = await runDaemon({
    settings,
    reread: () => readSettings(options, io),
    settingsFile: options.config,
    snapshot,
    log,
    changeLog: change,
    signal: io.signal,
    onHangup: io.onHangup,
  })
  switch (ended.kind) {
    case 'ended':
      return exitCodes.done
    case 'wrong':
      io.stderr(`heddle: ${ended.why}\n`)
      return exitCodes.wrong
    case 'failed':
      io.stderr(`heddle: ${ended.why}\n`)
      return exitCodes.failed
  }
}
