// How figures are shown: tables, the machine they are from, and their place in docs/benchmarks.md.

import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { root } from '../scripts/setup.mjs'

export function table(head, rows) {
  const line = (cells) => `| ${cells.join(' | ')} |\n`
  return [line(head), line(head.map((_, index) => (index === 0 ? '---' : '--:'))), ...rows.map(line)].join('')
}

/** What the figures were measured with; `programs` are names with their versions. */
export function machine(programs) {
  const [cpu] = cpus()
  const memory = `${Math.round(totalmem() / 2 ** 30)} GB`
  const processors = `${cpus().length} × ${cpu.model.trim()}`
  return `${[`Node.js ${process.versions.node}`, ...programs, processors, memory, new Date().toISOString().slice(0, 10)].join(', ')}.\n`
}

/** Puts the text between the two lines of the page that name the command. */
export function writePart(command, text) {
  const file = join(root, 'docs', 'benchmarks.md')
  const [begin, end] = [`<!-- ${command} -->\n`, `<!-- end of ${command} -->`]
  const page = readFileSync(file, 'utf8')
  const [from, to] = [page.indexOf(begin), page.indexOf(end)]
  if (from === -1 || to < from) throw new Error(`${file} has no part of ${command}`)
  writeFileSync(file, `${page.slice(0, from + begin.length)}\n${text}\n${page.slice(to)}`)
}
