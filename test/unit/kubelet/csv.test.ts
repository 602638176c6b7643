import * as fc from 'fast-check';
import t from 'tap';
import { readCsvRecord } from '../../../agent/kubelet/csv.ts';

const read = (value: string): string => {
  const reading = readCsvRecord(value);
  return reading.ok ? JSON.stringify(reading.fields) : reading.complaint;
};

void t.test("values are read as Go's encoding/csv reads its first record", (t) => {
  const bare = 'bare " in non-quoted field';
  const quote = 'extraneous or missing " in quoted-field';
  const table: readonly (readonly [string, string])[] = [
    ['', '[]'],
    ['a', '["a"]'],
    [',', '["",""]'],
    ['a,,b', '["a","","b"]'],
    ['a, b', '["a"," b"]'],
    ['"a,b"', '["a,b"]'],
    ['"a""b",c', '["a\\"b","c"]'],
    ['""', '[""]'],
    ['"",', '["",""]'],
    ['"a\nb"', '["a\\nb"]'],
    ['"a\r\nb"', '["a\\nb"]'],
    ['a\nb', '["a"]'],
    ['a\r\nb', '["a"]'],
    ['a\r', '["a"]'],
    ['a\rb', '["a\\rb"]'],
    ['\n\r\na', '["a"]'],
    ['"a"\n"', '["a"]'],
    ['\n', 'EOF'],
    ['\r', 'EOF'],
    ['a"b', bare],
    [' "a"', bare],
    ['a\nb"', '["a"]'],
    ['"a', quote],
    ['"a"b', quote],
    ['"a" ,b', quote],
    ['"', quote],
    ["'net.*'", '["\'net.*\'"]'],
  ];
  for (const [value, wanted] of table) t.equal(read(value), wanted, JSON.stringify(value));
  t.end();
});

void t.test('a reader that works letter by letter agrees', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', ' '), maxLength: 12 }), (value) => {
      const wanted = letterByLetter(value);
      const reading = readCsvRecord(value);
      return JSON.stringify(reading.ok ? reading.fields : undefined) === JSON.stringify(wanted);
    }),
    { numRuns: 5000 },
  );
  t.end();
});

type State = 'start' | 'plain' | 'quoted' | 'quoteSeen';

function letterByLetter(value: string): readonly string[] | undefined {
  if (value === '') return [];
  const fields: string[] = [];
  let field = '';
  let state: State = 'start';
  let any = false;
  for (const letter of value) {
    if (state === 'start' && letter === '\n' && !any) continue;
    any = true;
    if (state === 'quoted') {
      if (letter === '"') state = 'quoteSeen';
      else field += letter;
    } else if (letter === ',' || letter === '\n') {
      fields.push(field);
      if (letter === '\n') return fields;
      field = '';
      state = 'start';
    } else if (letter === '"') {
      if (state === 'plain') return undefined;
      if (state === 'quoteSeen') field += letter;
      state = 'quoted';
    } else {
      if (state === 'quoteSeen') return undefined;
      field += letter;
      state = 'plain';
    }
  }
  if (!any || state === 'quoted') return undefined;
  return [...fields, field];
}
