import { constants } from 'node:fs'
import { open } from 'node:fs/promises'

/** Makes new names and renames in a folder outlast a power cut. Rejects with an errno error; a link is not followed. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
  await handle.sync().finally(() => handle.close())
}
