import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const source = fileURLToPath(new URL('../src/', import.meta.url))

/** Stages from the outside in: a file imports from its own stage and from those below it, never from one above. */
const stages = [
  ['cli.ts'],
  ['commands'],
  ['daemon.ts'],
  ['status'],
  ['control'],
  ['sources'],
  ['haproxy'],
  ['plan'],
  ['render'],
  ['model'],
  ['addresses'],
  ['routes'],
  ['log.ts'],
  ['settings'],
  ['problems.ts'],
  [
    'backoff.ts',
    'disk.ts',
    'errors.ts',
    'nearest.ts',
    'order.ts',
    'patched.ts',
    'printable.ts',
    'same.ts',
    'types.ts',
    'version.ts',
  ],
]

const stageOf = (file: string) => stages.findIndex((stage) => stage.includes(file.split('/')[0] ?? ''))

it('imports only go down the stages', () => {
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  expect(files.length).toBeGreaterThan(50)
  const wrong = files.flatMap((file) => {
    const imports = [...readFileSync(join(source, file), 'utf8').matchAll(/ from '(\.[^']+)'/g)]
    const targets = imports.map(([, target]) => normalize(join(dirname(file), target ?? '')))
    const own = (target: string) => target.split('/')[0] === file.split('/')[0]
    const lowest = stages.length - 1
    const isDown = (target: string) => own(target) || stageOf(target) > stageOf(file) || stageOf(target) === lowest
    return targets.filter((target) => stageOf(target) === -1 || !isDown(target)).map((target) => `${file} -> ${target}`)
  })
  expect(wrong).toEqual([])
})

it('every file belongs to a stage', () => {
  expect(readdirSync(source).filter((file) => stageOf(file) === -1)).toEqual([])
})
