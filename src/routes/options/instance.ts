import type { Option } from './option.ts'
import { parseWhole, set, value, wrong } from './values.ts'

/** Options of a single instance. */
export const instanceOptions: readonly Option[] = [
  {
    key: 'weight',
    levels: ['instance'],
    kind: 'model',
    usage: 'weight=N',
    parse: (text) => set(parseWhole(text ?? '', 0, 256), (weight) => ({ weight })),
  },
  {
    key: 'backup',
    levels: ['instance'],
    kind: 'model',
    usage: 'backup',
    parse: (text) => (text === null ? value({ backup: true }) : wrong('it takes no value')),
  },
]
