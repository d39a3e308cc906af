import type { RouteView } from '../status/views.ts'
import { type ExitCode, exitCodes, type Io } from './context.ts'
import { painter, table } from './table.ts'
import type { View } from './view.ts'

const marks = { prefix: '', exact: '$', raw: '*' } as const
const mostAddresses = 4

/** Shows the route table. */
export async function routes(
  view: Pick<View, 'routes'>,
  options: { readonly json: boolean },
  io: Pick<Io, 'stdout' | 'stderr' | 'isColoured'>,
): Promise<ExitCode> {
  const all = await view.routes()
  io.stdout(options.json ? `${JSON.stringify(all, null, 2)}\n` : printRoutes(all, io))
  if (all.length === 0 && !options.json)
    io.stderr('heddle: there are no routes: no service asks for one (docs/routes.md says how)\n')
  return exitCodes.done
}

function printRoutes(all: readonly RouteView[], io: Pick<Io, 'isColoured'>): string {
  const paint = painter(io.isColoured)
  const header = ['HOST', 'PATH', 'SERVICE', 'UP', 'INSTANCES', 'OPTIONS']
  const rows = all.map((route) => [
    route.host,
    `${route.path}${marks[route.match]}`,
    route.service,
    route.redirect === null ? `${route.up}/${route.all}` : '-',
    addresses(route),
    [...optionTexts(route), ...notes(route)].join(' '),
  ])
  return table(header, rows, (text, column, row) => {
    if (column !== 3) return text
    const route = all[row]
    return paint(text, route === undefined || route.redirect !== null ? 'grey' : route.up === 0 ? 'red' : 'green')
  })
}

function addresses({ instances }: RouteView): string {
  const shown = instances.slice(0, mostAddresses).map(({ address, port, source, state }) => {
    return `${address}:${port}(${source}${state === 'ready' ? '' : `, ${state}`})`
  })
  const rest = instances.length - shown.length
  return [...shown, ...(rest > 0 ? [`+${rest}`] : [])].join(' ')
}

function optionTexts({ options }: RouteView): readonly string[] {
  return Object.entries(options).map(([key, value]) => (value === true ? key : `${key}=${value}`))
}

function notes({ lingersUntil, isCurrent, problems, section }: RouteView): readonly string[] {
  return [
    ...(section === null ? [] : [`[in ${section} until the next reload]`]),
    ...(lingersUntil === null ? [] : [`[lingers until ${lingersUntil}]`]),
    ...(isCurrent || lingersUntil !== null ? [] : ['[last good version]']),
    ...(problems === 0 ? [] : [`[${problems} ${problems === 1 ? 'problem' : 'problems'}: heddle lint]`]),
  ]
}
