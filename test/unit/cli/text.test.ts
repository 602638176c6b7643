import * as fc from 'fast-check';
import t from 'tap';
import { duration, instruction, paint, shorten, spread, visible, wrap } from '../../../agent/cli/text.ts';

void t.test('wrapped text keeps its words and stays within the width wherever a word fits', (t) => {
  const word = fc.stringMatching(/^[a-z0-9./*-]{1,30}$/);
  fc.assert(
    fc.property(fc.array(word, { maxLength: 30 }), fc.integer({ min: 40, max: 80 }), (words, width) => {
      const lines = wrap(words.join(' '), width, 'next: ');
      t.ok(lines.every((line) => line.length <= width));
      t.same(
        lines
          .join(' ')
          .replace('next:', '')
          .split(/\s+/)
          .filter((part) => part !== ''),
        words,
      );
    }),
  );
  t.end();
});

void t.test('a word longer than the width stays whole', (t) => {
  const long = 'x'.repeat(100);
  t.same(wrap(`a ${long} b`, 40, '  '), ['  a', `  ${long}`, '  b']);
  t.end();
});

void t.test('no text of a node reaches the terminal as a control character', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      t.notMatch(visible(text).replaceAll('\t', ''), /[\p{Cc}\u202a-\u202e]/u);
    }),
  );
  t.equal(visible('a\u001b[31mb\r\u202ec'), 'a\\x1b[31mb\\x0d\\u202ec');
  t.equal(visible('a\tb'), 'a\tb');
  t.end();
});

void t.test('a shortened text fits, begins as it did, and says that it goes on', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 2, max: 60 }), (text, room) => {
      const whole = visible(text.trim().split(/\s+/).join(' '));
      const short = shorten(text, room);
      t.ok(short.length <= room);
      t.ok(
        short === whole || (short.endsWith('…') && whole.startsWith(short.slice(0, -1).trimEnd())),
        JSON.stringify(text),
      );
    }),
  );
  t.equal(shorten('package upgrades and reboots; it is made anew', 40), 'package upgrades and reboots …');
  t.equal(shorten('reboots; kubeadm upgrade writes it anew', 36), 'reboots; kubeadm upgrade writes it …');
  t.equal(shorten('reboots', 7), 'reboots');
  t.end();
});

void t.test('a snippet after the sentence of a next step stays as it is, whatever its width', (t) => {
  const long = `    - ${'net.'.repeat(30)}*`;
  t.same(instruction(`put this  there:\na:\n\n  b:\r\n${long}\n\n`, 16, 'next: '), [
    'next: put this',
    '      there:',
    '      a:',
    '',
    '        b:',
    `      ${long}`,
  ]);
  t.same(instruction('a\u001b[31mb\nc\u001bd', 40, ''), ['a\\x1b[31mb', 'c\\x1bd']);
  t.end();
});

void t.test('times are shown in the unit that fits', (t) => {
  t.same([0.4, 85, 999, 1234, 12_345, 125_000].map(duration), [
    '0 ms',
    '85 ms',
    '999 ms',
    '1.2 s',
    '12 s',
    '2 min 5 s',
  ]);
  t.end();
});

void t.test('colours are written only where the page has them', (t) => {
  t.equal(paint({ width: 80, colour: false }, 'red', 'no'), 'no');
  t.equal(paint({ width: 80, colour: true }, 'red', 'no'), '\u001b[31mno\u001b[39m');
  t.end();
});

void t.test('two texts on one line keep two blanks between them', (t) => {
  t.equal(spread('left', 'right', 20), 'left           right');
  t.equal(spread('left', 'right', 5), 'left  right');
  t.end();
});
