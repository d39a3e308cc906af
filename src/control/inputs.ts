import type { Log, LogControl } from '../log.ts'
import { loadTemplates, type Templates } from '../render/templates.ts'
import type { TemplateProblem } from '../render/views.ts'
import { changedKeys, withRestartKeysKept } from '../settings/changes.ts'
import type { LoadedSettings } from '../settings/load.ts'
import { describeProblems } from '../settings/problems.ts'
import { modelSettings, renderSettings } from '../settings/projections.ts'
import type { Settings } from '../settings/schema.ts'
import { watchFile } from '../sources/watched-file.ts'
import type { ModelSettings, Ms, RenderSettings } from '../types.ts'
import type { PacingSettings } from './pacing.ts'

/** What the loop needs to know of the settings. */
export interface LoopSettings extends PacingSettings {
  readonly model: ModelSettings
  readonly render: RenderSettings
  readonly persist: Ms
  /** How often all of what runs is read back. */
  readonly verify: Ms
  /** How old files may be that a HAProxy of ours is started with before the catalog has spoken; Infinity: any age. */
  readonly maxStartAge: Ms
}

/** Settings and templates in force. A wrong new version of either is a notice, and the old one stays. */
export interface Inputs {
  readonly settings: () => Settings
  /** The same as the loop needs them; parts that did not change keep their identity. */
  readonly loopSettings: () => LoopSettings
  readonly templates: () => Templates
  /** By `settings` or `templates`: why a new version is not taken. */
  readonly notices: () => ReadonlyMap<string, string>
}

export interface InputOptions {
  readonly settings: Settings
  readonly templates: Templates
  /** Reads file, environment and flags again. */
  readonly reread: () => Promise<LoadedSettings>
  /** Followed, when there is one. */
  readonly settingsFile: string | null
  readonly onHangup: (listener: () => void) => void
  /** Called after each reading, with what it was of. */
  readonly onRead: (what: 'settings' | 'templates') => void
  readonly changeLog: LogControl['change']
  readonly log: Log
  readonly signal: AbortSignal
}

/** Keeps settings and templates in step with their files, and settings with SIGHUP, until `signal` is aborted. */
export function followInputs(options: InputOptions): Inputs {
  const { log, signal, onRead } = options
  const notices = new Map<string, string>()
  let { settings, templates } = options
  let loopSettings = loopSettingsOf(settings, null)

  const readSettings = async () => {
    const loaded = await options.reread()
    notices.delete('settings')
    if (loaded.kind === 'invalid') notices.set('settings', describeProblems(loaded.problems))
    else {
      const { hot, restart } = changedKeys(settings, loaded.settings)
      if (restart.length > 0) notices.set('settings', `a restart is needed for the change of ${restart.join(', ')}`)
      if (hot.length > 0) {
        log.info({ keys: hot }, 'settings changed')
        settings = withRestartKeysKept(settings, loaded.settings)
        loopSettings = loopSettingsOf(settings, loopSettings)
        options.changeLog(settings.log)
      }
    }
    onRead('settings')
  }
  const readTemplates = async () => {
    const loaded = await loadTemplates(settings.templates)
    notices.delete('templates')
    if (loaded.kind === 'invalid') notices.set('templates', templateFault(loaded.problems))
    else if (loaded.templates.hash !== templates.hash) templates = loaded.templates
    onRead('templates')
  }
  const cannotWatch = (error: unknown) => log.warn({ err: error }, 'a file can not be followed; use SIGHUP')
  const settingsReader = oneAtATime(readSettings)
  options.onHangup(settingsReader)
  if (options.settingsFile !== null) watchFile(options.settingsFile, settingsReader, signal, cannotWatch)
  if (settings.templates !== null) watchFile(settings.templates, oneAtATime(readTemplates), signal, cannotWatch)
  return {
    settings: () => settings,
    loopSettings: () => loopSettings,
    templates: () => templates,
    notices: () => notices,
  }
}

/** What is wrong with templates, a line each. */
export function templateFault(problems: readonly TemplateProblem[]): string {
  return problems.map(({ file, line, reason, hint }) => `${file}:${line ?? '?'}: ${reason}; ${hint}`).join('\n')
}

function loopSettingsOf(settings: Settings, before: LoopSettings | null): LoopSettings {
  const { settle, tidy, reloadEvery, persist, verify } = settings.apply
  const { maxStartAge } = settings.haproxy
  const [model, render] = [modelSettings(settings), renderSettings(settings)]
  return {
    model: before !== null && isSameText(before.model, model) ? before.model : model,
    render: before !== null && isSameText(before.render, render) ? before.render : render,
    settle,
    tidy,
    reloadEvery,
    persist,
    verify,
    maxStartAge: maxStartAge === 'forever' ? Number.POSITIVE_INFINITY : maxStartAge,
  }
}

function isSameText(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** However often it is called, the work runs once at a time, and once more if it was asked for meanwhile. */
function oneAtATime(work: () => Promise<void>): () => void {
  let isRunning = false
  let isAsked = false
  const run = async () => {
    isRunning = true
    try {
      do {
        isAsked = false
        await work()
      } while (isAsked)
    } finally {
      isRunning = false
    }
  }
  return () => {
    isAsked = true
    if (!isRunning) void run()
  }
}
