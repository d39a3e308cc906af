import { join } from 'node:path'
import { expect, it } from 'vitest'
import { observeIdentity } from '../../src/haproxy/observe.ts'
import { httpServer } from '../support/haproxy.ts'
import { proved, startHaproxyOf, startHeddleOf, unpackedImages } from '../support/images.ts'
import { entry } from '../support/site.ts'
import { writeSnapshot } from '../support/snapshots.ts'

it('a HAProxy in another network namespace is reloaded, whoever has its ports in that of heddle', async () => {
  const images = await unpackedImages({ isShared: false })
  const { folder, statsPort, root } = images
  // in a namespace where no interface is up, only every address can be listened on
  const env = {
    HEDDLE_HAPROXY_BIND: `0.0.0.0:${folder.port}`,
    HEDDLE_HAPROXY_STATS_BIND: `0.0.0.0:${statsPort}`,
  }
  const web = await httpServer({ name: 'web', address: folder.address, port: statsPort })
  const snapshot = join(root, 'snapshot.json')
  await writeSnapshot(snapshot, { web: [entry('w1', web, 'heddle.route=shop.example')] })
  const asRoot = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user']
  startHaproxyOf(images, null, ['unshare', '--net', ...asRoot])
  const heddle = await startHeddleOf(images, null, { snapshot, env })
  await proved(images, heddle)
  expect(await observeIdentity(folder)).toMatchObject({
    identity: { structure: expect.stringMatching(/^[0-9a-f]{12}$/) },
  })
})
