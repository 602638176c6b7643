import * as fc from 'fast-check';
import t from 'tap';
import type { Expectation } from '../../../agent/sysctl/values.ts';
import {
  canonicalValue,
  expectationProblem,
  judge,
  sameValue,
  valueFields,
  valueToWrite,
} from '../../../agent/sysctl/values.ts';

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

void t.test('a bound says nothing about vectors, texts and nothing', (t) => {
  for (const reading of ['4096\t131072\n', 'cubic\n', '\n', '1.5\n', '0x10\n']) {
    t.equal(judge(reading, atLeast('1')), 'incomparable', reading);
  }
  t.equal(judge('1', atLeast('many')), 'incomparable');
  t.end();
});

void t.test('what is written is the value, or the bound', (t) => {
  t.equal(valueToWrite(value(' 32768 60999 ')), '32768 60999');
  t.equal(valueToWrite(atLeast('1024')), '1024');
  t.equal(valueToWrite(atMost('60')), '60');
  t.end();
});

void t.test('expectations that cannot be met or written are problems', (t) => {
  t.equal(expectationProblem('a.b', value('1 2\t3')), undefined);
  t.equal(expectationProblem('a.b', value('')), undefined);
  t.equal(expectationProblem('a.b', atLeast('-5')), undefined);
  t.same(expectationProblem('a.b', atLeast('1k')), {
    code: 'SYSCTL_VALUE_INVALID',
    message: 'atLeast of a.b is "1k", not a decimal integer',
    next: 'Write one integer, or use value for a text or several fields.',
  });
  t.match(expectationProblem('a.b', atMost('1 2')), {
    message: 'atMost of a.b is "1 2", not a decimal integer',
  });
  t.match(expectationProblem('a.b', value('1\n2')), {
    message: 'the value of a.b holds a control character',
  });
  t.match(expectationProblem('a.b', value('x'.repeat(4096))), {
    message: 'the value of a.b has 4096 characters',
  });
  t.equal(expectationProblem('a.b', value('x'.repeat(4095))), undefined);
  t.end();
});

void t.test('fields are what the metrics show', (t) => {
  t.same(valueFields('4096\t131072\t33554432\n'), ['4096', '131072', '33554432']);
  t.same(valueFields('\n'), []);
  t.end();
});

void t.test('laws: what is written meets the expectation; canonical values are canonical', (t) => {
  const kinds = fc.constantFrom('atLeast' as const, 'atMost' as const);
  fc.assert(
    fc.property(kinds, fc.bigInt(), (kind, bound) => {
      const expectation: Expectation = { kind, value: String(bound) };
      return (
        expectationProblem('a.b', expectation) !== undefined ||
        judge(valueToWrite(expectation), expectation) === 'met'
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
