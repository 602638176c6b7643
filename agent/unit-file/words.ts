import { blanks } from './lines.ts';

export type Quote = '' | '"' | "'";

/** One decoded character and the stretch [start, end) of the scanned text that spells it. */
export interface Character {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  /** The quotes it stands in. */
  readonly quote: Quote;
}

export interface ScannedWord {
  readonly characters: readonly Character[];
  /** First offset of the word, quotes included. */
  readonly start: number;
  /** The offset behind its last character, quotes included. */
  readonly end: number;
}

/**
 * `unit`: backslash sequences are decoded as in C and unknown ones kept as they are, an open quote is an error
 * (EXTRACT_UNQUOTE|EXTRACT_CUNESCAPE, then again with EXTRACT_UNESCAPE_RELAX). `value`: a backslash just makes the
 * next character literal, an open quote ends with the text (EXTRACT_UNQUOTE|EXTRACT_RELAX).
 */
export type WordGrammar = 'unit' | 'value';

export type WordScan =
  | { readonly kind: 'word'; readonly word: ScannedWord }
  | { readonly kind: 'end' }
  | { readonly kind: 'unreadable'; readonly reason: string };

/** The first word at or after `from`, as extract_first_word() in systemd's src/basic/extract-word.c reads it. */
export function scanWord(text: string, from: number, grammar: WordGrammar): WordScan {
  const start = skipBlanks(text, from);
  if (start >= text.length) return { kind: 'end' };
  const characters: Character[] = [];
  let quote: Quote = '';
  let at = start;
  while (at < text.length) {
    const character = characterAt(text, at);
    if (character === '\\') {
      const escape: Escape = grammar === 'unit' ? decodeUnit(text, at, quote) : decodeValue(text, at);
      if (escape.kind === 'unreadable') return escape;
      for (const part of escape.parts) characters.push({ ...part, quote });
      at = escape.end;
      continue;
    }
    if (quote === '' && blanks.includes(character)) break;
    if (quote === '' && (character === '"' || character === "'")) quote = character;
    else if (character === quote) quote = '';
    else characters.push({ text: character, start: at, end: at + character.length, quote });
    at += character.length;
  }
  if (quote !== '' && grammar === 'unit') return { kind: 'unreadable', reason: `unbalanced quote ${quote}` };
  return { kind: 'word', word: { characters, start, end: at } };
}

export function skipBlanks(text: string, from: number): number {
  let at = from;
  while (at < text.length && blanks.includes(text.charAt(at))) at++;
  return at;
}

type Escape =
  | { readonly kind: 'decoded'; readonly parts: readonly Omit<Character, 'quote'>[]; readonly end: number }
  | { readonly kind: 'unreadable'; readonly reason: string };

function decodeValue(text: string, at: number): Escape {
  const next = characterAt(text, at + 1);
  return decoded(at, next, at + 1 + next.length);
}

function decodeUnit(text: string, at: number, quote: Quote): Escape {
  if (at + 1 >= text.length) {
    return quote === ''
      ? decoded(at, '\\', at + 1)
      : { kind: 'unreadable', reason: `unbalanced quote ${quote}` };
  }
  const bytes: number[] = [];
  let end = at;
  for (let byte = byteEscapeAt(text, end); byte !== undefined; byte = byteEscapeAt(text, end)) {
    if (byte < 0x80 && bytes.length > 0) break;
    bytes.push(byte);
    end += 4;
    if (byte < 0x80) break;
  }
  if (bytes.length > 0) return decodeBytes(bytes, at, end);
  const escape = escapeAt(text, at);
  if (escape !== undefined) return escape;
  // An unknown sequence stays, backslash and all; a blank or a quote behind the backslash is then an ordinary character.
  const next = characterAt(text, at + 1);
  const behind = at + 1 + next.length;
  return {
    kind: 'decoded',
    parts: [
      { text: '\\', start: at, end: at + 1 },
      { text: next, start: at + 1, end: behind },
    ],
    end: behind,
  };
}

const simpleEscapes: ReadonlyMap<string, string> = new Map([
  ['a', '\u0007'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['v', '\v'],
  ['\\', '\\'],
  ['"', '"'],
  ["'", "'"],
  ['s', ' '],
]);

function escapeAt(text: string, at: number): Escape | undefined {
  const simple = simpleEscapes.get(text.charAt(at + 1));
  if (simple !== undefined) return decoded(at, simple, at + 2);
  const digits = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(text.slice(at + 1, at + 10));
  if (digits === null) return undefined;
  const code = Number.parseInt(digits[1] ?? digits[2] ?? '', 16);
  const surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code === 0 || code > 0x10ffff || (surrogate && digits[2] !== undefined)) return undefined;
  if (surrogate) return { kind: 'unreadable', reason: `\\${digits[0]} is not a character` };
  return decoded(at, String.fromCodePoint(code), at + 1 + digits[0].length);
}

function byteEscapeAt(text: string, at: number): number | undefined {
  const digits = /^\\(?:x([0-9a-fA-F]{2})|([0-7]{3}))/.exec(text.slice(at, at + 4));
  if (digits === null) return undefined;
  const byte = digits[1] === undefined ? Number.parseInt(digits[2] ?? '', 8) : Number.parseInt(digits[1], 16);
  return byte === 0 || byte > 0xff ? undefined : byte;
}

function decodeBytes(bytes: readonly number[], at: number, end: number): Escape {
  try {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return decoded(at, decoder.decode(Uint8Array.from(bytes)), end);
  } catch {
    return { kind: 'unreadable', reason: 'byte escapes that are not UTF-8' };
  }
}

function decoded(start: number, text: string, end: number): Escape {
  return { kind: 'decoded', parts: text === '' ? [] : [{ text, start, end }], end };
}

function characterAt(text: string, at: number): string {
  const code = text.codePointAt(at);
  return code === undefined ? '' : String.fromCodePoint(code);
}
