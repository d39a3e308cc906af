// Makes the token of the status endpoint, in the folder that is named, once: who has the volume keeps the token.
import { randomBytes } from 'node:crypto'
import { readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const [, , folder = '/run/heddle-token'] = process.argv
const file = join(folder, 'token')

function present() {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch {
    return ''
  }
}

if (present() === '') {
  // under its name only when it is complete
  writeFileSync(`${file}.tmp`, `${randomBytes(32).toString('base64url')}\n`, { mode: 0o640 })
  renameSync(`${file}.tmp`, file)
}
