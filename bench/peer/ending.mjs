// All that was started ends, however the run does: at its end, by a failure, on Ctrl-C.

const endings = []

/** Runs once, when the scope around it is left or the whole run ends early; the latest first. */
export function atEnd(end) {
  let ended = null
  const once = () => {
    ended ??= (async () => end())()
    return ended
  }
  endings.push(once)
  return once
}

/** Runs the work, then ends all that it has started. */
export async function scope(work) {
  const before = endings.length
  try {
    return await work()
  } finally {
    await endAll(before)
  }
}

/** As `scope`, for the outermost one: a signal ends it as well, and then the process. */
export async function interruptible(work) {
  let exit = null
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ]) {
    process.once(signal, () => {
      exit ??= endAll(0)
        .catch((error) => console.error(error))
        .then(() => process.exit(code))
    })
  }
  try {
    return await scope(work)
  } finally {
    // the work failed because its programs were ended, and nobody wants to read about it
    await exit
  }
}

async function endAll(from) {
  const failures = []
  for (const end of endings.slice(from).reverse()) {
    try {
      await end()
    } catch (error) {
      failures.push(error)
    }
  }
  endings.length = Math.min(endings.length, from)
  if (failures.length > 0) throw new AggregateError(failures, `could not end: ${failures.join('; ')}`)
}
