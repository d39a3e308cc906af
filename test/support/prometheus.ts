import { spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { findPrometheus } from '../../scripts/tools.mjs'
import { atEnd, temporaryFolder, until } from './haproxy.ts'
import { freePort, loopbackAddress } from './ports.ts'

/** A real Prometheus on a loopback address of its own; ends with the test file. */

const answerShape = z.object({ status: z.literal('success'), data: z.unknown() })
const vectorShape = z.object({
  result: z.array(z.object({ metric: z.record(z.string(), z.string()), value: z.tuple([z.number(), z.string()]) })),
})

export interface RunningPrometheus {
  /** What the API answers below `/api/v1`. */
  readonly get: (path: string) => Promise<unknown>
  /** Samples of an instant query: labels and value. */
  readonly query: (promql: string) => Promise<readonly { labels: Readonly<Record<string, string>>; value: number }[]>
}

/** `files` by name: `prometheus.yml` and what it names. */
export async function startPrometheus(files: Readonly<Record<string, string>>): Promise<RunningPrometheus> {
  const folder = await temporaryFolder()
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text)
  const address = loopbackAddress()
  const listen = `${address}:${await freePort(address)}`
  const child = spawn(
    findPrometheus() ?? 'prometheus',
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=${listen}`,
      '--log.level=warn',
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let log = ''
  child.stderr.on('data', (chunk) => (log += chunk))
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  atEnd(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await until(async () => {
    if (child.exitCode !== null) throw new Error(`Prometheus ended with ${child.exitCode}:\n${log}`)
    const answer = await fetch(`http://${listen}/-/ready`).catch(() => null)
    return answer?.status === 200
  }, 20_000)
  const get = async (path: string) => {
    const answer = await fetch(`http://${listen}/api/v1/${path}`, { headers: { connection: 'close' } })
    return answerShape.parse(await answer.json()).data
  }
  return {
    get,
    query: async (promql) => {
      const { result } = vectorShape.parse(await get(`query?query=${encodeURIComponent(promql)}`))
      return result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
    },
  }
}
