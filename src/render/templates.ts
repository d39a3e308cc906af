import { createHash } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Script } from 'node:vm'
import { Eta } from 'eta/core'
import { codeOf, messageOf } from '../errors.ts'
import { misplacedInBackend, misplacedInConfig } from './placement.ts'
import type { BackendView, ConfigView, Printed, Template, TemplateProblem } from './views.ts'

export interface Templates {
  /** sha256 over the sources, 64 hexadecimal digits. */
  readonly hash: string
  config(view: ConfigView): Printed
  backend(view: BackendView): Printed
}

export type LoadedTemplates =
  | { readonly kind: 'loaded'; readonly templates: Templates }
  | { readonly kind: 'invalid'; readonly problems: readonly TemplateProblem[] }

const bundled = fileURLToPath(new URL('../../templates/', import.meta.url))
const names = { config: 'haproxy.cfg.eta', backend: 'backend.eta' } as const
const longestSource = 1_000_000

/**
 * Reads the bundled templates, with the files of `directory` in place of those of the same name, and proves that they put
 * everything where it has to be by printing samples. Other files of the directory are no concern of heddle.
 */
export async function loadTemplates(directory: string | null): Promise<LoadedTemplates> {
  if (directory !== null && !(await isDirectory(directory))) {
    const hint = 'set templates to a directory that heddle may read, or leave it out'
    return { kind: 'invalid', problems: [{ file: directory, line: null, reason: 'it is no readable directory', hint }] }
  }
  const [config, backend] = await Promise.all([
    load<ConfigView>(names.config, directory),
    load<BackendView>(names.backend, directory),
  ])
  if (!('print' in config) || !('print' in backend)) {
    return { kind: 'invalid', problems: [config, backend].filter((one) => 'reason' in one) }
  }
  const problems = [...misplacedInConfig(config), ...misplacedInBackend(backend)]
  if (problems.length > 0) return { kind: 'invalid', problems }
  const hash = createHash('sha256').update(`${config.source}\0${backend.source}`).digest('hex')
  return { kind: 'loaded', templates: { hash, config: config.print, backend: backend.print } }
}

async function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
}

async function load<View extends object>(
  name: string,
  directory: string | null,
): Promise<Template<View> | TemplateProblem> {
  const own = directory === null ? null : await read(join(directory, name))
  const found = own ?? (await read(join(bundled, name)))
  if (found === null) throw new Error(`expected the bundled template ${name} in ${bundled}`)
  if ('reason' in found) {
    return { ...found, line: null, hint: 'a template is a UTF-8 text file that heddle may read, of at most 1 MB' }
  }
  return compile<View>(found.file, found.source)
}

/** Null: there is no such file. */
async function read(file: string): Promise<{ file: string; source: string } | { file: string; reason: string } | null> {
  try {
    const found = await stat(file)
    if (!found.isFile()) return { file, reason: 'it is no file' }
    if (found.size > longestSource) return { file, reason: `it is ${found.size} bytes long` }
    const source = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file))
    return { file, source: source.replaceAll('\r\n', '\n') }
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return null
    return { file, reason: messageOf(error) }
  }
}

/**
 * The names of the options are Eta's. `autoEscape` would escape for HTML and `autoTrim` would eat the newline
 * after a tag. `eta/core` has no way to files, so `include` and `layout` of anything are errors.
 */
const eta = new Eta({ autoEscape: false, autoTrim: false, cache: false, debug: true })

function compile<View extends object>(file: string, source: string): Template<View> | TemplateProblem {
  try {
    const run = eta.compile(source)
    return {
      file,
      source,
      print(view) {
        try {
          return { kind: 'text', text: run.call(eta, view, {}) }
        } catch (error) {
          return { kind: 'threw', file, ...fault(error) }
        }
      },
    }
  } catch (error) {
    const { line, reason } = fault(error)
    const hint = 'tags are <%= value %> and <% statement %>, in JavaScript'
    return { file, line: line ?? syntaxErrorLine(source), reason, hint }
  }
}

/** Eta says the line in its message and keeps the template's own error, if there is one, as the cause. */
function fault(error: unknown): { readonly line: number | null; readonly reason: string } {
  const message = messageOf(error)
  const line = /^line (\d+)\n/.exec(message)?.[1] ?? / at line (\d+) col \d+:/.exec(message)?.[1]
  const cause = error instanceof Error && error.cause !== undefined ? messageOf(error.cause) : null
  const reason = cause ?? message.replace(/^Bad template syntax\s+/, '').split(' at line ')[0] ?? message
  return { line: line === undefined ? null : Number(line), reason: reason.split('\n')[0]?.slice(0, 200) ?? '' }
}

/** Eta doesn't say where JavaScript in a template is wrong; V8 does, in the code that Eta made, which notes its lines. */
function syntaxErrorLine(source: string): number | null {
  try {
    const code = eta.compileToString(source)
    try {
      new Script(`(function () {\n${code}\n})`, { filename: 'template' })
      return null
    } catch (error) {
      const at = error instanceof Error ? /^template:(\d+)/.exec(error.stack ?? '')?.[1] : undefined
      const before = code.split('\n').slice(0, at === undefined ? 0 : Number(at) - 1)
      const noted = before.findLast((line) => line.startsWith('__eta.line='))
      return noted === undefined ? null : Number(noted.slice('__eta.line='.length))
    }
  } catch {
    return null
  }
}
