import { escapeUnprintable } from './printable.ts'
import type { Problem } from './types.ts'

/**
 * Every problem code with what to do about it. Codes are stable: scripts and alerts depend on them.
 * `lint`, the API, metrics and docs/problems.md all come from this table.
 */
export const problemCodes = {
  // routes
  'empty-match': 'write a host, a path or both: shop.example.com/api; `/` alone takes every host and path',
  'bad-host':
    'write a DNS name of letters, digits, `-` and `_`, without port (punycode for others), or `*.name`; leave it out for any host',
  'bad-path':
    'begin with `/`, use letters, digits and `._~-`, no `//`, `.` or `..`; end with `$` for exactly this path, `*` for any continuation',
  'unknown-option': 'see docs/routes.md for the options of a route, a service and an instance',
  'bad-option': 'see docs/routes.md for the values this option takes',
  'duplicate-option': 'write each option once',
  'duplicate-route': 'keep one of the two; the first in byte order is served',
  'no-domain': 'set expose.domain, or give the service a route of its own: PREFIX.route=HOST/PATH',
  'too-many-routes': 'a service has at most 64 routes: use a wildcard host, a shorter path, or several services',
  conflict: 'ask the owner to give it up, choose another host or path, or settle it with priority=N',
  disagreement: 'finish or roll back the deployment, so that all instances ask for the same',
  // instances
  'bad-port': 'register the port the container listens on, 1 to 65535',
  'bad-address': 'register an IPv4 address (dotted quad), not a host name',
  'address-not-allowed': 'register the weave address of the container, or correct weave.cidr and weave.reserved',
  'address-reused': 'deregister the instance: its address belongs to another container now',
  'no-address':
    'register the weave address, add the tagged address `weave` or the meta key PREFIX-address, or let heddle ask Docker (weave.docker)',
  'ambiguous-address': 'register the weave address itself: several containers could be meant',
  'container-gone': 'deregister the instance: Docker knows no such container on its node any more',
  'stale-catalog': 'register again: Docker knows a newer address of this container, which is used instead',
  'duplicate-address': 'deregister the older entry: two instances of the service have the same address and port',
  unreachable:
    'restart the container or deregister the instance, and give it a check in Consul; it gets requests again as soon as it accepts a connection',
} as const satisfies Record<string, string>

export type ProblemCode = keyof typeof problemCodes

const longestSubject = 200

/** Shortens untrusted text and shows control and direction characters as escapes, so that it can be printed anywhere. */
export function printable(text: string): string {
  const short = text.length > longestSubject ? `${text.slice(0, longestSubject)}…` : text
  return escapeUnprintable(short)
}

/** `hint` replaces the table's where something more precise can be said. `subject` may be raw catalog text. */
export function problem(
  code: ProblemCode,
  about: { service: string; instance?: string | null; subject: string; reason: string; hint?: string },
): Problem {
  return {
    code,
    service: about.service,
    instance: about.instance ?? null,
    subject: printable(about.subject),
    reason: printable(about.reason),
    hint: about.hint ?? problemCodes[code],
  }
}
