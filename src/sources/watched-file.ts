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
  const name = basename(path)
  // only the file itself, what lies in it, and what a link may be swapped by: not all that happens beside it
  const options = { depth: 0, ignoreInitial: true }
  // the folder's links are looked at themselves: one that is swapped leads elsewhere, and nothing it led to has changed
  const watchers = [
    watch(dirname(path), { ...options, followSymlinks: false }),
    watch(path, { ...options, followSymlinks: true }),
  ]
  const noted = (_event: string, changed: string) => {
    const isOurs =
      changed === path || dirname(changed) === path || basename(changed) === name || basename(changed).startsWith('..')
    if (!isOurs) return
    if (timer !== null) clearTimeout(timer)
    timer = setTimeout(onChange, quiet)
  }
  for (const watcher of watchers) {
    watcher.on('all', noted)
    watcher.on('error', onError)
  }
  signal.addEventListener('abort', () => {
    if (timer !== null) clearTimeout(timer)
    for (const watcher of watchers) void watcher.close()
  })
}
