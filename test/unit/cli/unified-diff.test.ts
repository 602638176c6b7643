import * as fc from 'fast-check';
import t from 'tap';
import { unifiedDiff } from '../../../agent/cli/unified-diff.ts';

/** What `patch` does, without fuzz: every context and removed line must be where the hunk says. */
function patched(before: string, diff: readonly string[]): string {
  const old = before.match(/[^\n]*\n|[^\n]+$/g) ?? [];
  const result: string[] = [];
  let at = 0;
  for (const [index, line] of diff.entries()) {
    if (index < 2) continue;
    const hunk = /^@@ -(\d+)(?:,(\d+))? \+\d+(?:,\d+)? @@$/.exec(line);
    if (hunk) {
      const start = Number(hunk[1]) - (hunk[2] === '0' ? 0 : 1);
      result.push(...old.slice(at, start));
      at = start;
      continue;
    }
    if (line.startsWith('\\')) continue;
    const text = line.slice(1) + (diff[index + 1]?.startsWith('\\') ? '' : '\n');
    if (line.startsWith('+')) {
      result.push(text);
      continue;
    }
    if (old[at] !== text)
      throw new Error(`line ${at + 1} is ${JSON.stringify(old[at])}, the diff says ${JSON.stringify(text)}`);
    if (line.startsWith(' ')) result.push(text);
    at += 1;
  }
  return [...result, ...old.slice(at)].join('');
}

const text = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', 'c', 'd', '', 'é\r'), { maxLength: 40 }), fc.boolean())
  .map(([lines, ends]) => lines.join('\n') + (ends && lines.length > 0 ? '\n' : ''));

void t.test('a diff applied to the old text gives the new one', (t) => {
  fc.assert(
    fc.property(text, text, (before, after) => {
      t.equal(patched(before, unifiedDiff('/x', before, after)), after);
    }),
    { numRuns: 500 },
  );
  t.end();
});

void t.test(
  'a diff shows no more changed lines than replacing everything, and the fewest for single edits',
  (t) => {
    fc.assert(
      fc.property(fc.array(fc.nat(5), { minLength: 1, maxLength: 30 }), fc.nat(29), (numbers, position) => {
        const lines = numbers.map(String);
        const at = position % lines.length;
        const edited = [...lines.slice(0, at), 'new', ...lines.slice(at)];
        const diff = unifiedDiff('/x', `${lines.join('\n')}\n`, `${edited.join('\n')}\n`).slice(2);
        t.same(
          diff.filter((line) => line.startsWith('+') || line.startsWith('-')),
          ['+new'],
        );
      }),
    );
    t.end();
  },
);

void t.test('equal texts have no diff', (t) => {
  t.same(unifiedDiff('/x', 'a\n', 'a\n'), []);
  t.same(unifiedDiff('/x', null, null), []);
  t.end();
});

void t.test('a diff reads as diff -u prints it', (t) => {
  const before = '1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n';
  t.same(unifiedDiff('/etc/x.conf', before, before.replace('2\n', 'two\n').replace('11\n', '')), [
    '--- a/etc/x.conf',
    '+++ b/etc/x.conf',
    '@@ -1,5 +1,5 @@',
    ' 1',
    '-2',
    '+two',
    ' 3',
    ' 4',
    ' 5',
    '@@ -8,5 +8,4 @@',
    ' 8',
    ' 9',
    ' 10',
    '-11',
    ' 12',
  ]);
  t.end();
});

void t.test('files that come and go are compared with /dev/null', (t) => {
  t.same(unifiedDiff('/etc/x', null, 'a\nb\n'), [
    '--- /dev/null',
    '+++ b/etc/x',
    '@@ -0,0 +1,2 @@',
    '+a',
    '+b',
  ]);
  t.same(unifiedDiff('/etc/x', 'a', null), [
    '--- a/etc/x',
    '+++ /dev/null',
    '@@ -1 +0,0 @@',
    '-a',
    '\\ No newline at end of file',
  ]);
  t.end();
});

void t.test('two large texts without a line in common are compared in bounded work', (t) => {
  const lines = (word: string): string =>
    Array.from({ length: 20_000 }, (_, index) => `${word}${index}\n`).join('');
  const before = lines('a');
  const after = lines('b');
  t.equal(patched(before, unifiedDiff('/x', before, after)), after);
  t.end();
});
