import * as fc from 'fast-check';
import t from 'tap';
import { globMatches, isGlob } from '../../../agent/sysctl/glob.ts';

void t.test('stars, question marks and brackets match within one directory', (t) => {
  const table: readonly (readonly [string, string, boolean])[] = [
    ['net/*/rp_filter', 'net/lo/rp_filter', true],
    ['net/*', 'net/lo/rp_filter', false],
    ['net*', 'net/lo', false],
    ['*', '', true],
    ['a*b*c', 'aXbXbXc', true],
    ['a*b*c', 'aXbXbX', false],
    ['??', 'ab', true],
    ['??', 'a', false],
    ['[a-c]x', 'bx', true],
    ['[a-c]x', 'dx', false],
    ['[!a-c]x', 'dx', true],
    ['[^a-c]x', 'bx', false],
    ['[]a]', ']', true],
    ['[a-]', '-', true],
    ['[z-a]', 'm', false],
    ['[a', '[a', true],
    ['a.c', 'abc', false],
    ['(a|b)+', 'a', false],
  ];
  for (const [pattern, path, wanted] of table)
    t.equal(globMatches(pattern, path), wanted, `${pattern} ${path}`);
  t.same(['a/b', 'a*', 'a?', '[a', '{a,b}'].map(isGlob), [false, true, true, true, false]);
  t.end();
});

void t.test('a pattern of many stars is answered at once', (t) => {
  t.equal(globMatches(`${'a*'.repeat(2000)}b`, 'a'.repeat(4000)), false);
  t.end();
});

void t.test('it agrees with a reader that tries every way', (t) => {
  const pattern = fc.string({ unit: fc.constantFrom('a', 'b', '*', '?', '/'), maxLength: 7 });
  const path = fc.string({ unit: fc.constantFrom('a', 'b', '/'), maxLength: 7 });
  fc.assert(
    fc.property(pattern, path, (pattern, path) => globMatches(pattern, path) === everyWay(pattern, path)),
    { numRuns: 5000 },
  );
  t.end();
});

function everyWay(pattern: string, path: string): boolean {
  if (pattern === '') return path === '';
  const rest = pattern.slice(1);
  if (pattern.startsWith('*')) {
    return everyWay(rest, path) || (path !== '' && !path.startsWith('/') && everyWay(pattern, path.slice(1)));
  }
  const fits = pattern.startsWith('?')
    ? path !== '' && !path.startsWith('/')
    : path.startsWith(pattern.charAt(0));
  return fits && everyWay(rest, path.slice(1));
}
