import * as fc from 'fast-check';
import t from 'tap';
import { argvOf, parseExec } from '../../../agent/unit-file/exec.ts';
import type { ExecParse } from '../../../agent/unit-file/exec.ts';
import { parse } from '../../../agent/unit-file/parse.ts';
import { quoteWord, quoteArgument, renderExec } from '../../../agent/unit-file/quote.ts';

function exec(value: string): ExecParse {
  const node = parse(`[Service]\nExecStart=${value}`).nodes[1];
  if (node?.kind !== 'assignment') throw new Error('not an assignment');
  return parseExec(node);
}

function commands(value: string): readonly string[][] {
  const parsed = exec(value);
  if (!parsed.ok) throw new Error(parsed.reason);
  return parsed.commands.map((command) => [
    ...(command.prefixes === '' ? [] : [command.prefixes]),
    ...command.words.map((word) => (word.hasSpecifier ? `(${word.text})` : word.text)),
  ]);
}

const table: readonly (readonly [title: string, value: string, commands: readonly string[][]])[] = [
  ['words are split at blanks and tabs', '/k  --a\t--b', [['/k', '--a', '--b']]],
  ['an empty value holds no command', '  ', []],
  ['words glued by a backslash are two', '/k $A\\\n$B', [['/k', '$A', '$B']]],
  ['quotes in the middle of a word go', `/k a"b c"d'e f'`, [['/k', 'ab cde f']]],
  ['an empty pair of quotes is an argument', `/k "" ''`, [['/k', '', '']]],
  ['the other quotes stay inside', `/k "'" '"'`, [['/k', "'", '"']]],
  ['C escapes are decoded', String.raw`/k \x20 \t\s\101 \"\\\'`, [['/k', ' ', '\t A', '"\\\'']]],
  ['and inside quotes too', String.raw`/k '\x41\'' "\x22"`, [['/k', "A'", '"']]],
  ['bytes join to characters', String.raw`/k \xc3\xa9 \u00e9 \U0001F600`, [['/k', 'é', 'é', '😀']]],
  ['unknown escapes stay', String.raw`/k \q \x0g \000 \400`, [['/k', '\\q', '\\x0g', '\\000', '\\400']]],
  ['an unknown escape swallows a blank', String.raw`/k \ b`, [['/k', '\\ b']]],
  ['a backslash at the very end stays', '/k a\\ ', [['/k', 'a\\']]],
  ['an unknown escape of %% is of one %', String.raw`/k \%% \%n`, [['/k', '\\%', '(\\%n)']]],
  ['%% is %', '/k 5%% %%n', [['/k', '5%', '%n']]],
  ['a specifier is left and flagged', '/k %n 10%qx', [['/k', '(%n)', '(10%qx)']]],
  ['a % before anything else stays', '/k 5% a%,b %%%', [['/k', '5%', 'a%,b', '%%']]],
  ['an escape can spell a specifier', String.raw`/k \x25n`, [['/k', '(%n)']]],
  ['$ is left alone', '/k $A ${B}c $$d', [['/k', '$A', '${B}c', '$$d']]],
  ['prefixes are taken off in any order', '-@/k k', [['-@', '/k', 'k']]],
  ['each prefix counts once', ':-+/k', [[':-+', '/k']]],
  ['!! is two prefixes', '!!/k', [['!!', '/k']]],
  ['prefixes may be quoted with the path', '"-/k l"', [['-', '/k l']]],
  ['a lone ; separates commands', '/k a ; /l ; -/m', [['/k', 'a'], ['/l'], ['-', '/m']]],
  ['a ; at an end separates nothing', '; /k a ;', [['/k', 'a']]],
  ['an escaped or quoted ; is an argument', String.raw`/k \; ";" a;b`, [['/k', ';', ';', 'a;b']]],
  ['an executable may be a bare name', 'kubelet a', [['kubelet', 'a']]],
  ['a comment between lines is no argument', '/k \\\n# x "\n  a', [['/k', 'a']]],
];

for (const [title, value, wanted] of table) {
  void t.test(title, (t) => {
    t.same(commands(value), wanted);
    t.end();
  });
}

void t.test('what systemd refuses is not parsed', (t) => {
  const refused: readonly (readonly [string, string, boolean])[] = [
    ['/k "a', 'unbalanced quote "', true],
    [`-/k 'a`, "unbalanced quote '", false],
    ['"/k', 'unbalanced quote "', false],
    ['/k "a\\', 'unbalanced quote "', true],
    ['@/k', 'no argv[0] after the prefix @', true],
    ['-', 'no executable', false],
    ['bin/k', 'bin/k is neither an absolute path nor the name of an executable', true],
    ['--/k', '-/k is neither an absolute path nor the name of an executable', false],
    ['+!/k', '!/k is neither an absolute path nor the name of an executable', true],
    ['/bin/', 'the executable /bin/ is a directory', true],
    [String.raw`/k\\l`, String.raw`special characters in the executable "/k\\l"`, true],
    [String.raw`/k \xff`, 'byte escapes that are not UTF-8', true],
    [String.raw`/k \ud800`, String.raw`\ud800 is not a character`, true],
  ];
  for (const [value, reason, fatal] of refused) {
    t.match(exec(value), { ok: false, reason, fatal }, value);
  }
  t.end();
});

void t.test('commands before the fault in a line are kept', (t) => {
  const parsed = exec('/k a ; /l "b');
  t.equal(parsed.ok, false);
  t.same(
    parsed.commands.map((command) => argvOf(command)),
    [['/k', 'a']],
  );
  t.end();
});

void t.test('a word says where it stands in the source, quotes and continuation included', (t) => {
  const node = parse('[Service]\nExecStart = \\\n  -/k \\\n# x\n  "a \\\nb"c\n').nodes[1];
  if (node?.kind !== 'assignment') throw new Error('not an assignment');
  const parsed = parseExec(node);
  const stretches = parsed.commands[0]?.words.map((word) => node.source.slice(word.start, word.end));
  t.same(stretches, ['-/k', '"a \\\nb"c']);
  t.end();
});

const argument = fc
  .oneof(
    fc.string({ unit: 'grapheme' }),
    fc.string({
      unit: fc.constantFrom('$', '%', '\\', '"', "'", ' ', '\t', ';', '#', 'n', '{', '}', '\r', '\uFEFF'),
    }),
  )
  .filter((text) => !/[\n\0]/.test(text) && text.isWellFormed());

void t.test('a quoted argument reads back as itself, also on a line of its own', (t) => {
  fc.assert(
    fc.property(argument, (text) => {
      for (const gap of [' ', ' \\\n', '\\\r\n  ']) {
        const [command] = commands(`/k${gap}${quoteArgument(text)}${gap}z`);
        if (JSON.stringify(command) !== JSON.stringify(['/k', text, 'z'])) return false;
      }
      return true;
    }),
    { numRuns: 1000 },
  );
  t.end();
});

void t.test('a literal word is quoted only where it must be', (t) => {
  const spellings: readonly (readonly [string, string])[] = [
    ['--allowed-unsafe-sysctls=net.*,kernel.msg*', '--allowed-unsafe-sysctls=net.*,kernel.msg*'],
    ['a b', '"a b"'],
    ['', '""'],
    ['5%', '5%%'],
    ['$A', '$$A'],
    ['\\', '\\\\'],
    [`"'`, `"\\"'"`],
    ['#a', '"#a"'],
    [';', '";"'],
    ['a;b#c', 'a;b#c'],
    ['\r', '\\x0d'],
  ];
  for (const [text, unitText] of spellings) t.equal(quoteWord(text), unitText);
  t.end();
});

void t.test('what cannot stand in a line is refused', (t) => {
  for (const text of ['a\nb', '\0', '\uD800']) t.throws(() => quoteWord(text), { code: 'INTERNAL' });
  t.end();
});

void t.test('a command from D-Bus is written so that it reads back', (t) => {
  t.equal(renderExec('', '/usr/bin/kubelet', ['/usr/bin/kubelet', '$A', '5%']), '/usr/bin/kubelet $A 5%%');
  t.equal(renderExec('-', '/bin/k', ['kubelet', 'a b']), '@-/bin/k kubelet "a b"');
  t.equal(renderExec('@', '/bin/k', ['/bin/k', 'a']), '@/bin/k /bin/k a');
  t.equal(renderExec('', '/bin/k', ['/bin/k', '#a', '--b'], 'oneWordALine'), '/bin/k \\\n  "#a" \\\n  --b');
  t.throws(() => renderExec('', '/bin/k\\', ['/bin/k\\']), { code: 'INTERNAL' });
  fc.assert(
    fc.property(fc.array(argument), fc.constantFrom('', '-', ':', '+', '!!', '-@'), (rest, prefixes) => {
      const argv = ['/usr/bin/kubelet', ...rest];
      return (['oneLine', 'oneWordALine'] as const).every((layout) => {
        const parsed = exec(renderExec(prefixes, '/usr/bin/kubelet', argv, layout));
        const [command] = parsed.commands;
        return parsed.ok && command !== undefined && JSON.stringify(argvOf(command)) === JSON.stringify(argv);
      });
    }),
  );
  t.end();
});
