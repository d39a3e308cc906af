/** A source of choices that is the same for the same seed. */
export interface Random {
  /** From 0 on. */
  readonly below: (limit: number) => number
  readonly one: <T>(list: readonly T[]) => T
  readonly chance: (probability: number) => boolean
}

export function randomOf(seed: number): Random {
  let state = seed >>> 0
  // mulberry32
  const draw = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number) => Math.floor(draw() * limit)
  return {
    below,
    one: (list) => {
      const item = list[below(list.length)]
      if (item === undefined) throw new Error('expected something to choose from')
      return item
    },
    chance: (probability) => draw() < probability,
  }
}
