import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))
const pages = ['.', 'docs', 'docs/decisions', 'haproxy', 'apollo', 'systemd']
  .flatMap((folder) => readdirSync(join(root, folder)).map((file) => join(folder, file)))
  .filter((file) => file.endsWith('.md'))
const read = (page: string) => readFileSync(join(root, page), 'utf8')

/** The names that GitHub gives to the headings of a page. */
function anchorsOf(text: string): readonly string[] {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, '')
  return [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

it.each(pages)('%s links to nothing that is not there', (page) => {
  const links = [...read(page).matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)]
  const broken = links.filter(([, path = '', anchor]) => {
    const target = path === '' ? page : join(dirname(page), path)
    if (!existsSync(join(root, target))) return true
    return anchor !== undefined && !anchorsOf(read(target)).includes(anchor)
  })
  expect(broken.map(([link]) => link)).toEqual([])
})

it('docs/architecture.md names no file that is not there', () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
  const named = [...read('docs/architecture.md').matchAll(/`([\w./-]+\.(?:ts|eta|json|md))`/g)].map(
    ([, name = '']) => name,
  )
  const isThere = (name: string) =>
    existsSync(join(root, name)) || files.some((file) => file === name || file.endsWith(`/${name}`))
  // what heddle writes itself
  expect(named.filter((name) => !isThere(name))).toEqual(['memory.json'])
  expect(named.length).toBeGreaterThan(20)
})
