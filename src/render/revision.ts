import { hash } from 'node:crypto'
import type { RenderSettings } from '../types.ts'

/** 12 hexadecimal digits over parts that contain no NUL. */
export function digest(parts: Iterable<string>): string {
  // one text: a call for each part costs more than the hash
  const text = [...parts, ''].join('\0')
  return hash('sha256', text).slice(0, 12)
}

/**
 * Of the rendering settings, without the paths of this machine: edges that differ only in where their files and sockets
 * lie run the same revision.
 */
export function settingsDigest(settings: RenderSettings): string {
  const { statsSocket: _socket, chroot: _chroot, ...rest } = settings
  return digest([canonical(rest)])
}

/** JSON with the keys of objects in order, so that equal values have equal texts. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
}
