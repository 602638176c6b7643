import { readFileSync, readdirSync } from 'node:fs';
import * as fc from 'fast-check';
import t from 'tap';
import { unreachable } from '../../../agent/errors.ts';
import { parse, stringify } from '../../../agent/unit-file/parse.ts';
import type { UnitNode } from '../../../agent/unit-file/parse.ts';

const fixtures = new URL('../../fixtures/units/', import.meta.url);

const fragments = fc.constantFrom(
  '[Service]',
  '[',
  ']',
  'ExecStart=',
  'Key = value',
  '=',
  '\\',
  '\\\\',
  '\n',
  '\r',
  '\r\n',
  '\0',
  '#',
  ';',
  ' ',
  '\t',
  '\uFEFF',
  '"',
  '\uD800',
  'é',
);

void t.test('any text comes back byte for byte', (t) => {
  const texts = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(fc.oneof(fragments, fc.string()), { maxLength: 40 }).map((parts) => parts.join('')),
    fc.array(fc.integer({ min: 0, max: 0xffff })).map((units) => String.fromCharCode(...units)),
  );
  fc.assert(
    fc.property(texts, (text) => stringify(parse(text)) === text),
    { numRuns: 2000 },
  );
  t.end();
});

void t.test('every node knows the line it starts on', (t) => {
  const texts = fc
    .array(fragments, { maxLength: 40 })
    .map((parts) => parts.join('').replaceAll(/[\r\0]/g, ''));
  fc.assert(
    fc.property(texts, (text) => {
      let before = '';
      for (const node of parse(text).nodes) {
        if (node.line !== before.split('\n').length) return false;
        before += node.source;
      }
      return true;
    }),
  );
  t.end();
});

void t.test('the fixtures come back byte for byte', (t) => {
  for (const name of readdirSync(fixtures)) {
    const text = readFileSync(new URL(name, fixtures), 'utf8');
    t.equal(stringify(parse(text)), text, name);
  }
  t.end();
});

const table: readonly (readonly [title: string, text: string, nodes: readonly string[]])[] = [
  ['a section, a key and a value are trimmed', '  [Unit]  \n A b = c d \n', ['[Unit]', '[Unit] A b=c d']],
  ['a section keeps the blanks inside its brackets', '[ Unit ]\n', ['[ Unit ]']],
  ['only the first = counts', '[S]\na=b=c\n', ['[S]', '[S] a=b=c']],
  ['an assignment before any section belongs to none', 'a=b\n', ['[] a=b']],
  ['repeated sections and keys stay apart', '[S]\na=1\n[S]\na=2\n', ['[S]', '[S] a=1', '[S]', '[S] a=2']],
  ['an empty value is a value', '[S]\na=\n', ['[S]', '[S] a=']],
  ['lines joined by a backslash have one blank for it', '[S]\na=1\\\n2 \\\n  3\n', ['[S]', '[S] a=1 2    3']],
  ['the = may stand on the next line', '[S]\na\\\n=1\n', ['[S]', '[S] a=1']],
  ['a section header may be continued', '[S\\\nT]\n', ['[S T]']],
  ['two backslashes at the end continue nothing', '[S]\na=1\\\\\nb=2\n', ['[S]', '[S] a=1\\\\', '[S] b=2']],
  ['three do', '[S]\na=1\\\\\\\nb=2\n', ['[S]', '[S] a=1\\\\ b=2']],
  ['a blank behind the backslash ends the line', '[S]\na=1 \\ \nb\n', ['[S]', '[S] a=1 \\', 'noEquals']],
  ['a comment inside a continuation is skipped', '[S]\na=1 \\\n  # x\n;y\n  2\n', ['[S]', '[S] a=1    2']],
  ['its own backslash means nothing', '[S]\na=1 \\\n# x \\\n2\nb=3\n', ['[S]', '[S] a=1  2', '[S] b=3']],
  ['a blank line ends a continuation', '[S]\na=1 \\\n\nb=2\n', ['[S]', '[S] a=1', '[S] b=2']],
  ['so does the end of the text', '[S]\na=1 \\', ['[S]', '[S] a=1']],
  ['a comment at the end belongs to the continuation', '[S]\na=1 \\\n# x\n', ['[S]', '[S] a=1']],
  ['a directive behind a backslash is swallowed', '[S]\na=1 \\\nR=x\n', ['[S]', '[S] a=1  R=x']],
  ['comments begin with # or ; after blanks', ' # a\n\t; b\n', ['comment', 'comment']],
  ['blank lines are nodes', '\n \n\t\n', ['blank', 'blank', 'blank']],
  ['CR LF, CR alone and LF CR end lines', '[S]\r\na=1\rb=2\n\rc=3', ['[S]', '[S] a=1', '[S] b=2', '[S] c=3']],
  ['a continuation works before CR LF', '[S]\r\na=1 \\\r\n  2\r\n', ['[S]', '[S] a=1    2']],
  ['NUL ends a line', '[S]\0a=1\n\0b=2', ['[S]', '[S] a=1', '[S] b=2']],
  ['a byte order mark is taken off once', '\uFEFF[S]\n\uFEFFa=1\n', ['[S]', '[S] \uFEFFa=1']],
  ['before a comment it makes the comment a line', '\uFEFF# x\n', ['noEquals']],
  ['no-break spaces are no blanks', '[S]\n\u00A0a=1\u00A0\n', ['[S]', '[S] \u00A0a=1\u00A0']],
  ['an open bracket is a bad section', '[S\n', ['badSection']],
  ['quotes and control characters make a bad section', '["S"]\n[a\u0001]\n', ['badSection', 'badSection']],
  ['a lone bracket is a bad section', '[\n', ['badSection']],
  ['a line without = is unknown', '[S]\nfoo\n=bar\n', ['[S]', 'noEquals', 'noKey']],
];

for (const [title, text, nodes] of table) {
  void t.test(title, (t) => {
    t.same(parse(text).nodes.map(summary), nodes);
    t.equal(stringify(parse(text)), text);
    t.end();
  });
}

function summary(node: UnitNode): string {
  switch (node.kind) {
    case 'section':
      return `[${node.name}]`;
    case 'assignment':
      return `[${node.section ?? ''}] ${node.key}=${node.value}`;
    case 'unknown':
      return node.reason;
    case 'blank':
    case 'comment':
      return node.kind;
    default:
      return unreachable(node);
  }
}
