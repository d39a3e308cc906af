import { resolve } from 'node:path'
import { nearest } from '../nearest.ts'
import { type SettingKey, settingByKey, settingKeys } from './keys.ts'
import { harmlessName, show } from './problems.ts'
import { add, addShortForm, emptyLayer, type Layer, shortForms, unknownProblem, type Written } from './written.ts'
import { type Plain, parseYaml, plainOf } from './yaml.ts'

export type Environment = Readonly<Record<string, string | undefined>>

const settingByVariable = new Map(settingKeys.flatMap((setting) => setting.variables.map((name) => [name, setting])))
const groupByVariable = new Map(
  [...shortForms.keys()].map((key) => [`HEDDLE_${key.replaceAll('.', '_').toUpperCase()}`, key]),
)

/** What `HEDDLE_...` variables say. An empty variable is as good as none. */
export function readEnvironmentLayer(env: Environment): Layer {
  const layer = emptyLayer()
  const known = [...settingByVariable.keys(), ...groupByVariable.keys()]
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('HEDDLE_') || text === undefined) continue
    const setting = settingByVariable.get(name)
    const group = groupByVariable.get(name)
    if (setting === undefined && group === undefined) {
      layer.problems.push(unknownProblem(harmlessName(name), nearest(name, known), 'environment'))
    } else if (text !== '') addText(layer, setting?.key ?? group ?? '', text, name)
  }
  return layer
}

// A setting has several flags: one of its own perhaps, and the one that sets any key.
const commandLine = 'command line'

/** What flags say, by dotted key. A path may be relative to the working directory, as on any command line. */
export function readFlagLayer(flags: ReadonlyMap<string, string>): Layer {
  const layer = emptyLayer()
  for (const [key, text] of flags) {
    const setting = settingByKey.get(key)
    if (setting === undefined && !shortForms.has(key)) {
      const perhaps = nearest(key, [...settingByKey.keys()])
      layer.problems.push(unknownProblem(harmlessName(key), perhaps, commandLine))
    } else addText(layer, key, setting?.isPath ? absolute(text) : text, commandLine)
  }
  return layer
}

/** A path from the command line; a bare word is left alone, it may be a program's name or `none`. */
function absolute(text: string): string {
  return text.includes('/') ? resolve(text) : text
}

function addText(layer: Layer, key: string, text: string, where: string): void {
  const form = shortForms.get(key)
  if (form !== undefined) {
    addShortForm(layer, key, form, text, where)
    return
  }
  const setting = settingByKey.get(key)
  const value = setting === undefined ? undefined : plainFromText(setting, text)
  if (value !== undefined && value !== null) add(layer, key, { value, where: () => where })
  else layer.problems.push({ key, expected: setting?.type ?? 'a setting', got: 'text that is no YAML', where })
}

/** Lists are separated by commas or written as YAML, maps as YAML, of which JSON is a part. */
function plainFromText(setting: SettingKey, text: string): Plain | undefined {
  if (setting.kind === 'text') return text
  const isYaml = setting.kind === 'map' || /^\s*\[.*\]\s*$/s.test(text)
  if (isYaml) {
    const parsed = text.length > 65_536 ? null : parseYaml(text)
    return parsed?.ok ? plainOf(parsed.root) : undefined
  }
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
}

const consulFiles = [
  ['CONSUL_HTTP_TOKEN_FILE', 'consul.tokenFile'],
  ['CONSUL_CACERT', 'consul.tls.ca'],
  ['CONSUL_CLIENT_CERT', 'consul.tls.cert'],
  ['CONSUL_CLIENT_KEY', 'consul.tls.key'],
] as const

/**
 * What Consul's own variables say, understood as its own tools do: CONSUL_HTTP_SSL overrides `http://`, a token file
 * overrides a token, paths may be relative. `below` is the address that counts when CONSUL_HTTP_ADDR is not set.
 */
export function readConsulLayer(env: Environment, below: string | null): Layer {
  const layer = emptyLayer()
  const put = (key: string, value: string, name: string) =>
    add(layer, key, { value, where: () => name } satisfies Written)
  const value = (name: string) => env[name] ?? ''
  const ssl = value('CONSUL_HTTP_SSL')
  const isTls = /^(1|t|T|TRUE|true|True)$/.test(ssl)
  if (ssl !== '' && !isTls && !/^(0|f|F|FALSE|false|False)$/.test(ssl)) {
    layer.problems.push({ key: 'consul.address', expected: 'true or false', got: show(ssl), where: 'CONSUL_HTTP_SSL' })
  }
  const address = value('CONSUL_HTTP_ADDR')
  if (address !== '') put('consul.address', withScheme(address, isTls), 'CONSUL_HTTP_ADDR')
  else if (isTls && below !== null) put('consul.address', withScheme(below, true), 'CONSUL_HTTP_SSL')
  for (const [name, key] of consulFiles) {
    const path = value(name)
    if (path !== '') put(key, resolve(path), name)
  }
  const token = value('CONSUL_HTTP_TOKEN')
  if (token !== '' && !layer.written.has('consul.tokenFile')) put('consul.token', token, 'CONSUL_HTTP_TOKEN')
  const serverName = value('CONSUL_TLS_SERVER_NAME')
  if (serverName !== '') put('consul.tls.serverName', serverName, 'CONSUL_TLS_SERVER_NAME')
  return layer
}

function withScheme(address: string, isTls: boolean): string {
  const [, scheme = 'http', rest = address] = /^([a-z][a-z0-9+.-]*):\/\/(.*)$/i.exec(address) ?? []
  const host = rest.startsWith(':') ? `127.0.0.1${rest}` : rest
  return `${isTls && scheme.toLowerCase() === 'http' ? 'https' : scheme}://${host}`
}
