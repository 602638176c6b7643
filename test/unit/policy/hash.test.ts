import * as fc from 'fast-check';
import t from 'tap';
import { AgentError } from '../../../agent/errors.ts';
import { canonical } from '../../../agent/policy/hash.ts';

void t.test('keys are sorted at every level, lists keep their order', (t) => {
  t.equal(
    canonical({ b: [2, 1, { d: null, c: 'ü"' }], a: true, u: undefined }),
    '{"a":true,"b":[2,1,{"c":"ü\\"","d":null}]}',
  );
  t.equal(canonical({ 10: 1, 9: 2, 'a\n': -0 }), '{"10":1,"9":2,"a\\n":0}');
  t.end();
});

void t.test('the text is JSON of the same value, and the order of keys does not matter', (t) => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const text = canonical(value);
      t.equal(canonical(JSON.parse(text)), text);
      return JSON.stringify(JSON.parse(text)) === JSON.stringify(JSON.parse(canonical(reversed(value))));
    }),
  );
  fc.assert(fc.property(fc.jsonValue(), (value) => canonical(reversed(value)) === canonical(value)));
  t.end();
});

void t.test('what JSON would drop or change is refused instead', (t) => {
  for (const value of [
    1n,
    NaN,
    Infinity,
    () => 1,
    Symbol('a'),
    new Date(0),
    new Map(),
    [undefined],
    undefined,
  ]) {
    t.throws(() => canonical(value), AgentError);
    t.throws(() => canonical([value]), AgentError);
  }
  t.end();
});

function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([key, item]) => [key, reversed(item)]),
  );
}
