export interface Measured {
  readonly name: string
  readonly start: number
  /** Milliseconds of each change, by kind. */
  readonly times: Readonly<Record<string, readonly number[]>>
  readonly changes: number
  readonly churn: BySpender
  readonly quiet: BySpender
  readonly reloads: number
  readonly load: {
    readonly requests: number
    readonly failures: Readonly<Record<string, number>>
    readonly p50: number
    readonly p99: number
    readonly max: number
  }
  readonly memory: Readonly<Record<'controller' | 'haproxy', Peaks>>
  readonly throughput: {
    readonly microseconds: number
    readonly perSecond: number
    readonly p50: number
    readonly p99: number
  }
  readonly others: number
}
type BySpender = Readonly<Record<'controller' | 'haproxy' | 'consul', number>>
interface Peaks {
  readonly resident: number
  readonly proportional: number
  readonly processes: number
}
export function cellsOf(systems: readonly Measured[]): {
  readonly head: readonly string[]
  readonly body: readonly (readonly string[])[]
}
export function notesOf(systems: readonly Measured[]): string
