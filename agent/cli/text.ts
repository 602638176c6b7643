/** How text is laid out where it goes. */
export interface Page {
  /** In characters. */
  readonly width: number;
  readonly colour: boolean;
}

export type Tone = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const codes: Readonly<Record<Tone, readonly [number, number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

/** Text in a tone where the page has colours; otherwise as it is. */
export function paint(page: Page, tone: Tone, text: string): string {
  const [on, off] = codes[tone];
  return page.colour && text !== '' ? `\u001b[${on}m${text}\u001b[${off}m` : text;
}

/** Makes control characters visible, but for tabs: what a node's files say must not steer the reader's terminal. */
export function visible(text: string): string {
  return text.replaceAll(steering, (character) => {
    const code = character.codePointAt(0) ?? 0;
    if (character === '\t') return character;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

// Controls, line and paragraph separators, and what turns the direction of writing.
const steering = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/gu;

/** Breaks at blanks so that no line exceeds the width; `first` leads the first line, blanks as wide the others. */
export function wrap(
  text: string,
  width: number,
  first = '',
  rest = ' '.repeat(first.length),
): readonly string[] {
  const lines: string[] = [];
  let line = first;
  let empty = true;
  for (const word of text
    .split(/\s+/)
    .filter((candidate) => candidate !== '')
    .map(visible)) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line);
      line = rest;
      empty = true;
    }
    line += empty ? word : ` ${word}`;
    empty = false;
  }
  return [...lines, line.trimEnd()];
}

/** One line of at most `room` characters; what does not fit ends at a word, better at a clause, and in `…`. */
export function shorten(text: string, room: number): string {
  const line = visible(text.trim().split(/\s+/).join(' '));
  if (line.length <= room) return line;
  const head = line.slice(0, Math.max(0, room - 1));
  const word = head.lastIndexOf(' ');
  const clause = Math.max(...['; ', ': ', ', ', ' ('].map((end) => head.lastIndexOf(end)));
  // A clause that ends much earlier would take too much along.
  const end = clause * 3 >= word * 2 ? clause : word;
  return end <= 0 ? `${head}…` : `${head.slice(0, end)} …`;
}

/**
 * What to do next, below its label: a sentence is wrapped; where lines follow it, they are a snippet to copy, and stay as
 * they are, indented.
 */
export function instruction(text: string, width: number, label: string): readonly string[] {
  const [sentence = '', ...snippet] = text.trimEnd().split(/\r?\n/);
  return [
    ...wrap(sentence, width, label),
    ...snippet.map((line) => `${' '.repeat(label.length)}${visible(line)}`.trimEnd()),
  ];
}

/** Text on the left, text on the right edge; at least two blanks between them. */
export function spread(left: string, right: string, width: number): string {
  return `${left}${' '.repeat(Math.max(2, width - left.length - right.length))}${right}`;
}

/** 85 ms, 1.2 s, 2 min 5 s. */
export function duration(ms: number): string {
  if (ms < 1000) return `${Math.round(ms)} ms`;
  if (ms < 60_000) return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const seconds = Math.round(ms / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}
