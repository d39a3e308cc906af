import { z } from 'zod'
import { engineUrl, path } from './places.ts'
import type { Reader } from './values.ts'

/** What happens when a setting changes while heddle runs: it counts at once, or it waits for a restart. */
export type Change = 'hot' | 'restart'

/** All that is known of a setting beside how its value is read. */
export interface SettingFacts {
  /** In words, for docs. */
  readonly type: string
  readonly kind: 'text' | 'list' | 'map'
  /** As one would write it; null: none. */
  readonly default: string | readonly string[] | null
  readonly change: Change
  readonly meaning: string
  /** Never shown, in no form and nowhere. */
  readonly isSecret: boolean
  readonly isPath: boolean
}

export const settingFacts = z.registry<SettingFacts>()

/** What all settings are made of before they are read. */
function textOf<T>(reader: Reader<T>) {
  return z.string({ error: reader.describe }).transform((text, context): T => {
    const result = reader.read(text)
    if (result.ok) return result.value
    context.addIssue({ code: 'custom', message: result.expected, input: text })
    return z.NEVER
  })
}

/** `standard` is the default as one would write it. */
export function setting<T>(reader: Reader<T>, standard: string, change: Change, meaning: string) {
  return textOf(reader)
    .prefault(standard)
    .register(settingFacts, {
      type: reader.describe,
      kind: 'text',
      default: standard,
      change,
      meaning,
      isSecret: false,
      isPath: reader.isPath ?? false,
    })
}

const mostEntries = 1000

export function settingList<T>(reader: Reader<T>, standard: readonly string[], change: Change, meaning: string) {
  const error = `a list, each entry ${reader.describe}`
  return z
    .array(textOf(reader), { error })
    .max(mostEntries, { error: `at most ${mostEntries} entries` })
    .readonly()
    .prefault([...standard])
    .register(settingFacts, {
      type: `list; each entry ${reader.describe}`,
      kind: 'list',
      default: standard,
      change,
      meaning,
      isSecret: false,
      isPath: false,
    })
}

/** Absent unless written: no word stands for its absence, because any text may be one. */
export function settingSecret(reader: Reader<string>, change: Change, meaning: string) {
  return textOf(reader).nullable().prefault(null).register(settingFacts, {
    type: reader.describe,
    kind: 'text',
    default: null,
    change,
    meaning,
    isSecret: true,
    isPath: false,
  })
}

/** A Docker engine as written; `url` begins with unix://, tcp://, http:// or https://. */
export interface DockerEndpoint {
  readonly url: string
  /** Paths of PEM files; null: not given. */
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
}

const engineWithTls = z
  .strictObject(
    {
      url: textOf(engineUrl),
      ca: textOf(path('a PEM file')).optional(),
      cert: textOf(path('a PEM file')).optional(),
      key: textOf(path('a PEM file')).optional(),
    },
    {
      error: (issue) =>
        issue.code === 'unrecognized_keys' ? 'url, ca, cert and key only' : 'a URL, or a map of url, ca, cert and key',
    },
  )
  .refine(({ cert, key }) => (cert === undefined) === (key === undefined), { error: 'cert and key together' })

const engine = z.unknown().transform((value, context): DockerEndpoint => {
  const result = engineWithTls.safeParse(typeof value === 'string' ? { url: value } : value)
  if (result.success) {
    const { url, ca = null, cert = null, key = null } = result.data
    return { url, ca, cert, key }
  }
  for (const { message, path } of result.error.issues) {
    context.addIssue({ code: 'custom', message, path: typeof value === 'string' ? [] : path })
  }
  return z.NEVER
})

const nodeName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/

/** Docker engines by Consul node, or null for the local socket, if there is one. */
export function settingEngines(change: Change, meaning: string) {
  const type = 'map of Consul nodes to the URL of their Docker engine, or to {url, ca, cert, key}; or `local`'
  return z
    .unknown()
    .transform((value, context): ReadonlyMap<string, DockerEndpoint> | null => {
      if (value === 'local') return null
      if (typeof value !== 'object' || value === null || Array.isArray(value)) {
        context.addIssue({ code: 'custom', message: `a ${type}` })
        return z.NEVER
      }
      const engines = new Map<string, DockerEndpoint>()
      for (const [node, written] of Object.entries(value)) {
        const result = engine.safeParse(written)
        if (result.success && nodeName.test(node)) engines.set(node, result.data)
        else if (result.success) context.addIssue({ code: 'custom', message: 'names of Consul nodes', path: [node] })
        for (const { message, path } of result.error?.issues ?? []) {
          context.addIssue({ code: 'custom', message, path: [node, ...path] })
        }
      }
      return engines
    })
    .prefault('local')
    .register(settingFacts, {
      type,
      kind: 'map',
      default: 'local',
      change,
      meaning,
      isSecret: false,
      isPath: false,
    })
}

/** A group of settings; unknown keys are refused. */
export function section<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, { error: 'a map of settings' }).readonly()
}
