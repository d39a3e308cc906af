// Pure: figures from samples.

/** The value that so many of 100 are not above (nearest rank); null without any. */
export function percentile(values, hundredths) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((hundredths / 100) * sorted.length) - 1)] ?? null
}

/** What changes of a run are told by. */
export function summary(values) {
  return {
    p50: percentile(values, 50),
    p95: percentile(values, 95),
    max: percentile(values, 100),
  }
}

/** The same sequence of numbers from 0 to 1 in every run, so that all systems see the same changes at the same pace. */
export function repeatableRandom(seed = 1) {
  let state = seed
  return () => {
    // the minimal standard generator of Park and Miller
    state = (state * 48_271) % 2_147_483_647
    return state / 2_147_483_647
  }
}
