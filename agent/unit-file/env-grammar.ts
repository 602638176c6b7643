import { blanks, physicalLines } from './lines.ts';

export interface EnvOptions {
  /** The major version of the node's systemd: until 253 a backslash at the end of a comment continues it. */
  readonly systemdVersion: number | undefined;
}

/** One decoded character of a value, the stretch that spells it, and how it is quoted there. */
export interface EnvCharacter {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly quote: '' | '"' | "'";
}

export interface EnvAssignment {
  readonly name: string;
  readonly value: string;
  /** First offset of the name, and the offset behind the value (before the end of the line). */
  readonly start: number;
  readonly end: number;
  /** The value as written, quotes included; blanks around it are not. */
  readonly valueStart: number;
  readonly valueEnd: number;
  /** The line of the name, counted from 1. */
  readonly line: number;
  /** The quote that the value begins with. */
  readonly quote: '' | '"' | "'";
  readonly characters: readonly EnvCharacter[];
}

export interface EnvFile {
  /** In the file's order; of one name the last counts. */
  readonly assignments: readonly EnvAssignment[];
  /** Lines that systemd ignores with a warning (`export X=`, names that are none). */
  readonly ignored: readonly { readonly line: number; readonly reason: string }[];
  /** A comment ends in a backslash: whether the next line counts depends on systemd's version. */
  readonly dependsOnVersion: boolean;
  /** systemd refuses the whole file (a NUL byte). */
  readonly refused: boolean;
}

/**
 * Parse an EnvironmentFile as parse_env_file_internal() in systemd's src/basic/env-file.c does. Never throws. An
 * unknown version is taken for a new one.
 */
export function parseEnvFile(text: string, options: EnvOptions): EnvFile {
  if (text.includes('\0')) return { assignments: [], ignored: [], dependsOnVersion: false, refused: true };
  const assignments: EnvAssignment[] = [];
  const ignored: { line: number; reason: string }[] = [];
  const lines = physicalLines(text);
  const lineOf = (offset: number): number => lines.findLastIndex((line) => line.start <= offset) + 1;
  let dependsOnVersion = false;
  let at = 0;
  while (at < text.length) {
    const character = text.charAt(at);
    if (blanks.includes(character)) {
      at++;
    } else if (character === '#' || character === ';') {
      const comment = skipComment(text, at, (options.systemdVersion ?? 254) < 254);
      dependsOnVersion ||= comment.continued;
      at = comment.end;
    } else {
      // A first character begins the name, even when it is the =.
      const equals = equalsAfter(text, at + 1);
      const line = lineOf(at);
      if (equals === undefined) {
        at = endOfLine(text, at);
        ignored.push({ line, reason: "no '='" });
        continue;
      }
      const name = text.slice(at, equals).replace(/[ \t]+$/, '');
      const value = readValue(text, equals + 1);
      if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
        assignments.push({ name, start: at, line, ...value });
      } else {
        ignored.push({ line, reason: `${JSON.stringify(name)} is not a variable's name` });
      }
      at = value.end;
    }
  }
  return { assignments, ignored, dependsOnVersion, refused: false };
}

function skipComment(text: string, from: number, continues: boolean): { end: number; continued: boolean } {
  let continued = false;
  let at = from;
  while (at < text.length && !isNewline(text.charAt(at))) {
    if (text.charAt(at) !== '\\') {
      at++;
      continue;
    }
    const escaped = isNewline(text.charAt(at + 1));
    continued ||= escaped;
    if (escaped && !continues) return { end: at + 1, continued };
    at += 2;
  }
  return { end: at, continued };
}

function equalsAfter(text: string, from: number): number | undefined {
  for (let at = from; at < text.length && !isNewline(text.charAt(at)); at++) {
    if (text.charAt(at) === '=') return at;
  }
  return undefined;
}

function endOfLine(text: string, from: number): number {
  let at = from;
  while (at < text.length && !isNewline(text.charAt(at))) at++;
  return at;
}

type Value = Pick<EnvAssignment, 'value' | 'end' | 'valueStart' | 'valueEnd' | 'quote' | 'characters'>;

// Quotes count only before the first bare character: `"a"b` is ab, `a"b"` keeps its quotes.
function readValue(text: string, from: number): Value {
  const characters: EnvCharacter[] = [];
  const push = (start: number, end: number, quote: EnvCharacter['quote'], decoded: string): void => {
    if (decoded !== '') characters.push({ text: decoded, start, end, quote });
  };
  let state: 'before' | 'bare' | '"' | "'" = 'before';
  let valueStart: number | undefined;
  let valueEnd = from;
  let trailing = 0;
  let at = from;
  while (at < text.length) {
    const character = text.charAt(at);
    const next = text.charAt(at + 1);
    const bare = state === 'before' || state === 'bare';
    if (bare && isNewline(character)) break;
    const step = character === '\\' && state !== "'" && next !== '' ? 2 : 1;
    const blank = bare && blanks.includes(character);
    if (!blank) {
      valueStart ??= at;
      valueEnd = at + step;
    }
    if (state === "'" || state === '"') {
      if (character === state) state = 'before';
      else push(at, at + step, state, state === "'" ? character : unescapeQuoted(character, next));
    } else if (character === '\\') {
      // An escaped newline is eaten up, and so is a backslash at the end of the file.
      push(at, at + step, '', isNewline(next) ? '' : next);
      state = 'bare';
      trailing = characters.length;
    } else if (state === 'before' && (character === '"' || character === "'")) {
      state = character;
    } else if (state === 'bare' || !blank) {
      state = 'bare';
      push(at, at + 1, '', character);
      if (!blank) trailing = characters.length;
    }
    at += step;
  }
  if (state === 'bare') characters.length = trailing;
  const start = valueStart ?? from;
  const mark = text.charAt(start);
  return {
    value: characters.map((character) => character.text).join(''),
    characters,
    quote: valueStart !== undefined && (mark === '"' || mark === "'") ? mark : '',
    valueStart: start,
    valueEnd: Math.max(valueEnd, start),
    end: at,
  };
}

// SHELL_NEED_ESCAPE in src/basic/escape.h; before anything else the backslash stays, as in a shell.
function unescapeQuoted(character: string, next: string): string {
  if (character !== '\\') return character;
  if (next === '\n' || next === '') return '';
  return '"\\`$'.includes(next) ? next : `\\${next}`;
}

function isNewline(character: string): boolean {
  return character === '\n' || character === '\r';
}
