import { readFileSync } from 'node:fs'

export interface PageFile {
  readonly type: string
  readonly body: Buffer
}

/** The folder `page/` beside `src/` and `dist/`: as deep from either. */
const folder = new URL('../../page/', import.meta.url)

/** Reads the page's files once; throws when the installation lacks one. */
export function readPage(): Readonly<Record<'page' | 'pageStyle' | 'pageScript' | 'pageIcon', PageFile>> {
  const read = (name: string, type: string): PageFile => ({
    type: `${type}; charset=utf-8`,
    body: readFileSync(new URL(name, folder)),
  })
  return {
    page: read('index.html', 'text/html'),
    pageStyle: read('page.css', 'text/css'),
    pageScript: read('page.js', 'text/javascript'),
    pageIcon: read('icon.svg', 'image/svg+xml'),
  }
}
