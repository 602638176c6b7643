import * as fc from 'fast-check';
import { parse as parseIni } from 'ini';
import t from 'tap';
import { argvOf } from '../../../agent/unit-file/exec.ts';
import { readUnit } from '../../../agent/unit-file/effective.ts';
import type { EffectiveUnit } from '../../../agent/unit-file/effective.ts';

function read(...texts: readonly string[]): EffectiveUnit {
  return readUnit(texts.map((text, index) => ({ path: `/${index}`, text })));
}

function starts(unit: EffectiveUnit): readonly (readonly string[])[] {
  return unit.commands('ExecStart').map(({ command }) => argvOf(command));
}

void t.test('the last scalar wins over all files and sections of a name', (t) => {
  const unit = read(
    '[Service]\nRestart=no\n[Unit]\nA=1\n[Service]\nRestart=always\n',
    '[Service]\nRestart=on-failure\n',
  );
  t.same(unit.last('Service', 'Restart'), {
    value: 'on-failure',
    origin: { path: '/1', line: 2, nodeIndex: 1 },
  });
  t.same(
    unit.all('Service', 'Restart').map(({ value }) => value),
    ['no', 'always', 'on-failure'],
  );
  t.equal(unit.last('Unit', 'Restart'), undefined);
  t.end();
});

void t.test('an empty assignment resets commands and lists', (t) => {
  const unit = read(
    '[Service]\nExecStart=/a\nEnvironmentFile=/x\nEnvironmentFile=/y\n',
    '[Service]\nExecStart=\nExecStart=/b c\nEnvironmentFile= \\\n\nEnvironmentFile=/z\nRestart=no\nRestart=\n',
  );
  t.same(starts(unit), [['/b', 'c']]);
  t.same(
    unit.all('Service', 'EnvironmentFile').map(({ value }) => value),
    ['/z'],
  );
  t.equal(unit.last('Service', 'Restart'), undefined);
  t.same(unit.problems, []);
  t.end();
});

void t.test('a drop-in without a reset adds a second command', (t) => {
  t.same(starts(read('[Service]\nExecStart=/a\n', '[Service]\nExecStart=/b\n')), [['/a'], ['/b']]);
  t.end();
});

void t.test('commands split by ; keep one origin', (t) => {
  const unit = read('[Service]\n\nExecStart=/a ; /b\n');
  t.same(starts(unit), [['/a'], ['/b']]);
  t.same(
    unit.commands('ExecStart').map(({ origin }) => origin.line),
    [3, 3],
  );
  t.end();
});

void t.test('only [Service] holds commands', (t) => {
  t.same(starts(read('ExecStart=/a\n[Unit]\nExecStart=/b\n[ Service ]\nExecStart=/c\n')), []);
  t.end();
});

// What systemd 252 did with each of these.
const hazards: readonly (readonly [
  title: string,
  text: string,
  argv: readonly (readonly string[])[],
  restart: string | undefined,
  problems: readonly string[],
])[] = [
  ['a comment inside a continuation', '/k \\\n# x \\\n--b\nRestart=a\n', [['/k', '--b']], 'a', []],
  ['a blank line after a backslash', '/k --a \\\n\nRestart=a\n', [['/k', '--a']], 'a', []],
  ['a backslash and the end', '/k --a \\', [['/k', '--a']], undefined, []],
  ['a blank after the backslash', '/k \\ \n--b\nRestart=a\n', [['/k', '\\']], 'a', ['3 lineIgnored']],
  ['a backslash before a directive', '/k a \\\nRestart=a\n', [['/k', 'a', 'Restart=a']], undefined, []],
  ['glued words', '/k $A\\\n$B\nRestart=a\n', [['/k', '$A', '$B']], 'a', []],
  ['CR LF', '/k \\\r\n --b\r\nRestart=a\r\n', [['/k', '--b']], 'a', []],
  ['an unbalanced quote', '/k "a\nRestart=a\n', [], undefined, ['2 unitRefused']],
  ['one behind the prefix -', '-/k "a\nRestart=a\n', [], 'a', ['2 lineIgnored']],
  ['one in the executable', '"/k\nRestart=a\n', [], 'a', ['2 lineIgnored']],
  ['a bad section', '/k\n[Service\nRestart=a\n', [['/k']], undefined, ['3 unitRefused']],
];

for (const [title, text, argv, restart, problems] of hazards) {
  void t.test(`${title} means what it means to systemd`, (t) => {
    const unit = read(`[Service]\nExecStart=${text}`);
    t.same(starts(unit), argv);
    t.equal(unit.last('Service', 'Restart')?.value, restart);
    t.same(
      unit.problems.map(({ origin, effect }) => `${origin.line} ${effect}`),
      problems,
    );
    t.end();
  });
}

void t.test('a drop-in that systemd cannot read is in force up to the fault', (t) => {
  const unit = read('[Service]\nExecStart=/a\n', '[Service]\nRestart=no\n[Bad\nRestart=always\n');
  t.equal(unit.last('Service', 'Restart')?.value, 'no');
  t.match(unit.problems, [{ effect: 'restOfFileIgnored', origin: { path: '/1', line: 3 } }]);
  t.end();
});

void t.test('a YAML file among the drop-ins is harmless', (t) => {
  const unit = read(
    '[Service]\nExecStart=/a\n',
    'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: X\na: b=c\n',
  );
  t.same(starts(unit), [['/a']]);
  t.same(
    unit.problems.map(({ effect }) => effect),
    ['lineIgnored', 'lineIgnored', 'lineIgnored'],
  );
  t.end();
});

void t.test('a line of 1 MiB makes systemd refuse the unit', (t) => {
  const line = `Description=${'x'.repeat(1024 * 1024 - 12)}`;
  t.match(read(`[Unit]\n${line}\n`).problems, [{ effect: 'unitRefused', origin: { line: 2 } }]);
  t.same(read(`[Unit]\n${line.slice(0, -1)}\n`).problems, []);
  t.end();
});

void t.test('on plain units an independent INI parser sees the same', (t) => {
  const name = fc.stringMatching(/^[A-Z][a-z]{1,8}$/);
  const value = fc
    .stringMatching(/^[a-z0-9][a-z0-9 ,/:.-]{0,20}[a-z0-9]$/)
    .filter((text) => Number.isNaN(Number(text)));
  const keys = fc.dictionary(name, value, { minKeys: 1 }).map((keys) => Object.entries(keys));
  const file = fc.dictionary(name, keys, { minKeys: 1 }).map((sections) => Object.entries(sections));
  fc.assert(
    fc.property(
      file,
      fc.constantFrom('=', ' = '),
      fc.constantFrom('\n', '\n\n', '\n# c\n'),
      (sections, equals, gap) => {
        const text = sections
          .map(
            ([name, keys]) =>
              `[${name}]${gap}${keys.map(([key, value]) => `${key}${equals}${value}${gap}`).join('')}`,
          )
          .join(gap);
        const unit = read(text);
        const oracle: Record<string, Record<string, unknown>> = parseIni(text);
        for (const [section, keys] of sections) {
          for (const [key] of keys) {
            t.equal(unit.last(section, key)?.value, oracle[section]?.[key]);
          }
        }
        return unit.problems.length === 0;
      },
    ),
  );
  t.end();
});
