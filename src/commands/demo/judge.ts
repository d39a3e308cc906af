import type { Ms } from '../../types.ts'
import type { ContainerAnswer } from './containers.ts'

/** One question the demo's client asks again and again, with the only right answer. */
export interface Probe {
  readonly host: string
  readonly path: string
  readonly expected:
    | { readonly kind: 'service'; readonly service: string; readonly path: string; readonly prefix: string | null }
    | { readonly kind: 'redirect'; readonly status: number; readonly location: string }
    | { readonly kind: 'status'; readonly status: number }
}

/** What came back through HAProxy. */
export type Answer =
  | {
      readonly kind: 'response'
      readonly status: number
      readonly location: string | null
      /** Null when the body is not a container's. */
      readonly container: ContainerAnswer | null
    }
  | { readonly kind: 'error'; readonly reason: string }

/** Longest time a new request may still reach an instance after the catalog stopped offering it. */
export const latestRequest: Ms = 5000

/**
 * What is wrong with an answer, or null. `withdrawnAt`: since when the catalog does not offer an instance any more, null
 * while it does. A request that began more than `latestRequest` later must not reach it.
 */
export function judge(
  probe: Probe,
  answer: Answer,
  startedAt: Ms,
  withdrawnAt: (instance: string) => Ms | null,
): string | null {
  if (answer.kind === 'error') return answer.reason
  const { expected } = probe
  const status = expected.kind === 'service' ? 200 : expected.status
  if (answer.status !== status) return `expected ${status}, got ${answer.status}`
  if (expected.kind === 'status') return null
  if (expected.kind === 'redirect') {
    return answer.location === expected.location
      ? null
      : `expected Location ${expected.location}, got ${answer.location}`
  }
  const { container } = answer
  if (container === null) return `expected an answer of ${expected.service}, got none of a container`
  if (container.service !== expected.service) return `expected ${expected.service}, got ${container.service}`
  if (container.path !== expected.path) return `expected the path ${expected.path}, got ${container.path}`
  if (container.prefix !== expected.prefix) return `expected the prefix ${expected.prefix}, got ${container.prefix}`
  const withdrawn = withdrawnAt(container.instance)
  if (withdrawn === null || startedAt - withdrawn <= latestRequest) return null
  return `${container.instance} answered ${startedAt - withdrawn} ms after it was withdrawn`
}

/** Every route of the sample catalog, and a service that is not exposed. */
export const sampleProbes: readonly Probe[] = [
  toService('shop.localhost', '/', 'shop'),
  toService('shop.localhost', '/search?q=loom', 'shop'),
  toService('shop.localhost', '/cart/items', 'cart', { path: '/items', prefix: '/cart' }),
  {
    host: 'shop.localhost',
    path: '/basket?item=1',
    expected: { kind: 'redirect', status: 301, location: '/cart?item=1' },
  },
  toService('api.localhost', '/v1/users', 'api', { path: '/api/v1/users' }),
  toService('blog.demo.localhost', '/', 'blog'),
  toService('en.docs.localhost', '/guide', 'docs'),
  { host: 'ledger.demo.localhost', path: '/', expected: { kind: 'status', status: 404 } },
]

/** A probe of a service that gets the path as it came, or `rewritten`. */
export function toService(
  host: string,
  path: string,
  service: string,
  rewritten: { readonly path: string; readonly prefix?: string } = { path },
): Probe {
  return { host, path, expected: { kind: 'service', service, path: rewritten.path, prefix: rewritten.prefix ?? null } }
}
