import * as fc from 'fast-check';
import t from 'tap';
import type { Expectation } from '../../../agent/sysctl/values.ts';
import { canonicalValue, judge, sameValue, valueFields, valueToWrite } from '../../../agent/sysctl/values.ts';

const value = (text: string): Expectation => ({ kind: 'value', value: text });
const atLeast = (text: string): Expectation => ({ kind: 'atLeast', value: text });
const atMost = (text: string): Expectation => ({ kind: 'atMost', value: text });

void t.test('blanks and tabs compare as one blank, and the line end of the kernel does not count', (t) => {
  t.equal(judge('32768\t60999\n', value('32768 60999')), 'met');
  t.equal(judge('4096\t131072\t33554432\n', value('  4096  131072 \t 33554432')), 'met');
  t.equal(judge('\n', value('')), 'met');
  t.equal(judge('32768\t60999\n', value('3276860999')), 'drifted');
  t.equal(judge('1\n', value('01')), 'drifted');
  t.equal(judge('cubic\n', value('cubic')), 'met');
  t.equal(judge('Cubic\n', value('cubic')), 'drifted');
  t.equal(sameValue('a\nb\n', 'a b'), false);
  t.end();
});

void t.test('bounds hold their own value and are exact beyond 2^53 and below zero', (t) => {
  t.equal(judge('1024\n', atLeast('1024')), 'met');
  t.equal(judge('1023\n', atLeast('1024')), 'drifted');
  t.equal(judge('1024\n', atMost('1024')), 'met');
  t.equal(judge('1025\n', atMost('1024')), 'drifted');
  t.equal(judge('18446744073692774399\n', atLeast('18446744073692774400')), 'drifted');
  t.equal(judge('18446744073692774400\n', atLeast('18446744073692774400')), 'met');
  t.equal(judge('-1\n', atLeast('0')), 'drifted');
  t.equal(judge('10\n', atLeast('9')), 'met');
  t.end();
});

void t.test('a bound of several fields holds when it holds for each', (t) => {
  const rmem = atLeast('4096 87380 6291456');
  t.equal(judge('4096\t87380\t6291456\n', rmem), 'met');
  t.equal(judge('8192\t131072\t33554432\n', rmem), 'met');
  t.equal(judge('8192\t131072\t6291455\n', rmem), 'drifted', 'the last field is too small');
  t.equal(judge('4095\t131072\t33554432\n', rmem), 'drifted', 'the first one is');
  t.equal(judge('32768\t60999\n', atMost('40000 60999')), 'met');
  t.equal(judge('40001\t60000\n', atMost('40000  60999')), 'drifted');
  t.equal(judge('1\t0\n', atMost('1 -1')), 'drifted');
  t.end();
});

void t.test('a bound says nothing about texts, nothing, and another number of fields', (t) => {
  for (const reading of ['4096\t131072\n', 'cubic\n', '\n', '1.5\n', '0x10\n', '1\n2\n']) {
    t.equal(judge(reading, atLeast('1')), 'incomparable', reading);
  }
  t.equal(judge('4096\n', atLeast('1 2')), 'incomparable');
  t.equal(judge('1', atLeast('many')), 'incomparable');
  t.end();
});

void t.test('what is written is the value, or as much of the bound as is needed', (t) => {
  t.equal(valueToWrite(value(' 32768 60999 '), '1 2\n'), '32768 60999');
  t.equal(valueToWrite(atLeast('1024'), '128\n'), '1024');
  t.equal(valueToWrite(atMost('60'), '61\n'), '60');
  const rmem = '4096\t131072\t4194304\n';
  t.equal(valueToWrite(atLeast('4096 87380 6291456'), rmem), '4096 131072 6291456', 'the second stays');
  t.equal(valueToWrite(atMost('4096 87380 6291456'), rmem), '4096 87380 4194304', 'the last stays');
  t.end();
});

void t.test('fields are what the metrics show', (t) => {
  t.same(valueFields('4096\t131072\t33554432\n'), ['4096', '131072', '33554432']);
  t.same(valueFields('\n'), []);
  t.end();
});

void t.test('laws: what is written meets the expectation; canonical values are canonical', (t) => {
  const kinds = fc.constantFrom('atLeast' as const, 'atMost' as const);
  const fields = fc.array(fc.tuple(fc.bigInt({ min: -9n, max: 9n }), fc.bigInt({ min: -9n, max: 9n })), {
    minLength: 1,
    maxLength: 3,
  });
  fc.assert(
    fc.property(kinds, fields, (kind, pairs) => {
      const expectation: Expectation = { kind, value: pairs.map(([bound]) => bound).join(' ') };
      const reading = `${pairs.map(([, field]) => field).join('\t')}\n`;
      const written = valueToWrite(expectation, reading);
      return (
        judge(written, expectation) === 'met' &&
        (judge(reading, expectation) === 'drifted' || sameValue(written, reading))
      );
    }),
  );
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom('a', '1', ' ', '\t', '\n'), maxLength: 10 }), (text) => {
      const once = canonicalValue(text);
      return canonicalValue(once) === once && judge(`${text}\n`, value(text)) === 'met';
    }),
  );
  t.end();
});
