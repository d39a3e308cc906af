import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createTwoFilesPatch } from 'diff'
import { checkConfiguration } from '../haproxy/check.ts'
import type { Settings } from '../settings/schema.ts'
import type { CandidateView } from '../status/documents.ts'
import { type ExitCode, exitCodes, type Io } from './context.ts'
import { painter } from './table.ts'
import type { View } from './view.ts'

export interface RenderOptions {
  readonly out: string | null
  readonly diff: boolean
  readonly check: boolean
  readonly json: boolean
}

/** Renders once: haproxy.cfg on stdout, all files into a folder, or the difference to what is installed. */
export async function render(view: View, options: RenderOptions, settings: Settings, io: Io): Promise<ExitCode> {
  const candidate = await view.candidate()
  if (options.out !== null) await writeFiles(candidate, options.out, io)
  if (options.check) {
    const refused = await check(candidate, settings.haproxy, io.signal)
    if (refused !== null) {
      io.stderr(`${refused}\n`)
      return exitCodes.failed
    }
    io.stderr(`${settings.haproxy.bin} -c accepts it\n`)
  }
  if (options.diff) return showDifference(candidate, settings, options.json, io)
  if (options.json) io.stdout(`${JSON.stringify(candidate, null, 2)}\n`)
  else if (options.out === null) io.stdout(candidate.files['haproxy.cfg'] ?? '')
  return exitCodes.done
}

async function writeFiles({ files }: CandidateView, folder: string, io: Io): Promise<void> {
  await mkdir(folder, { recursive: true })
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  io.stderr(`${Object.keys(files).length} files written to ${folder}\n`)
}

/** Why `haproxy -c` refuses the files; null: it accepts them. */
async function check(
  candidate: CandidateView,
  { bin, directory }: Settings['haproxy'],
  signal: AbortSignal,
): Promise<string | null> {
  // a container with a read-only root has no /tmp to write to, but the folder of the heddle that runs in it
  const folder = await temporaryFolder(tmpdir()).catch(() => temporaryFolder(directory))
  try {
    for (const [name, text] of Object.entries(candidate.files)) await writeFile(join(folder, name), text)
    const result = await checkConfiguration(bin, join(folder, 'haproxy.cfg'), { signal })
    if (result.kind === 'valid') return null
    return result.kind === 'invalid' ? result.output : result.why
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function temporaryFolder(parent: string): Promise<string> {
  return mkdtemp(join(parent, 'heddle-check-'))
}

async function showDifference({ files }: CandidateView, settings: Settings, json: boolean, io: Io): Promise<ExitCode> {
  const current = join(settings.haproxy.directory, 'current')
  const patches: { file: string; patch: string }[] = []
  for (const [file, text] of Object.entries(files)) {
    const installed = await readFile(join(current, file), 'utf8').catch(() => '')
    if (installed !== text) {
      const patch = createTwoFilesPatch(`installed/${file}`, `wanted/${file}`, installed, text, '', '', { context: 3 })
      patches.push({ file, patch: patch.replace(/^=+\n/, '') })
    }
  }
  if (json) io.stdout(`${JSON.stringify(patches, null, 2)}\n`)
  else io.stdout(patches.map(({ patch }) => colourPatch(patch, io)).join(''))
  return patches.length === 0 ? exitCodes.done : exitCodes.found
}

function colourPatch(patch: string, io: Io): string {
  const paint = painter(io.isColoured)
  const lines = patch.split('\n').map((line) => {
    if (line.startsWith('+')) return paint(line, 'green')
    return line.startsWith('-') ? paint(line, 'red') : line
  })
  return lines.join('\n')
}
