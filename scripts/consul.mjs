// A real Consul for the tests: found, or built from source once and kept in the user's cache folder.

import { join } from 'node:path'
import { ensureGoProgram } from './go.mjs'
import { root } from './setup.mjs'

const consul = {
  name: 'consul',
  version: '1.13.9',
  module: 'github.com/hashicorp/consul',
  pins: join(root, 'test', 'consul'),
  go: 19,
  why: 'for the tests',
}

/** Path of Consul, or null where there is none and `build` is false. */
export function ensureConsul({ build }) {
  return ensureGoProgram(consul, { build })
}
