import { rm, writeFile } from 'node:fs/promises'
import { type ExitCode, exitCodes, type Io } from './context.ts'
import type { View } from './view.ts'

/** Writes the live input as one document, to a file that only its owner can read or to stdout. */
export async function snapshot(view: View, options: { readonly out: string | null }, io: Io): Promise<ExitCode> {
  const text = await view.snapshot()
  if (options.out === null) {
    io.stdout(text)
    return exitCodes.done
  }
  // an existing file would keep its mode
  await rm(options.out, { force: true })
  await writeFile(options.out, text, { mode: 0o600, flag: 'wx' })
  io.stderr(`written to ${options.out}\n`)
  return exitCodes.done
}
