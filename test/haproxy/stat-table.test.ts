import { expect, it } from 'vitest'
import { readCount, readStatTable } from '../../src/haproxy/stat-table.ts'

const read = (text: string) => {
  const rows = readStatTable(text, ['svname', 'scur', 'last_chk', 'missing'])
  return rows === null
    ? null
    : [...rows].map((cell) => [cell('svname'), cell('scur'), cell('last_chk'), cell('missing')])
}

it('the table of statistics is read by the names of its columns, wherever they stand', () => {
  expect(read('# pxname,svname,scur,last_chk,\nweb,a,3,,\nweb,b,0,ok,\n\n')).toEqual([
    ['a', '3', '', ''],
    ['b', '0', 'ok', ''],
  ])
  expect(read('# last_chk,scur,svname,more,\nok,3,a,x,\n')).toEqual([['a', '3', 'ok', '']])
})

it('cells between quotes hold commas, quotes and line breaks', () => {
  const text = '# svname,last_chk,scur\na,"it said ""no, not\nnow""",1\n"b,c",,2\nd,"",3\ne,plain,4'
  expect(read(text)).toEqual([
    ['a', '1', 'it said "no, not\nnow"', ''],
    ['b,c', '2', '', ''],
    ['d', '3', '', ''],
    ['e', '4', 'plain', ''],
  ])
})

it('words are no table, and a table that breaks off is read as far as it goes', () => {
  expect(read('No such proxy.')).toBeNull()
  expect(read('')).toBeNull()
  expect(read('# svname,scur')).toEqual([])
  expect(read('# svname,scur,last_chk\na,1\nb,2,"never closed\nc,3,')).toMatchObject([
    { 0: 'a' },
    { 0: 'b', 1: '2' },
    { 0: 'c', 1: '3' },
  ])
})

it('a table of 60,000 rows is read in a moment, whatever has quotes in it', () => {
  const row = (index: number) => `web,10.2.1.${index},${index},"a ""quoted"" word",${',0'.repeat(90)}`
  const text = `# pxname,svname,scur,last_chk${',more'.repeat(91)}\n${Array.from({ length: 60_000 }, (_, index) => row(index)).join('\n')}`
  const started = performance.now()
  const rows = readStatTable(text, ['scur'])
  let sum = 0
  for (const cell of rows ?? []) sum += readCount(cell('scur')) ?? 0
  expect(sum).toBe((60_000 * 59_999) / 2)
  // a second look at each row from its beginning would take minutes
  expect(performance.now() - started).toBeLessThan(5_000)
})

it.each([
  ['0', 0],
  ['17', 17],
  ['', null],
  ['-1', null],
  ['1e3', null],
  ['9'.repeat(30), null],
])('the count "%s" is %s', (text, expected) => {
  expect(readCount(text)).toBe(expected)
})
