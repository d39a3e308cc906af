// One process at a time: a file that holds the pid of whoever works.
import { closeSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { say } from './setup.mjs'

/**
 * One at a time. It only saves work: what is made has a name of its own until it is renamed into place, so two at once, after a
 * lock that was taken for dead, do no harm.
 */
export async function withLock(path, work) {
  let isTold = false
  for (;;) {
    const lock = tryLock(path)
    if (lock !== null) {
      try {
        return await work()
      } finally {
        rmSync(path, { force: true })
      }
    }
    if (!isTold) say(`waiting for another run that holds ${path}`)
    isTold = true
    await delay(200)
  }
}

function tryLock(path) {
  try {
    const file = openSync(path, 'wx')
    writeSync(file, String(process.pid))
    closeSync(file)
    return path
  } catch (error) {
    if (error.code !== 'EEXIST') throw error
    if (isDead(path)) rmSync(path, { force: true })
    return null
  }
}

function isDead(path) {
  try {
    const pid = Number(readFileSync(path, 'utf8'))
    // Made a moment ago and not yet written.
    if (!(pid > 0)) return Date.now() - statSync(path).mtimeMs > 5000
    process.kill(pid, 0)
    return false
  } catch (error) {
    return error.code === 'ESRCH'
  }
}
