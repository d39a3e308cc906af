// Programs that this run starts, each in a process group of its own, so that Ctrl-C reaches only us and nothing is forgotten.

import { fork, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { atEnd } from './ending.mjs'

/** How long a program that was told to end may take. */
const grace = 5_000

/** A program whose outputs go to a file, or nowhere. `failed` says why it does not run any more, or is null. */
export function startProgram(name, command, args, { env = process.env, log = null } = {}) {
  const output = log === null ? 'ignore' : openSync(log, 'a')
  const child = spawn(command, args, { env, detached: true, stdio: ['ignore', output, output] })
  if (log !== null) closeSync(output)
  let failure = null
  child.on('error', (error) => {
    failure = error.message
  })
  const gone = new Promise((resolve) => child.once('close', resolve))
  child.once('exit', (code, signal) => {
    failure = `it ended with ${signal ?? code}`
  })
  const stop = atEnd(() => end(child, gone))
  const failed = () => {
    if (failure === null) return null
    const said = log === null ? '' : `\n${readFileSync(log, 'utf8').slice(-2_000)}`
    return `${name}: ${failure}${said}`
  }
  return { pid: child.pid, failed, stop }
}

async function end(child, gone) {
  if (child.pid === undefined) return
  if (child.exitCode === null && child.signalCode === null) {
    child.kill('SIGTERM')
    const isGone = await Promise.race([gone.then(() => true), delay(grace, false, { ref: false })])
    if (!isGone) child.kill('SIGKILL')
  }
  // what it started and left behind
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {}
  await gone
}

/** A script of this folder as a process that answers messages one by one; ends with this one. */
export function startScript(name) {
  const child = fork(fileURLToPath(new URL(name, import.meta.url)), { detached: true })
  const gone = new Promise((resolve) => child.once('close', resolve))
  const stop = atEnd(() => end(child, gone))
  let last = Promise.resolve()
  const exchange = (message) =>
    new Promise((resolve, reject) => {
      const ended = () => reject(new Error(`${name} has ended`))
      child.once('exit', ended)
      child.once('message', (answer) => {
        child.off('exit', ended)
        if (answer.error === undefined) resolve(answer)
        else reject(new Error(`${name}: ${answer.error}`))
      })
      if (child.connected) child.send(message)
      else ended()
    })
  return {
    pid: child.pid,
    stop,
    ask: (message) => {
      last = last.then(
        () => exchange(message),
        () => exchange(message),
      )
      return last
    },
  }
}

/** In such a script: answers each message with what `answer` resolves to. */
export function answerMessages(answer) {
  process.on('disconnect', () => process.exit(0))
  process.on('message', async (message) => {
    try {
      process.send((await answer(message)) ?? {})
    } catch (error) {
      process.send({ error: error.message })
    }
  })
}
