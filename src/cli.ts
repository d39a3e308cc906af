#!/usr/bin/env node
import { setMaxListeners } from 'node:events'
import { Command, CommanderError, Help, InvalidArgumentError, Option } from 'commander'
import { type ExitCode, exitCodes, type GlobalOptions, type Io, settingsOrComplain } from './commands/context.ts'
import { demo } from './commands/demo.ts'
import { explain } from './commands/explain.ts'
import { lint } from './commands/lint.ts'
import { render } from './commands/render.ts'
import { routes } from './commands/routes.ts'
import { run } from './commands/run.ts'
import { snapshot } from './commands/snapshot.ts'
import { openView, type View, ViewError } from './commands/view.ts'
import { stackOf } from './errors.ts'
import { escapeUnprintable } from './printable.ts'
import { parseDuration } from './settings/durations.ts'
import type { Settings } from './settings/schema.ts'
import { longestUrl, methodPattern } from './status/operations.ts'
import { version } from './version.ts'

/** Flags for the settings that are changed most; all others by `--set KEY=VALUE`. */
const commonFlags = [
  ['--consul-address <url>', 'consul.address', 'the Consul agent, http://127.0.0.1:8500 by default'],
  ['--directory <path>', 'haproxy.directory', 'where the files for HAProxy are, /var/lib/heddle by default'],
  ['--haproxy-bin <path>', 'haproxy.bin', 'the haproxy binary'],
  ['--process <kind>', 'haproxy.process', '`attach` to a HAProxy that runs beside us, or `spawn` one'],
  ['--bind <list>', 'haproxy.bind', 'listeners of HAProxy, :80 by default'],
  ['--status-listen <address>', 'status.listen', 'status page, API and metrics, 127.0.0.1:8480 by default'],
  ['--expose-domain <domain>', 'expose.domain', 'domain of services that name no host of their own'],
  ['--log-level <level>', 'log.level', 'error, warn, info, debug or trace'],
  ['--log-format <format>', 'log.format', 'auto, pretty or json'],
] as const

const controller = new AbortController()
// every source and every question waits on it
setMaxListeners(0, controller.signal)
const hangups = new Set<() => void>()
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => controller.abort())
process.on('SIGHUP', () => {
  for (const listener of hangups) listener()
})
// a reader such as `head` that has seen enough is no failure
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

const noColour = (process.env['NO_COLOR'] ?? '') !== ''
const io: Io = {
  stdout: (text) => process.stdout.write(text),
  stderr: (text) => process.stderr.write(text),
  env: process.env,
  isRoot: process.getuid?.() === 0,
  isColoured: process.stdout.isTTY === true && !noColour,
  isLogTerminal: process.stderr.isTTY === true,
  signal: controller.signal,
  onHangup: (listener) => hangups.add(listener),
}

let exitCode: ExitCode = exitCodes.done
try {
  await createProgram().parseAsync()
} catch (error) {
  exitCode = explainFailure(error)
}
process.exitCode = exitCode
// what is printed is written first; a library's idle timer must not keep a finished command alive
process.stdout.write('', () => process.exit())

function explainFailure(error: unknown): ExitCode {
  // help and version are thrown as well, with code 0; the text is out already
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.wrong
  if (error instanceof ViewError) io.stderr(`heddle: ${error.message}\n`)
  else if (isSystemError(error)) io.stderr(`heddle: ${error.message}\n`)
  else io.stderr(`heddle: this is a bug: ${stackOf(error)}\n`)
  return exitCodes.failed
}

function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error
}

function createProgram(): Command {
  const program = new Command('heddle')
    .description('Keeps HAProxy on port 80 in step with a Consul catalog of weave containers.')
    .version(version, '-V, --version')
    .option('-c, --config <file>', 'settings file (YAML); also HEDDLE_CONFIG')
    .option('--set <key=value>', 'any setting, repeatable: --set apply.reloadEvery=5s', collectSetting)
    .exitOverride()
    .configureHelp({ showGlobalOptions: true, optionDescription })
    .showHelpAfterError('(heddle --help teaches)')
    .addHelpText(
      'after',
      `
Settings come from flags, HEDDLE_... variables, the settings file and defaults, in this order.
Results go to stdout, log lines and progress to stderr.

Try it on this machine:       heddle demo
Beside a running HAProxy:     heddle run --consul-address http://127.0.0.1:8500
Why does a request go there?  heddle explain http://shop.example.com/api
What is wrong in the catalog? heddle lint

Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 differences or problems found.`,
    )
  for (const [flags, key, meaning] of commonFlags) {
    program.addOption(new Option(flags, `${meaning} (${key})`))
  }
  addRun(program)
  addRender(program)
  addRoutes(program)
  addExplain(program)
  addLint(program)
  addSnapshot(program)
  addDemo(program)
  return program
}

/** That a switch is off by default goes without saying. */
function optionDescription(option: Option): string {
  return option.defaultValue === false ? option.description : new Help().optionDescription(option)
}

function addRun(program: Command): void {
  program
    .command('run', { isDefault: true })
    .description('follow the catalog, keep HAProxy in step, serve the status endpoint (the default command)')
    .addOption(snapshotOption('follow this file instead of Consul, Docker and weave'))
    .addHelpText(
      'after',
      `
HAProxy must run as master-worker on <directory>/current/haproxy.cfg:
  haproxy -W -S /run/haproxy/master.sock,mode,660 -f /var/lib/heddle/current/haproxy.cfg
With --process spawn heddle starts it itself. SIGHUP reads the settings again; SIGTERM ends heddle
and leaves an attached HAProxy serving.`,
    )
    .allowExcessArguments()
    .action(async (options: { snapshot?: string }, command: Command) => {
      // the default command gets the words that name no other one
      const [unknown] = command.args
      if (unknown !== undefined) program.error(`error: unknown command '${unknown}'`)
      exitCode = await run(globalOptions(program), options.snapshot ?? null, io)
    })
}

function addRender(program: Command): void {
  program
    .command('render')
    .description('render once: haproxy.cfg on stdout, or all files into a folder')
    .option('--out <dir>', 'write all files there')
    .option('--diff', 'show the difference to what is installed; exit code 3 when there is one', false)
    .option('--check', 'run haproxy -c on it', false)
    .option('--json', 'all files and hashes as JSON', false)
    .addOption(snapshotOption())
    .addHelpText('after', '\nExample: heddle render --check --diff')
    .action(async (options: { out?: string; diff: boolean; check: boolean; json: boolean; snapshot?: string }) => {
      await withView(program, options.snapshot, (view, settings) =>
        render(view, { ...options, out: options.out ?? null }, settings, io),
      )
    })
}

function addRoutes(program: Command): void {
  program
    .command('routes')
    .description('the route table: host, path, service, instances and what proved their addresses')
    .option('--json', 'as JSON', false)
    .addOption(snapshotOption())
    .addHelpText('after', '\nA path ending in $ is matched exactly, one ending in * as a raw prefix.')
    .action(async (options: { json: boolean; snapshot?: string }) => {
      await withView(program, options.snapshot, (view) => routes(view, options, io))
    })
}

function addExplain(program: Command): void {
  program
    .command('explain')
    .argument('<url>', 'http://HOST/PATH, or just HOST/PATH', urlArgument)
    .description('which route takes a request and why')
    .option('-X, --method <method>', 'method of the request', methodArgument, 'GET')
    .option('--live', 'ask the running HAProxy as well and say if it differs', false)
    .option('--json', 'as JSON', false)
    .addOption(snapshotOption())
    .addHelpText('after', '\nExample: heddle explain --live http://shop.example.com/api/orders')
    .action(async (url: string, options: { method: string; live: boolean; json: boolean; snapshot?: string }) => {
      await withView(program, options.snapshot, (view) => explain(view, { ...options, url }, io))
    })
}

function addLint(program: Command): void {
  program
    .command('lint')
    .description('every problem in the catalog, and what to write instead; exit code 3 when there is one')
    .option('--json', 'as JSON', false)
    .addOption(snapshotOption())
    .addHelpText(
      'after',
      `
Each problem has a code that stays the same, the service and instance it is about, and a hint. Everything
else is served all the same.
Example: heddle lint --json | jq -r '.[] | select(.service == "shop") | .hint'`,
    )
    .action(async (options: { json: boolean; snapshot?: string }) => {
      await withView(program, options.snapshot, (view) => lint(view, options, io))
    })
}

function addSnapshot(program: Command): void {
  program
    .command('snapshot')
    .description('the live input as one JSON document, to attach to a ticket or to try things on')
    .option('--out <file>', 'write it to a file that only you can read')
    .addOption(snapshotOption('read this file, to write what heddle reads of it'))
    .addHelpText(
      'after',
      `
It holds what heddle reads and nothing else: no container environment, no check output, no foreign meta.
Example: heddle snapshot --out problem.json && heddle routes --snapshot problem.json`,
    )
    .action(async (options: { out?: string; snapshot?: string }) => {
      await withView(program, options.snapshot, (view) => snapshot(view, { out: options.out ?? null }, io))
    })
}

function addDemo(program: Command): void {
  program
    .command('demo')
    .description('the whole thing on this machine: containers that come and go, HAProxy, and proof by requests')
    .option('--for <duration>', 'end after this long; the exit code says whether all went well', durationArgument)
    .option('--port <number>', 'port of HAProxy; any free one by default', portArgument)
    .option('--json', 'one JSON object a line', false)
    .addHelpText(
      'after',
      '\nIt needs HAProxy and nothing else. A real Consul is used where one is found.\nExample: heddle demo --for 20s',
    )
    .action(async (options: { for?: number; port?: number; json: boolean }) => {
      const code = await demo({ for: options.for ?? null, port: options.port ?? null, json: options.json }, io)
      exitCode = code === 0 ? exitCodes.done : exitCodes.failed
    })
}

function snapshotOption(meaning = 'read this file instead of the live sources'): Option {
  return new Option('--snapshot <file>', meaning)
}

/** Reads settings, says where the answers come from, and runs one command on them. */
async function withView(
  program: Command,
  file: string | undefined,
  command: (view: View, settings: Settings) => Promise<ExitCode>,
): Promise<void> {
  const settings = await settingsOrComplain(globalOptions(program), io)
  if (settings === null) {
    exitCode = exitCodes.wrong
    return
  }
  const view = await openView(settings, file ?? null, controller.signal)
  for (const line of [view.origin, ...view.notes]) io.stderr(`${escapeUnprintable(line)}\n`)
  exitCode = await command(view, settings)
}

function globalOptions(program: Command): GlobalOptions {
  const options: Record<string, unknown> = program.opts()
  const flags = new Map(options['set'] instanceof Map ? options['set'] : [])
  for (const option of program.options) {
    const key = commonFlags.find(([written]) => written === option.flags)?.[1]
    const value = options[option.attributeName()]
    if (key !== undefined && typeof value === 'string') flags.set(key, value)
  }
  const config = options['config'] ?? process.env['HEDDLE_CONFIG']
  return { config: typeof config === 'string' ? config : null, flags }
}

function collectSetting(text: string, known: ReadonlyMap<string, string> = new Map()): ReadonlyMap<string, string> {
  const equals = text.indexOf('=')
  if (equals < 1) throw new InvalidArgumentError('expected KEY=VALUE, such as apply.reloadEvery=5s')
  return new Map([...known, [text.slice(0, equals), text.slice(equals + 1)]])
}

function durationArgument(text: string): number {
  const duration = parseDuration(text)
  if (duration === null) throw new InvalidArgumentError('expected a duration with its unit, such as 20s')
  return duration
}

function methodArgument(text: string): string {
  if (!methodPattern.test(text)) throw new InvalidArgumentError('expected a method in capital letters, such as POST')
  return text
}

function urlArgument(text: string): string {
  if (text === '' || text.length > longestUrl)
    throw new InvalidArgumentError(`expected a URL of at most ${longestUrl} characters`)
  return text
}

function portArgument(text: string): number {
  const port = /^[0-9]{1,5}$/.test(text) ? Number(text) : 0
  if (port < 1 || port > 65_535) throw new InvalidArgumentError('expected a port from 1 to 65535')
  return port
}
