import type { Environment } from '../settings/environment.ts'
import { readSettingsFile } from '../settings/file.ts'
import { type LoadedSettings, loadSettings } from '../settings/load.ts'
import { describeProblems } from '../settings/problems.ts'
import type { Settings } from '../settings/schema.ts'

/** Where a command writes to and what it may look at: the only way commands see the process. */
export interface Io {
  readonly stdout: (text: string) => void
  readonly stderr: (text: string) => void
  readonly env: Environment
  readonly isRoot: boolean
  /** stdout is a terminal that shows colours. */
  readonly isColoured: boolean
  /** stderr, where log lines go, is a terminal. */
  readonly isLogTerminal: boolean
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal
  /** Calls back on every SIGHUP. */
  readonly onHangup: (listener: () => void) => void
}

/** Options that stand before the command. */
export interface GlobalOptions {
  readonly config: string | null
  /** By dotted key. */
  readonly flags: ReadonlyMap<string, string>
}

/** `done`, `failed`, `wrong` usage or settings, and for `render --diff` and `lint` that something was found. */
export const exitCodes = { done: 0, failed: 1, wrong: 2, found: 3 } as const
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes]

/** Reads the settings anew, from file, environment and flags. A file that can't be read is a problem like others. */
export async function readSettings(options: GlobalOptions, io: Pick<Io, 'env' | 'isRoot'>): Promise<LoadedSettings> {
  const { config, flags } = options
  // names the file, so it is no setting in it
  const { HEDDLE_CONFIG: _, ...env } = io.env
  if (config === null) return loadSettings({ file: null, env, flags, isRoot: io.isRoot })
  const read = await readSettingsFile(config)
  if (read.kind === 'invalid') return read
  return loadSettings({ file: read.file, env, flags, isRoot: io.isRoot })
}

/** The settings, or null after what is wrong with them was written to stderr. */
export async function settingsOrComplain(options: GlobalOptions, io: Io): Promise<Settings | null> {
  const loaded = await readSettings(options, io)
  if (loaded.kind === 'ok') return loaded.settings
  io.stderr(`${describeProblems(loaded.problems)}\n`)
  return null
}
