const longestCompared = 60

/** The name nearest to `word`, if it is near enough to be a slip of the pen. */
export function nearest(word: string, names: readonly string[]): string | null {
  const plain = word.slice(0, longestCompared).toLowerCase()
  let best: { name: string; distance: number } | null = null
  for (const name of names) {
    const distance = editDistance(plain, name.toLowerCase())
    if (distance <= Math.max(1, Math.floor(name.length / 3)) && distance < (best?.distance ?? Infinity)) {
      best = { name, distance }
    }
  }
  return best?.name ?? null
}

function editDistance(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, index) => index)
  for (const [line, character] of [...one].entries()) {
    const next = [line + 1]
    for (let column = 1; column <= other.length; column += 1) {
      const replaced = (row[column - 1] ?? 0) + (other[column - 1] === character ? 0 : 1)
      next.push(Math.min(replaced, (row[column] ?? 0) + 1, (next[column - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[other.length] ?? 0
}
