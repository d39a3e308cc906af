export interface Stat {
  readonly pid: number
  readonly parent: number
  readonly ticks: number
  readonly ofEnded: number
}
export function parseStat(text: string): Stat | null
export function treeOf(processes: readonly Stat[], root: number): readonly Stat[]
export function processorSeconds(processes: readonly Stat[], root: number): number
export function busySeconds(text: string): number
export function readProcesses(): readonly Stat[]
