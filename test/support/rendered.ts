import { observeRunning } from '../../src/haproxy/observe.ts'
import { withWordsOf } from '../../src/plan/running.ts'
import { renderCandidate } from '../../src/render/config.ts'
import { loadTemplates } from '../../src/render/templates.ts'
import type { Candidate, Model, RenderSettings, Running } from '../../src/types.ts'
import { install, startHaproxy, type WorkFolder, workFolder } from './haproxy.ts'
import { renderSettings } from './models.ts'
import { freePorts } from './ports.ts'

/** A real HAProxy with its master that runs what was rendered from a model by the bundled templates. */

export interface RenderedSite {
  readonly folder: WorkFolder
  readonly candidate: Candidate
  /** As it was read back after its start, with what is known of its servers. */
  readonly running: Running
  /** Of another model, with the same settings. */
  readonly render: (made: Model) => Candidate
}

export async function renderedSite(made: Model, change: Partial<RenderSettings> = {}): Promise<RenderedSite> {
  const free = await workFolder()
  // all at once: one after the other could be the same
  const [port = 0, stats = 0] = await freePorts(2, free.address)
  const folder = { ...free, port }
  const settings: RenderSettings = {
    ...renderSettings,
    bind: [`${folder.address}:${port}`],
    statsBind: `${folder.address}:${stats}`,
    statsSocket: folder.statsSocket,
    ...change,
  }
  const loaded = await loadTemplates(null)
  if (loaded.kind === 'invalid') throw new Error(JSON.stringify(loaded.problems))
  const render = (other: Model) => {
    const rendering = renderCandidate(other, loaded.templates, settings)
    if (rendering.kind === 'failed') throw new Error(rendering.reason)
    return rendering.candidate
  }
  const candidate = render(made)
  await install(folder, candidate)
  await startHaproxy(folder)
  return { folder, candidate, running: withWordsOf(await readBack(folder), made), render }
}

/** All of it, as HAProxy has it now. */
export async function readBack(folder: WorkFolder): Promise<Running> {
  const observed = await observeRunning(folder)
  if (observed.kind === 'absent') throw new Error(observed.why)
  return observed.running
}

/** Without what HAProxy doesn't tell, and can't have told. */
export function wordless(running: Running): Running {
  const servers = [...running.servers].map(
    ([id, own]) => [id, new Map([...own].map(([name, server]) => [name, { ...server, words: null }]))] as const,
  )
  return { ...running, servers: new Map(servers) }
}
