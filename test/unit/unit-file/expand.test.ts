import t from 'tap';
import { expandVariables, splitWords } from '../../../agent/unit-file/expand.ts';

const env = new Map([
  ['A', '--x=1  --y="2 3"'],
  ['B', 'a b'],
  ['E', ''],
  ['Q', `'net.*'`],
]);

const table: readonly (readonly [title: string, word: string, argv: readonly string[]])[] = [
  ['$NAME alone is split, its quotes removed', '$A', ['--x=1', '--y=2 3']],
  ['unset or empty it is nothing', '$NONE', []],
  ['an empty one too', '$E', []],
  ['${NAME} alone is one argument, quotes and all', '${Q}', [`'net.*'`]],
  ['it is put in anywhere', 'x${B}y${B}', ['xa bya b']],
  ['unset it is an empty argument', '${NONE}', ['']],
  ['unset inside a word it is nothing', '--x=${NONE}', ['--x=']],
  ['$NAME inside a word stays', 'pre$B', ['pre$B']],
  ['$NAMEx is another name', '$Bx', []],
  ['$$ is $', '$$B', ['$B']],
  ['also inside a word', 'a$$$$b', ['a$$b']],
  ['a $ at the end stays', 'a$', ['a$']],
  ['a $ alone is an unset variable', '$', []],
  ['${NAME:-x} is no syntax here', '${B:-x}${B}', ['${B:-x}a b']],
  ['an open brace stays', 'x${B', ['x${B']],
];

for (const [title, word, argv] of table) {
  void t.test(title, (t) => {
    t.same(expandVariables([word], env).argv, argv);
    t.end();
  });
}

void t.test('variables that leave an empty argument are named', (t) => {
  t.same(expandVariables(['/k', '${NONE}', '${N1}${N2}', '${E}', '$NONE', '--x=${NONE}', ''], env), {
    argv: ['/k', '', '', '', '--x=', ''],
    empty: ['NONE', 'N1', 'N2'],
  });
  t.end();
});

void t.test('a value is split as systemd does', (t) => {
  t.same(splitWords(`a  b\tc\nd`), ['a', 'b', 'c', 'd']);
  t.same(splitWords(`a" b"'c "'`), ['a bc "']);
  t.same(splitWords(String.raw`a\ b \x20 '\'' \n`), ['a b', 'x20', "'", 'n']);
  t.same(splitWords(`'' ""`), ['', '']);
  t.same(splitWords(`a "open b`), ['a', 'open b']);
  t.same(splitWords('a\\'), ['a']);
  t.same(splitWords(''), []);
  t.end();
});
