// One size, in a process of its own: from a snapshot to what has to be done about it and to whole files, and the same after
// one instance has changed. Prints one line of JSON: milliseconds and megabytes.
// Usage: node bench/pipeline.mjs SNAPSHOT-FILE
import { readFileSync } from 'node:fs'
import { decide, emptyMemory } from '../dist/model/decide.js'
import { diffModels } from '../dist/plan/diff.js'
import { plan } from '../dist/plan/plan.js'
import { renderCandidate } from '../dist/render/config.js'
import { loadTemplates } from '../dist/render/templates.js'
import { loadSettings } from '../dist/settings/load.js'
import { modelSettings, renderSettings } from '../dist/settings/projections.js'
import { decodeDocument } from '../dist/sources/snapshot-document.js'

const rounds = 90
const { settings } = loadSettings({ file: null, env: {}, flags: new Map(), isRoot: false })
const [forModel, forRender] = [modelSettings(settings), renderSettings(settings)]
const { templates } = await loadTemplates(null)

const first = fromNothing(readFileSync(process.argv[2], 'utf8'))
const memoryAfter = process.resourceUsage().maxRSS / 1024
const changes = oneChange(first.state)
process.stdout.write(`${JSON.stringify({ ...first.times, peak: memoryAfter, ...changes })}\n`)

function fromNothing(text) {
  const [document, read] = timed(() => decodeDocument(text, forModel.expose.prefix, null).document)
  const services = new Map([...document.services].map(([name, instances]) => [name, fresh(instances)]))
  const nothing = { pid: 1, version: '', structure: 'bootstrap', revision: '', servers: new Map(), maps: new Map() }
  const [decision, deciding] = timed(() => decide(worldOf(services), emptyMemory, forModel))
  const [{ candidate }, planning] = timed(() => planned(decision, null, nothing, null))
  const [files, writing] = timed(() => candidate.files)
  return {
    times: {
      read,
      decide: deciding,
      plan: planning,
      files: writing,
      bytes: sizeOf(files),
      problems: decision.problems.length,
    },
    state: { services, decision, candidate, running: runningOf(decision.model, candidate) },
  }
}

/** Three kinds in turn: an instance turns critical, it is deregistered, it comes back. */
function oneChange(state) {
  const times = { decide: [], plan: [], files: [] }
  const names = [...state.services.keys()]
  let { services, decision, candidate, running } = state
  for (let round = 0; round < rounds; round++) {
    const name = names[Math.floor((Math.floor(round / 3) * 7919) % names.length)]
    const original = state.services.get(name).value
    const chosen = Math.min(3, original.length - 1)
    const next = [
      original.map((instance, index) => (index === chosen ? { ...instance, health: 'critical' } : instance)),
      original.filter((_, index) => index !== chosen),
      original,
    ][round % 3]
    services = new Map(services).set(name, fresh(next))
    const world = worldOf(services)
    const before = { decision, candidate }
    const [after, deciding] = timed(() => decide(world, before.decision.memory, forModel))
    const [made, planning] = timed(() => planned(after, before.decision.model, running, before.candidate))
    const [, writing] = timed(() => made.candidate.files)
    if (made.plan.steps.length === 0) throw new Error(`expected something to do in round ${round}`)
    times.decide.push(deciding)
    times.plan.push(planning)
    times.files.push(writing)
    decision = after
    candidate = made.candidate
    running = { ...runningOf(after.model, candidate, running, name) }
  }
  const typical = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)]
  return { changeDecide: typical(times.decide), changePlan: typical(times.plan), changeFiles: typical(times.files) }
}

function planned(decision, before, running, installed) {
  const { candidate } = renderCandidate(decision.model, templates, forRender)
  const wanted = { model: decision.model, candidate }
  return { candidate, plan: plan(running, wanted, installed, before), diff: diffModels(before, decision.model) }
}

/** What HAProxy would have once all of the plan is done; what did not change is the object that it was. */
function runningOf(model, candidate, before = null, changed = null) {
  const servers = new Map(before?.servers ?? [])
  for (const [id, backend] of model.backends) {
    if (before !== null && id !== changed) continue
    servers.set(id, new Map(backend.servers.map(({ name, weight, state }) => [name, { weight, state }])))
  }
  const { structure, hash, maps } = candidate
  return { pid: 1, version: '3.2.0', structure, revision: hash, servers, maps }
}

function worldOf(services) {
  return { catalog: { by: 'service', partitions: services }, engines: new Map(), weave: null, at: 1_000_000 }
}

function fresh(value) {
  return { value, evidence: 'fresh', why: null, at: 0 }
}

function sizeOf(files) {
  return [...files.values()].flat().reduce((sum, text) => sum + text.length, 0)
}

function timed(work) {
  const start = performance.now()
  const result = work()
  return [result, performance.now() - start]
}
