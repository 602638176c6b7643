import { readFileSync, readdirSync } from 'node:fs';
import * as fc from 'fast-check';
import t from 'tap';
import { appendWord, removeWords, replaceWord } from '../../../agent/unit-file/edit.ts';
import { readUnit } from '../../../agent/unit-file/effective.ts';
import type { EffectiveCommand, Origin } from '../../../agent/unit-file/effective.ts';
import { argvOf } from '../../../agent/unit-file/exec.ts';
import { parse } from '../../../agent/unit-file/parse.ts';

const fixtures = new URL('../../fixtures/units/', import.meta.url);
const flag = '--allowed-unsafe-sysctls=net.core.somaxconn';

function fixture(name: string): string {
  return readFileSync(new URL(name, fixtures), 'utf8');
}

function start(text: string): EffectiveCommand {
  const command = readUnit([{ path: 'u', text }])
    .commands('ExecStart')
    .at(-1);
  if (command === undefined) throw new Error('no ExecStart');
  return command;
}

function argv(text: string): readonly string[] {
  return argvOf(start(text).command);
}

function append(text: string, word = flag): string {
  return appendWord(text, start(text).origin, word);
}

function service(command: string): string {
  return `[Service]\nExecStart=${command}`;
}

const appended: readonly (readonly [fixture: string, old: string, now: string])[] = [
  ['cloud-private.service', '--fail-swap-on=false\n', `--fail-swap-on=false \\\n  ${flag}\n`],
  ['kubeadm-vendor.service', '=/usr/bin/kubelet\n', `=/usr/bin/kubelet ${flag}\n`],
  ['kubeadm-drop-in.conf', '$KUBELET_EXTRA_ARGS\n', `$KUBELET_EXTRA_ARGS ${flag}\n`],
  ['cloud-space-flags.service', '$KUBELET_EXTRA_ARGS\n', `$KUBELET_EXTRA_ARGS \\\n    ${flag}\n`],
  ['tabs-trailing-blanks.service', '$KUBELET_ARGS   \n', `$KUBELET_ARGS \\\n\t\t${flag}   \n`],
  ['no-final-newline.service', '--v=2 \\', `--v=2 \\\n  ${flag} \\`],
  ['windows.service', '--v=2\r\n', `--v=2 \\\r\n    ${flag}\r\n`],
  ['commented.service', '--node-ip=10.0.0.1 \\\n', `--node-ip=10.0.0.1 \\\n  ${flag} \\\n`],
  ['wrapped.service', `'net.core.somaxconn'\n`, `'net.core.somaxconn' \\\n  ${flag}\n`],
  ['shell.service', '2>&1"\n', `2>&1" ${flag}\n`],
  ['existing-flag.service', '$KUBELET_OPTS\n', `$KUBELET_OPTS \\\n    ${flag}\n`],
];

void t.test('every fixture has its expected text', (t) => {
  t.same(
    readdirSync(fixtures)
      .filter((name) => /\.(service|conf)$/.test(name))
      .toSorted(),
    appended.map(([name]) => name).toSorted(),
  );
  t.end();
});

for (const [name, old, now] of appended) {
  void t.test(`a word is added to ${name} in its own style, and taken away without a trace`, (t) => {
    const text = fixture(name);
    t.equal(text.split(old).length, 2, 'the place is unique');
    const edited = append(text);
    t.equal(
      edited,
      text.replace(old, () => now),
    );
    t.same(argv(edited), [...argv(text), flag]);
    const { origin, command } = start(edited);
    t.equal(removeWords(edited, origin, command.words.length - 1, command.words.length), text);
    t.end();
  });
}

void t.test('a word is added where only it changes', (t) => {
  const table: readonly (readonly [title: string, before: string, after: string])[] = [
    ['one line, backslash, blank line', '/k a \\\n\nR=x\n', '/k a W \\\n\nR=x\n'],
    ['one line, backslash, end', '/k a \\', '/k a W \\'],
    ['no final newline', '/k \\\n a', '/k \\\n a \\\n W'],
    ['trailing blanks', '/k a  \nR=x\n', '/k a W  \nR=x\n'],
    ['a line of blanks behind', '/k \\\n\ta \\\n  \nR=x\n', '/k \\\n\ta \\\n\tW \\\n  \nR=x\n'],
    ['comments behind', '/k \\\n a \\\n# c\n;d \\\n\nR=x\n', '/k \\\n a \\\n W \\\n# c\n;d \\\n\nR=x\n'],
    ['glued backslash', '/k\\\n$A\\\n$B\n', '/k\\\n$A\\\n$B\\\nW\n'],
    ['CR only', '/k \\\r  a\rR=x\r', '/k \\\r  a \\\r  W\rR=x\r'],
    ['a quoted word over two lines', '/k "a \\\n b"\nR=x\n', '/k "a \\\n b" W\nR=x\n'],
    ['% at the end of a word', '/k a<5%\n', '/k a<5% W\n'],
    ['a swallowed directive stays swallowed', '/k a \\\nR=x\n', '/k a \\\nR=x \\\nW\n'],
    ['the executable on its own line', '\\\n  /k\n', '\\\n  /k W\n'],
    ['prefixes', '-@/k k\n', '-@/k k W\n'],
  ];
  for (const [title, before, after] of table) t.equal(append(service(before), 'W'), service(after), title);
  t.end();
});

void t.test('an added word is quoted where it must be', (t) => {
  const text = service('/k \\\n  a\n');
  t.equal(append(text, '#x'), service('/k \\\n  a \\\n  "#x"\n'));
  t.equal(append(text, 'a b'), service('/k \\\n  a \\\n  "a b"\n'));
  t.equal(append(text, '5%'), service('/k \\\n  a \\\n  5%%\n'));
  t.end();
});

void t.test('what is not one readable command is not edited', (t) => {
  const refused: readonly (readonly [string, RegExp])[] = [
    ['/k a ; /l b\n', /it holds 2 commands/],
    ['/k "a\n', /unbalanced quote/],
    ['\n', /it holds 0 commands/],
    ['/k a \\ \n', /^line 2 of \/etc\/u ends in a backslash with blanks behind it/],
    ['/k a \\\n b \\\t\n c\n', /^line 3 of \/etc\/u ends in a backslash with blanks behind it/],
  ];
  for (const [value, message] of refused) {
    const origin: Origin = { path: '/etc/u', line: 2, nodeIndex: 1 };
    t.throws(() => appendWord(service(value), origin, 'W'), { code: 'UNIT_UNREADABLE', message }, value);
  }
  const stale: Origin = { path: '/etc/u', line: 9, nodeIndex: 9 };
  t.throws(() => appendWord(service('/k\n'), stale, 'W'), { code: 'UNIT_UNREADABLE' });
  t.end();
});

void t.test('a replaced word keeps the bytes and quotes that its old and new text share', (t) => {
  const table: readonly (readonly [before: string, index: number, text: string, after: string])[] = [
    ['/k --f=a,b --g\n', 1, '--f=a,b,c', '/k --f=a,b,c --g\n'],
    ['/k --f="a,b" --g\n', 1, '--f=a,b,c', '/k --f="a,b,c" --g\n'],
    ["/k --f='a,b'\n", 1, '--f=a,b,c', "/k --f='a,b,c'\n"],
    ['/k "--f=a" \\\n\n', 1, '--f=c,a', '/k "--f=c,a" \\\n\n'],
    ['/k --f \\\n  "a" # \n', 2, 'a,b', '/k --f \\\n  "a,b" # \n'],
    ['/k a\\x20b\n', 1, 'a bc', '/k a\\x20bc\n'],
    ['/k --f=a\n', 1, '--f=a b', '/k "--f=a b"\n'],
    ['/k "x y"\n', 1, 'z', '/k "z"\n'],
    ["/k 'x y'\n", 1, '"z"', `/k '"z"'\n`],
    ['/k x\n', 1, '', '/k ""\n'],
    ['/k 5%%\n', 1, '5%,', '/k 5%%,\n'],
    ['/k 5%\n', 1, '5%n', '/k 5%%n\n'],
    ['/k --h=%H,a\n', 1, '--h=%H,a,b', '/k --h=%H,a,b\n'],
    ['/k --l=${A}\n', 1, '--l=${A},b', '/k --l=${A},b\n'],
    ['/k abc\n', 1, 'ac', '/k ac\n'],
    ['/k abc\n', 1, 'abc', '/k abc\n'],
    ['/k é😀\n', 1, 'é😁', '/k é😁\n'],
  ];
  for (const [before, index, text, after] of table) {
    const unit = service(before);
    t.equal(replaceWord(unit, start(unit).origin, index, text), service(after), before);
  }
  t.end();
});

void t.test('a specifier is not silently made literal, and the executable is not replaced', (t) => {
  const unit = service('/k %n\n');
  t.throws(() => replaceWord(unit, start(unit).origin, 1, 'x'), { code: 'UNIT_UNREADABLE' });
  t.throws(() => replaceWord(unit, start(unit).origin, 0, '/l'), { code: 'INTERNAL' });
  t.end();
});

void t.test('removed words take their line with them and leave no backslash behind', (t) => {
  const table: readonly (readonly [before: string, from: number, to: number, after: string])[] = [
    ['/k a b c\n', 2, 3, '/k a c\n'],
    ['/k a b  \nR=x\n', 2, 3, '/k a  \nR=x\n'],
    ['/k \\\n  a \\\n  b \\\n  c\nR=x\n', 2, 3, '/k \\\n  a \\\n  c\nR=x\n'],
    ['/k \\\n  a \\\n  b\nR=x\n', 2, 3, '/k \\\n  a\nR=x\n'],
    ['/k \\\n  a b \\\n  c\n', 1, 2, '/k \\\n  b \\\n  c\n'],
    ['/k \\\n  --f v \\\n  c\n', 1, 3, '/k \\\n  c\n'],
    ['/k \\\n  --f \\\n  v \\\n  c\n', 1, 3, '/k \\\n  c\n'],
    ['/k \\\n  a \\\n  b \\\n\nR=x\n', 2, 3, '/k \\\n  a \\\n\nR=x\n'],
    ['/k \\\n  a \\\n  b', 2, 3, '/k \\\n  a'],
    ['/k \\\n  a \\\n  b \\', 2, 3, '/k \\\n  a \\'],
    ['/k \\\n  a\nR=x\n', 1, 2, '/k\nR=x\n'],
    ['/k \\\r\n  a\r\nR=x\r\n', 1, 2, '/k\r\nR=x\r\n'],
    ['/k \\\n  a \\\n# b does it\n  b\nR=x\n', 2, 3, '/k \\\n  a\n# b does it\nR=x\n'],
    ['/k \\\n  a \\\n# b does it\n  b \\\n\nR=x\n', 2, 3, '/k \\\n  a \\\n# b does it\n\nR=x\n'],
    ['/k a b\n', 1, 1, '/k a b\n'],
  ];
  for (const [before, from, to, after] of table) {
    const unit = service(before);
    t.equal(removeWords(unit, start(unit).origin, from, to), service(after), JSON.stringify(before));
  }
  const unit = service('/k a\n');
  for (const [from, to] of [
    [0, 1],
    [1, 3],
    [2, 1],
  ] as const) {
    t.throws(() => removeWords(unit, start(unit).origin, from, to), { code: 'INTERNAL' });
  }
  t.end();
});

const word = fc.constantFrom(
  '--a',
  '--b=c',
  '"x y"',
  "'q'",
  '$A',
  '${B}',
  '5%%',
  'a\\x20b',
  '"multi \\\n line"',
  '\\;',
);
const gap = fc.constantFrom(' ', '  ', ' \\\n  ', '\\\n', ' \\\n# why\n    ', ' \\\r\n\t', ' \\\n; \\\n ');
const end = fc.constantFrom('\n', '', '  \n', ' \\\n\n', ' \\', '\r\n', ' \\\n# c\n\n', ' \\\n  \n');
const after = fc.constantFrom(
  'Restart=always\n',
  '\n# c\n\n[Install]\nWantedBy=x\n',
  'junk\nKillMode=process',
);
const unit = fc
  .tuple(fc.constantFrom('', '-', '@'), fc.array(fc.tuple(gap, word), { minLength: 1 }), end, after)
  .filter(([, , end]) => end.endsWith('\n'))
  .map(
    ([prefix, words, end, after]) =>
      `[Unit]\n[Service]\nExecStart=${prefix}/k${words.flat().join('')}${end}${after}`,
  );

// Everything but the command itself and the comments, which may come free when the last line goes.
function settings(text: string): readonly string[] {
  return parse(text)
    .nodes.filter((node) => node.kind !== 'comment' && node.kind !== 'blank')
    .map((node) => (node.kind === 'assignment' && node.key === 'ExecStart' ? 'ExecStart' : node.source));
}

void t.test('an added word is the only difference that systemd would see', (t) => {
  fc.assert(
    fc.property(unit, fc.string(), (text, added) => {
      if (/[\n\0]/.test(added)) return true;
      const edited = append(text, added);
      t.same(argv(edited), [...argv(text), added]);
      t.same(settings(edited), settings(text));
      return true;
    }),
  );
  t.end();
});

void t.test('any word can be replaced or removed, and nothing else changes', (t) => {
  fc.assert(
    fc.property(unit, fc.nat(), fc.string(), (text, seed, other) => {
      const { origin, command } = start(text);
      const words = command.words.map((word) => word.text);
      const index = 1 + (seed % (words.length - 1));
      if (!/[\n\0]/.test(other)) {
        const replaced = replaceWord(text, origin, index, other);
        t.same(
          start(replaced).command.words.map((word) => word.text),
          words.with(index, other),
        );
        t.same(settings(replaced), settings(text));
      }
      if (command.prefixes === '@' && words.length === 2) return true;
      const removed = removeWords(text, origin, index, index + 1);
      t.same(
        start(removed).command.words.map((word) => word.text),
        words.toSpliced(index, 1),
      );
      t.same(settings(removed), settings(text));
      return true;
    }),
  );
  t.end();
});
