import * as fc from 'fast-check';
import t from 'tap';
import { numbersOf, oneBlank, tighter, within } from '../../../agent/sysctl/bounds.ts';

void t.test('fields are whole numbers of up to twenty digits, divided by blanks or tabs', (t) => {
  t.strictSame(numbersOf('18446744073692774399'), [18446744073692774399n]);
  t.strictSame(numbersOf(' 4096\t 131072 -1 '), [4096n, 131072n, -1n]);
  for (const value of ['', ' ', 'cubic', '1 x', '1.5', '0x1', '+1', '9'.repeat(21)])
    t.equal(numbersOf(value), undefined, value);
  t.end();
});

void t.test('blanks and tabs compare as one blank, and around a value as none', (t) => {
  t.equal(oneBlank('\t32768 \t60999  '), '32768 60999');
  t.equal(oneBlank('  '), '');
  t.equal(oneBlank(''), '');
  t.end();
});

void t.test('bounds meet field by field, and only when they have as many', (t) => {
  t.equal(tighter('atLeast', '4 8', '5 7'), '5 8');
  t.equal(tighter('atMost', '4 8', '5 7'), '4 7');
  t.equal(tighter('atLeast', '9', '10'), '10');
  t.equal(tighter('atLeast', '1', '1 2'), undefined);
  t.equal(tighter('atLeast', '1', 'x'), undefined);
  t.end();
});

void t.test('a value is within a bound when every field is', (t) => {
  t.ok(within('atLeast', '4 8', '4 9'));
  t.notOk(within('atLeast', '4 8', '3 9'));
  t.ok(within('atMost', '4 8', '-4 8'));
  t.ok(within('atLeast', '9', '0010'));
  t.equal(within('atMost', '4', '4 4'), undefined);
  t.equal(within('atLeast', '4', 'cubic'), undefined);
  t.end();
});

void t.test('a value keeps two bounds exactly when it keeps the tighter one', (t) => {
  const kind = fc.constantFrom('atLeast' as const, 'atMost' as const);
  const vector = fc
    .array(fc.bigInt({ min: -3n, max: 3n }), { minLength: 1, maxLength: 2 })
    .map((n) => n.join(' '));
  fc.assert(
    fc.property(kind, vector, vector, vector, (kind, one, other, value) => {
      const both = tighter(kind, one, other);
      return (
        both === undefined ||
        value.split(' ').length !== one.split(' ').length ||
        within(kind, both, value) ===
          (within(kind, one, value) === true && within(kind, other, value) === true)
      );
    }),
  );
  t.end();
});
