/** What `reload` on the master's CLI said. */
export interface ReloadAnswer {
  readonly isLoaded: boolean
  /** HAProxy's own messages of this start; '' where it printed none. */
  readonly log: string
}

/**
 * Where HAProxy versions differ, all of it: one record a version, chosen by the process that is talked to.
 * No other file asks for a version number.
 */
export interface Dialect {
  readonly name: '2.6' | '3.0' | '3.2'
  /**
   * Reads the answer of `reload`. Null: it tells nothing, the outcome has to be read from `show proc`.
   * 2.6 closes the connection at once and loads afterwards, newer ones answer when the outcome is known.
   */
  readonly readReload: (answer: string) => ReloadAnswer | null
}

function readSuccess(answer: string): ReloadAnswer | null {
  const said = /^Success=([01])(?:\n--\n([\s\S]*))?/.exec(answer.trimStart())
  return said ? { isLoaded: said[1] === '1', log: (said[2] ?? '').trim() } : null
}

/** Newest first: a version speaks the first dialect that is not newer than itself. */
const dialects: readonly { readonly since: readonly [number, number]; readonly dialect: Dialect }[] = [
  { since: [3, 1], dialect: { name: '3.2', readReload: readSuccess } },
  { since: [2, 7], dialect: { name: '3.0', readReload: readSuccess } },
  { since: [2, 6], dialect: { name: '2.6', readReload: () => null } },
]

interface Release {
  readonly major: number
  readonly minor: number
}

function releaseOf(version: string): Release | null {
  const numbers = /^(\d{1,4})\.(\d{1,4})(?![\d])/.exec(version)
  return numbers ? { major: Number(numbers[1]), minor: Number(numbers[2]) } : null
}

/**
 * Of a version as HAProxy prints it, such as `2.6.12-1+deb12u4`. One that is newer than all known ones gets the
 * newest dialect; null below 2.6 and for text that is no version.
 */
export function dialectOf(version: string): Dialect | null {
  const release = releaseOf(version)
  if (release === null) return null
  const entry = dialects.find(
    ({ since: [major, minor] }) => release.major > major || (release.major === major && release.minor >= minor),
  )
  return entry?.dialect ?? null
}

/**
 * Why a reload is not to be tried: what was proved by a binary of one release means little to a worker of another.
 * Null when both are of the same major.minor, 2.6 or newer.
 */
export function versionProblem(binary: string, worker: string): string | null {
  for (const [what, version] of [
    ['the binary', binary],
    ['the running worker', worker],
  ] as const) {
    if (dialectOf(version) === null) return `${what} is HAProxy ${version}, expected 2.6 or newer`
  }
  const [one, other] = [releaseOf(binary), releaseOf(worker)]
  if (one?.major === other?.major && one?.minor === other?.minor) return null
  return `haproxy.bin is ${binary}, the running worker ${worker}: restart HAProxy, or let haproxy.bin name the version that runs`
}
