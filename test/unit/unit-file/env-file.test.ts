import * as fc from 'fast-check';
import t from 'tap';
import type { EnvOptions } from '../../../agent/unit-file/env-file.ts';
import { parseEnvFile, readEnv, setEnvValue } from '../../../agent/unit-file/env-file.ts';

const now = { systemdVersion: 254 };
const then = { systemdVersion: 253 };
const unknown = { systemdVersion: undefined };

function values(text: string, options: EnvOptions = now): readonly string[] {
  return parseEnvFile(text, options).assignments.map(({ name, value }) => `${name}=${value}`);
}

const table: readonly (readonly [title: string, text: string, values: readonly string[]])[] = [
  ['names and values are trimmed', '  A = b c \t\n', ['A=b c']],
  ['an empty value is a value', 'A=\nB=""\n', ['A=', 'B=']],
  ['double quotes go, and escape as in a shell', String.raw`A="a\"b\\c\$d\e"`, [String.raw`A=a"b\c$d\e`]],
  ['single quotes go, and escape nothing', String.raw`A='a\b"'`, [String.raw`A=a\b"`]],
  ['quoted parts and a bare part join', `A="b"'c' d`, ['A=bcd']],
  ['quotes behind a bare part stay', `A=b"c"`, ['A=b"c"']],
  ['a backslash makes a bare character literal', String.raw`A=a\"b\ `, ['A=a"b ']],
  ['a backslash joins lines, bare or in double quotes', 'A=a\\\n b\nC="d\\\n  e"', ['A=a b', 'C=d  e']],
  ['a newline inside quotes stays', `A="b\n# c\nd"`, ['A=b\n# c\nd']],
  ['a # behind a value is part of it', 'A=b # c\n', ['A=b # c']],
  ['comments begin with # or ;', '# A=1\n ; B=2\nC=3\n', ['C=3']],
  ['CR ends a line too', 'A=1\rB=2\r\nC=3', ['A=1', 'B=2', 'C=3']],
  ['an open quote ends with the file', 'A="b\nC=d\n', ['A=b\nC=d\n']],
  ['a name may come twice', 'A=1\nA=2\n', ['A=1', 'A=2']],
  ['what follows on from export is ignored', 'export A=1\nB=2\n', ['B=2']],
  ['a line without = is ignored', 'A\nB=2\n', ['B=2']],
  ['a name that is none is ignored with its whole value', '1A="x\nB=3"\nB=2\n', ['B=2']],
  ['a line that begins with = looks for another one', '="x\nB=1\n=C=2\n', ['B=1']],
  ['a byte order mark spoils the first name', '\uFEFFA=1\nB=2\n', ['B=2']],
];

for (const [title, text, wanted] of table) {
  void t.test(title, (t) => {
    t.same(values(text), wanted);
    t.end();
  });
}

void t.test('until systemd 253 a comment that ends in a backslash takes the next line with it', (t) => {
  const text = '# old \\\nA=1\nB=2\n';
  t.same(values(text, then), ['B=2']);
  t.same(values(text, now), ['A=1', 'B=2']);
  t.same(values(text, unknown), ['A=1', 'B=2']);
  t.equal(parseEnvFile(text, unknown).dependsOnVersion, true);
  t.equal(parseEnvFile('# a \\b\nA=1\n', unknown).dependsOnVersion, false);
  t.end();
});

void t.test('a file with a NUL byte is refused whole', (t) => {
  t.match(parseEnvFile('A=1\n\0', now), { refused: true, assignments: [] });
  t.throws(() => setEnvValue('A=1\n\0', 'A', '2', now), { code: 'UNIT_UNREADABLE' });
  t.end();
});

void t.test('ignored lines are named', (t) => {
  t.same(parseEnvFile('\nexport A=1\nfoo\n', now).ignored, [
    { line: 2, reason: `"export A" is not a variable's name` },
    { line: 3, reason: "no '='" },
  ]);
  t.end();
});

void t.test('an assignment says where it stands', (t) => {
  const text = '# x\n A = "b \\\n c" \nD=e';
  const [a, d] = parseEnvFile(text, now).assignments;
  t.match(a, { line: 2, quote: '"' });
  t.equal(text.slice(a?.start, a?.end), 'A = "b \\\n c" ');
  t.equal(text.slice(a?.valueStart, a?.valueEnd), '"b \\\n c"');
  t.match(d, { line: 4, quote: '' });
  t.equal(text.slice(d?.valueStart, d?.valueEnd), 'e');
  t.end();
});

void t.test('a file beats Environment=, and a later file or line an earlier one', (t) => {
  const files = [
    { path: '/a', text: 'X=a\nY=a\nY=a2\n' },
    { path: '/b', text: 'Y=b\n' },
  ];
  t.same(
    [...readEnv(files, ['X=inline', 'Z=1=2', 'broken'], now)],
    [
      ['X', { value: 'a', from: '/a' }],
      ['Z', { value: '1=2', from: 'Environment=' }],
      ['Y', { value: 'b', from: '/b' }],
    ],
  );
  t.end();
});

void t.test('a value is changed in its own style', (t) => {
  const flag = '--allowed-unsafe-sysctls=net.*';
  const edits: readonly (readonly [before: string, value: string, after: string])[] = [
    ['A=\n', flag, `A=${flag}\n`],
    ['A=""\n', flag, `A="${flag}"\n`],
    ["A=''\n", `--v=2 ${flag}`, `A='--v=2 ${flag}'\n`],
    ['A=--v=2\n', `--v=2 ${flag}`, `A="--v=2 ${flag}"\n`],
    ['A=--v=2\n', '--v=4', 'A=--v=4\n'],
    ['A="--v=2"\n', `--v=2 ${flag}`, `A="--v=2 ${flag}"\n`],
    ['A="--v=2 \\\n  --x"\n# c\n', `--v=2   --x ${flag}`, `A="--v=2 \\\n  --x ${flag}"\n# c\n`],
    ['A=--v=2 --x\n', `--v=2 --x ${flag}`, `A=--v=2 --x ${flag}\n`],
    ['A=1\n A = 2 \nB=3', '4', 'A=1\n A = 4 \nB=3'],
    ['A="a\\$b"\n', 'a$b`c`', 'A="a\\$b\\`c\\`"\n'],
    ["A='a'\n", "a'b", `A="a'b"\n`],
    ['A="x"\n', '', 'A=""\n'],
    ['A=x', '', 'A='],
    ["A=--l='q'\n", "--l='q,r'", `A=--l='q,r'\n`],
    ['A=x\r\nB=y\r\n', 'z', 'A=z\r\nB=y\r\n'],
    ['A=same # \\\n\n', 'same # ', 'A=same # \\\n\n'],
  ];
  for (const [before, value, after] of edits) {
    t.equal(setEnvValue(before, 'A', value, now), after, JSON.stringify(before));
  }
  t.end();
});

void t.test('a variable that is not there yet gets a line at the end', (t) => {
  t.equal(setEnvValue('', 'A', 'x', now), 'A=x\n');
  t.equal(setEnvValue('B=1', 'A', 'x y', now), 'B=1\nA="x y"\n');
  t.equal(setEnvValue('B=1\r\n', 'A', 'x', now), 'B=1\r\nA=x\r\n');
  t.equal(setEnvValue('B=1 \\\n', 'A', 'x', now), 'B=1 \\\n\nA=x\n');
  t.equal(setEnvValue('export A=1\n', 'A', 'x', now), 'export A=1\nA=x\n');
  t.equal(setEnvValue('# c \\\n', 'A', 'x', then), '# c \\\n\nA=x\n');
  t.equal(setEnvValue('# c \\\n', 'A', 'x', now), '# c \\\nA=x\n');
  t.equal(setEnvValue('# c \\\n', 'A', 'x', unknown), '# c \\\n\nA=x\n');
  t.end();
});

void t.test('a file that cannot be changed without doubt is refused', (t) => {
  t.throws(() => setEnvValue('B="open\n', 'A', 'x', now), { code: 'UNIT_UNREADABLE' });
  t.throws(() => setEnvValue('# c \\\nA=1\n', 'A', '2', unknown), { code: 'UNIT_UNREADABLE' });
  t.throws(() => setEnvValue('', 'not a name', 'x', now), { code: 'UNIT_UNREADABLE' });
  t.end();
});

const pieces = fc.constantFrom(
  'A=',
  'B=',
  ' ',
  'x',
  '"',
  "'",
  '\\',
  '\n',
  '\r\n',
  '#',
  ';',
  '$',
  'A = "b c"\n',
  '=',
);
const file = fc.array(pieces, { maxLength: 25 }).map((parts) => parts.join(''));

void t.test('setting a variable sets it and no other, or is refused', (t) => {
  const value = fc.oneof(
    fc.string(),
    fc.string({ unit: fc.constantFrom('a', ' ', '"', "'", '\\', '\n', '$', '#') }),
  );
  fc.assert(
    fc.property(file, value, fc.constantFrom(now, then, unknown), (text, value, options) => {
      let edited: string;
      try {
        edited = setEnvValue(text, 'A', value, options);
      } catch (error) {
        return /["'\\\0]/.test(text + value) && error instanceof Error;
      }
      const before = readEnv([{ path: '', text }], [], options);
      const after = readEnv([{ path: '', text: edited }], [], options);
      before.set('A', { value, from: '' });
      t.same(Object.fromEntries(after), Object.fromEntries(before));
      return true;
    }),
    { numRuns: 2000 },
  );
  t.end();
});
