import { watch as watchFolder } from 'node:fs'
import { basename, dirname } from 'node:path'
import { watch } from 'chokidar'
import type { Ms } from '../types.ts'

const quiet: Ms = 50

/**
 * Calls back after a file, or a file of a folder, has changed, when it has been quiet for a moment. The folder around it is watched
 * too, since editors and Kubernetes replace files and links instead of writing into them; it may be absent at first. Ends
 * with `signal`. `onError` gets what the operating system says when something can't be watched.
 */
export function watchFile(
  path: string,
  onChange: () => void,
  signal: AbortSignal,
  onError: (error: unknown) => void = () => {},
): void {
  if (signal.aborted) return
  let timer: NodeJS.Timeout | null = null
  let isAroundWatched = false
  const name = basename(path)

  function changed(): void {
    if (timer !== null) clearTimeout(timer)
    timer = setTimeout(onChange, quiet)
  }

  /**
   * For what the file, or a link it is reached by, may be swapped by. chokidar would read the whole folder whatever happens there:
   * beside a log file all the time.
   */
  function watchAround(): void {
    if (isAroundWatched) return
    try {
      const around = watchFolder(dirname(path), { signal }, (_event, entry) => {
        if (entry === null || entry === name || entry.startsWith('..')) changed()
      })
      around.on('error', onError)
      isAroundWatched = true
    } catch {
      // not there yet, which chokidar gets to know of
    }
  }

  // only the file itself, and what lies in it
  const watcher = watch(path, { depth: 0, ignoreInitial: true })
  watcher.on('all', (_event, entry) => {
    watchAround()
    if (entry === path || dirname(entry) === path) changed()
  })
  watcher.on('error', onError)
  watchAround()
  signal.addEventListener('abort', () => {
    if (timer !== null) clearTimeout(timer)
    void watcher.close()
  })
}
