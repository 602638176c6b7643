import * as fc from 'fast-check';
import t from 'tap';
import { durationPattern, formatDuration, parseDuration } from '../../../agent/policy/durations.ts';

void t.test('durations are read largest unit first, each unit once', (t) => {
  const table: readonly (readonly [string, number | undefined])[] = [
    ['30s', 30_000],
    ['2m', 120_000],
    ['1m30s', 90_000],
    ['500ms', 500],
    ['1m1s1ms', 61_001],
    ['0s', 0],
    ['', undefined],
    ['30', undefined],
    ['1s1m', undefined],
    ['1s1s', undefined],
    ['1.5s', undefined],
    ['-1s', undefined],
    [' 1s', undefined],
    ['1s\n', undefined],
  ];
  for (const [text, ms] of table) t.equal(parseDuration(text), ms, JSON.stringify(text));
  t.end();
});

void t.test('what is written is read back, and the schema takes it', (t) => {
  fc.assert(
    fc.property(fc.nat(100_000_000), (ms) => {
      const text = formatDuration(ms);
      return parseDuration(text) === ms && durationPattern.test(text);
    }),
  );
  t.end();
});
