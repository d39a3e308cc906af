import { checkConfiguration } from '../haproxy/check.ts'
import type { Candidate, Ms } from '../types.ts'
import { longestWhy, refusalOf, type Target } from './apply.ts'
import { startJob } from './jobs.ts'
import { isInstalled, type Known } from './known.ts'
import type { LoopParts } from './parts.ts'
import { noteUnwritten, recordRefusal } from './record.ts'
import type { Made } from './wanted.ts'

/**
 * Files follow what changes while HAProxy runs, so that one which restarts finds what served a moment ago. What is proved by
 * construction needs no `haproxy -c` in its way; all the same the whole is checked from time to time, when nobody waits for it.
 */

/** Of the processor, what checks may take: one in so many. */
const checkShare = 100

/** True when nothing in it is new to `haproxy -c` but names, addresses and weights. */
export function isProved({ provedShapes }: Known, { shapes }: Candidate): boolean {
  for (const shape of shapes) if (!provedShapes.has(shape)) return false
  return true
}

/** Says when the files have to follow. */
export function planInstall(known: Known, { candidate }: Made, persist: Ms): void {
  const { refusal } = known.pace
  const allowedFrom = refusal?.hash === candidate.hash ? refusal.retryFrom : 0
  known.installFrom = isInstalled(known, candidate)
    ? null
    : (known.installFrom ?? Math.max(performance.now() + persist, allowedFrom))
}

export function startInstall(parts: LoopParts, known: Known, made: Made, signal: AbortSignal): void {
  known.installFrom = null
  const proved = isProved(known, made.candidate)
  const { verify } = parts.inputs.loopSettings()
  startJob(parts, known, 'install', async () => {
    const started = performance.now()
    const installed = await install(parts.target, made.candidate, proved, signal)
    return async (_, now, report) => {
      report.durations.install = performance.now() - started
      if (installed.kind === 'interrupted') return
      noteUnwritten(now, 'current', installed.kind === 'installed' ? null : installed.why)
      if (installed.kind === 'installed') {
        now.installed = made
        if (!proved) noteProved(now, made.candidate)
        else now.checkFrom ??= Math.max(performance.now() + verify, now.checkAllowedFrom)
        return
      }
      const stage = installed.kind === 'refused' ? 'check' : 'write'
      await recordRefusal(parts, now, made, { stage, why: installed.why })
    }
  })
}

export function noteProved(known: Known, { shapes }: Candidate): void {
  for (const shape of shapes) known.provedShapes.add(shape)
}

type Installed =
  | { readonly kind: 'installed' }
  | { readonly kind: 'interrupted' }
  | { readonly kind: 'unwritten' | 'refused'; readonly why: string }

/** Lets `current` lead to the candidate; one that is not proved yet is checked before. */
async function install(
  target: Target,
  candidate: Candidate,
  isKnown: boolean,
  signal: AbortSignal,
): Promise<Installed> {
  const { store, bin } = target
  const written = await store.write(candidate)
  if (written.kind === 'failed') return { kind: 'unwritten', why: written.why }
  if (!isKnown) {
    const check = await checkConfiguration(bin, `${written.path}/haproxy.cfg`, { signal })
    if (signal.aborted) return { kind: 'interrupted' }
    const refusal = refusalOf(bin, check)?.slice(0, longestWhy)
    if (refusal !== undefined) return { kind: check.kind === 'invalid' ? 'refused' : 'unwritten', why: refusal }
  }
  const used = await store.use(candidate.hash)
  if (used.kind === 'failed') return { kind: 'unwritten', why: used.why }
  await store.prune()
  return { kind: 'installed' }
}

/** What runs is on disk when heddle ends, so that a HAProxy which restarts meanwhile has it. */
export async function installAtEnd({ target }: LoopParts, known: Known): Promise<void> {
  const { made } = known.wanted
  if (made === null || known.proof?.hash !== made.candidate.hash) return
  if (isInstalled(known, made.candidate) || !isProved(known, made.candidate)) return
  await install(target, made.candidate, true, new AbortController().signal)
}

/** Checks what is installed as a whole. A refusal is a bug of ours, and the files are not believed any more. */
export function startCheck(parts: LoopParts, known: Known, made: Made, signal: AbortSignal): void {
  known.checkFrom = null
  const { store, bin } = parts.target
  startJob(parts, known, 'check', async () => {
    const started = performance.now()
    const check = await checkConfiguration(bin, store.file, { signal })
    const took = performance.now() - started
    return (_, now, report) => {
      if (signal.aborted || check.kind === 'failed') return
      report.check = check.kind === 'valid' ? 'success' : 'failure'
      const why =
        check.kind === 'invalid' ? `this is a bug of heddle: ${bin} -c refuses ${store.file}: ${check.output}` : null
      noteUnwritten(now, 'check', why)
      if (why !== null) for (const shape of made.candidate.shapes) now.provedShapes.delete(shape)
      now.checkAllowedFrom = performance.now() + took * checkShare
    }
  })
}
