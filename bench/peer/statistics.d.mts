export function percentile(values: readonly number[], hundredths: number): number | null
export function summary(values: readonly number[]): {
  readonly p50: number | null
  readonly p95: number | null
  readonly max: number | null
}
export function repeatableRandom(seed?: number): () => number
