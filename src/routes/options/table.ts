import { instanceOptions } from './instance.ts'
import type { Option } from './option.ts'
import { rewriteOptions } from './rewrite.ts'
import { serviceOptions } from './service.ts'

/** Every option heddle understands, by key: one row each. docs/routes.md names them all. */
export const optionTable: ReadonlyMap<string, Option> = new Map(
  [...rewriteOptions, ...serviceOptions, ...instanceOptions].map((option) => [option.key, option]),
)
