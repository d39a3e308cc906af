// Processor time and memory of a process with all that it has started, from /proc.

import { readdirSync, readFileSync } from 'node:fs'
import { cpus } from 'node:os'

const ticksPerSecond = 100

/** One /proc/PID/stat: the name in it may hold anything, brackets as well. */
export function parseStat(text) {
  const [, pid, rest] = /^(\d+) \(.*\) (.*)$/s.exec(text) ?? []
  if (rest === undefined) return null
  const fields = rest.split(' ').map(Number)
  const [, parent] = fields
  // utime, stime; those of children that ended and were waited for come after
  return { pid: Number(pid), parent, ticks: fields[11] + fields[12], ofEnded: fields[13] + fields[14] }
}

/** The process itself and those that it started, directly or not; nothing if it has gone. */
export function treeOf(processes, root) {
  const tree = processes.filter(({ pid }) => pid === root)
  for (const { pid } of tree) tree.push(...processes.filter(({ parent }) => parent === pid))
  return tree
}

/** Seconds of a tree, those of ended ones included, so that they only ever grow. */
export function processorSeconds(processes, root) {
  return treeOf(processes, root).reduce((sum, one) => sum + one.ticks + one.ofEnded, 0) / ticksPerSecond
}

/** Seconds that all processors of the machine have worked, from the first line of /proc/stat. */
export function busySeconds(text) {
  const [user, nice, system, , , irq, softirq, steal] = /^cpu +(.*)$/m.exec(text)[1].split(' ').map(Number)
  return (user + nice + system + irq + softirq + steal) / ticksPerSecond
}

/** Watches who else works on this machine: `share` is what all others took of its processors since then, 0 to 1. */
export function watchOthers() {
  const now = () => ({
    busy: busySeconds(read('/proc/stat')),
    ours: processorSeconds(readProcesses(), process.pid),
    at: performance.now(),
  })
  const before = now()
  return {
    share: () => {
      const after = now()
      const others = after.busy - before.busy - (after.ours - before.ours)
      return Math.max(0, (others * 1_000) / (after.at - before.at) / cpus().length)
    },
  }
}

/** All processes of this machine now. */
export function readProcesses() {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => {
      const stat = parseStat(read(`/proc/${pid}/stat`))
      return stat === null ? [] : [stat]
    })
}

/**
 * Megabytes of a tree. `resident` counts pages that processes share once for each of them, `proportional` once in all, which is
 * nearer to the truth for a HAProxy with old workers.
 */
function memoryOf(processes, root) {
  const sum = { resident: 0, proportional: 0 }
  for (const { pid } of treeOf(processes, root)) {
    const text = read(`/proc/${pid}/smaps_rollup`)
    const megabytes = (key) => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) / 1024
    sum.resident += megabytes('Rss')
    sum.proportional += megabytes('Pss')
  }
  return sum
}

/** Looks again and again; `stop` gives the peaks by the names of the roots, and of how many processes a root had at most. */
export function watchMemory(roots, every = 250) {
  const peaks = Object.fromEntries(
    Object.keys(roots).map((name) => [name, { resident: 0, proportional: 0, processes: 0 }]),
  )
  const look = () => {
    const processes = readProcesses()
    for (const [name, root] of Object.entries(roots)) {
      const now = { ...memoryOf(processes, root), processes: treeOf(processes, root).length }
      for (const key of Object.keys(now)) peaks[name][key] = Math.max(peaks[name][key], now[key])
    }
  }
  const timer = setInterval(look, every)
  return {
    stop: () => {
      clearInterval(timer)
      look()
      return peaks
    },
  }
}

/** Empty for one that ended while we looked. */
function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}
