import { haproxyVersion } from '../../scripts/haproxy.mjs'
import { type Dialect, dialectOf } from '../../src/haproxy/dialect.ts'
import { haproxyBin } from './haproxy.ts'

/** Which HAProxy is under test, for what differs between releases. */

const found = haproxyVersion(haproxyBin)
const spoken = dialectOf(found?.version ?? '')
if (found === null || spoken === null) throw new Error(`${haproxyBin}: expected HAProxy 2.6 or newer`)

export const version: string = found.version
export const dialect: Dialect = spoken

/** What is to be expected of it. */
export function byDialect<T>(expected: Readonly<Record<Dialect['name'], T>>): T {
  return expected[dialect.name]
}

const other = process.env['TEST_HAPROXY_OTHER_BIN']

/** Of another release. Only `npm run test:haproxy` knows one, so there may be none. */
export const realOthers: readonly string[] = other === undefined ? [] : [other]
