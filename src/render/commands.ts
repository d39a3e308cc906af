import type { BackendId, ServerState, Step } from '../types.ts'
import { mapFiles, withFirstField } from './maps.ts'
import { addedServer, checkedBackendId, checkedSectionName, checkedServerName } from './server-line.ts'

/** A command of HAProxy's runtime API, with what it answers when all is well. */
export interface Command {
  readonly command: string
  /** Lines of `add map`. */
  readonly payload?: readonly string[]
  readonly accepts: RegExp
}

/** Where a backend sits in the running configuration: in the section of its name, or in a spare one. */
export type SectionOf = (backend: BackendId) => string

/** The key all edges make their cookies with, as the bundled template has it. */
const cookieKey = 'heddle'

/** Silence is how HAProxy agrees to most things. */
const silence = /^$/
/** In bytes; HAProxy 2.6 drops a payload of more than 16 kB without a word, 3.2 refuses it. */
const longestPayload = 12_000
/** With so few entries a command for each is as quick. */
const fewEntries = 20

/**
 * The commands of steps, in their order. Consecutive additions are sent in three waves (all servers, cookie keys of their
 * sections, all states), because a server that was added gets its cookie only with the next key of its section, and has to have
 * it before the first request.
 */
export function commandsOf(steps: readonly Step[], sectionOf: SectionOf, takesPayload: boolean): readonly Command[] {
  const commands: Command[] = []
  for (let at = 0; at < steps.length; at++) {
    const step = steps[at]
    if (step === undefined) break
    if (step.do !== 'add') {
      commands.push(...commandsOfStep(step, sectionOf, takesPayload))
      continue
    }
    const additions: Addition[] = []
    for (let next: Step | undefined = step; next?.do === 'add'; next = steps[++at]) additions.push(next)
    at--
    commands.push(...additionCommands(additions, sectionOf))
  }
  return commands
}

type Addition = Extract<Step, { do: 'add' }>

function additionCommands(additions: readonly Addition[], sectionOf: SectionOf): readonly Command[] {
  const keyed = new Set<string>()
  const states: Command[] = []
  const servers = additions.map(({ backend, section, server }): Command => {
    const name = checkedSectionName(sectionOf(backend))
    const { words } = addedServer(server, section)
    if (section.sticky !== null) keyed.add(name)
    if (server.state !== 'maint') states.push(stateCommand(name, server.name, server.state))
    return { command: `add server ${name}/${server.name} ${words}`, accepts: /^New server registered/ }
  })
  const keys = [...keyed].map((name): Command => {
    return { command: `set dynamic-cookie-key backend ${name} ${cookieKey}`, accepts: silence }
  })
  return [...servers, ...keys, ...states]
}

function stateCommand(section: string, server: string, state: ServerState): Command {
  return { command: `set server ${section}/${checkedServerName(server)} state ${state}`, accepts: silence }
}

function commandsOfStep(
  step: Exclude<Step, Addition>,
  sectionOf: SectionOf,
  takesPayload: boolean,
): readonly Command[] {
  if (step.do === 'map') return mapCommands(step.file, step.changes, sectionOf, takesPayload)
  if (step.do === 'seat') {
    const [spare, id] = [checkedSectionName(step.spare), checkedBackendId(step.backend)]
    return [{ command: `add map ${mapFiles.seats} ${spare} ${id}`, accepts: silence }]
  }
  // one that was shut down can't be opened again; that takes a reload
  if (step.do === 'open') return [{ command: `enable frontend ${checkedServerName(step.frontend)}`, accepts: silence }]
  const section = checkedSectionName(sectionOf(step.backend))
  const server = `${section}/${checkedServerName(step.server)}`
  switch (step.do) {
    case 'weigh':
      return [{ command: `set server ${server} weight ${step.weight}`, accepts: silence }]
    case 'state':
      // a server that somebody has declared down stays so in any state
      return step.state === 'ready'
        ? [stateCommand(section, step.server, 'ready'), { command: `set server ${server} health up`, accepts: silence }]
        : [stateCommand(section, step.server, step.state)]
    case 'limit':
      return [{ command: `set maxconn server ${server} ${step.maxconn ?? 0}`, accepts: silence }]
    case 'readdress': {
      const [, address, port] = /^([\d.]+):(\d+)$/.exec(step.server) ?? []
      const accepts = /changed from|no need to change|nothing changed/
      return [{ command: `set server ${server} addr ${address} port ${port}`, accepts }]
    }
    case 'shutdown':
      return [{ command: `shutdown sessions server ${server}`, accepts: /^$|^No such server/ }]
    case 'delete':
      // it does no harm where it is, whatever keeps it there
      return [{ command: `del server ${server}`, accepts: /^/ }]
  }
}

// ---------------------------------------------------------------------------------------------- maps

/** New entries first, so that no request is between two of them; a value is told by the section its backend sits in. */
function mapCommands(
  file: string,
  changes: Extract<Step, { do: 'map' }>['changes'],
  sectionOf: SectionOf,
  takesPayload: boolean,
): readonly Command[] {
  const additions: string[] = []
  const others: Command[] = []
  for (const [key, change] of changes) {
    if (change.to === null) others.push({ command: `del map ${file} ${key}`, accepts: silence })
    else {
      const value = file === mapFiles.routes ? withFirstField(change.to, sectionOf) : change.to
      const entry = `${key} ${value}`
      if (change.from === null) additions.push(entry)
      else others.push({ command: `set map ${file} ${entry}`, accepts: silence })
    }
  }
  const single = additions.length <= fewEntries || !takesPayload
  const first = single
    ? additions.map((entry): Command => ({ command: `add map ${file} ${entry}`, accepts: silence }))
    : chunks(additions).map((payload): Command => ({ command: `add map ${file} <<`, payload, accepts: silence }))
  return [...first, ...others]
}

function chunks(lines: readonly string[]): readonly (readonly string[])[] {
  const all: string[][] = []
  let size = Number.POSITIVE_INFINITY
  for (const line of lines) {
    const length = Buffer.byteLength(line) + 1
    if (size + length > longestPayload) {
      all.push([])
      size = 0
    }
    all.at(-1)?.push(line)
    size += length
  }
  return all
}
