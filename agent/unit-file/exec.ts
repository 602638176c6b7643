import { logicalLine, isSafe } from './parse.ts';
import type { AssignmentNode } from './parse.ts';
import { strip, blanks } from './lines.ts';
import { scanWord, skipBlanks } from './words.ts';
import type { Character } from './words.ts';

/** One word of a command, before `$` expansion. */
export interface ExecWord {
  /** Unquoted and unescaped; `%%` is `%`; other % specifiers are left as written. */
  readonly text: string;
  /** Offsets into the node's source, quotes included; of the first word also its prefixes. */
  readonly start: number;
  readonly end: number;
  /** systemd would put something else for a `%x` in the text. */
  readonly hasSpecifier: boolean;
}

export interface ExecCommand {
  /** The characters of `-@:+!` before the executable, in their order. */
  readonly prefixes: string;
  /** `words[0]` is the executable without prefixes; with '@' `words[1]` is argv[0]. */
  readonly words: readonly ExecWord[];
}

/** `fatal`: systemd refuses the unit (in a fragment) or the rest of the file (in a drop-in); else just the line. */
export type ExecParse =
  | { readonly ok: true; readonly commands: readonly ExecCommand[] }
  | {
      readonly ok: false;
      readonly reason: string;
      readonly fatal: boolean;
      readonly commands: readonly ExecCommand[];
    };

/**
 * The commands of an Exec assignment, as config_parse_exec() in systemd's src/core/load-fragment.c reads them:
 * several where a lone `;` separates them, none for an empty value (which resets the list). On failure `commands`
 * are those that systemd took before it met the fault.
 */
export function parseExec(node: AssignmentNode): ExecParse {
  const line = commandLine(node);
  const commands: ExecCommand[] = [];
  let at = 0;
  for (;;) {
    const first = scanWord(line.text, at, 'unit');
    if (first.kind === 'end') return { ok: true, commands };
    if (first.kind === 'unreadable') return { ok: false, fatal: false, reason: first.reason, commands };
    at = skipBlanks(line.text, first.word.end);
    if (first.word.characters.map((character) => character.text).join('') === ';') continue;

    const { prefixes, rest } = splitPrefixes(first.word.characters);
    const executable = resolvePercent(rest);
    const words = [wordOf(line, first.word, executable)];
    const fatal = !prefixes.includes('-');
    const fault = faultOf(textOf(executable), words[0]?.hasSpecifier ?? false);
    if (fault !== undefined) return { ok: false, fatal, reason: fault, commands };

    let separated = false;
    while (at < line.text.length && !separated) {
      if (isAlone(line.text, at, ';')) {
        at = skipBlanks(line.text, at + 1);
        separated = true;
      } else if (isAlone(line.text, at, '\\;')) {
        words.push({ text: ';', start: line.offset(at), end: line.offset(at + 1) + 1, hasSpecifier: false });
        at = skipBlanks(line.text, at + 2);
      } else {
        const scan = scanWord(line.text, at, 'unit');
        if (scan.kind === 'unreadable') return { ok: false, fatal, reason: scan.reason, commands };
        if (scan.kind === 'end') break;
        words.push(wordOf(line, scan.word, resolvePercent(scan.word.characters)));
        at = skipBlanks(line.text, scan.word.end);
      }
    }
    if (prefixes.includes('@') && words.length === 1) {
      return { ok: false, fatal, reason: 'no argv[0] after the prefix @', commands };
    }
    commands.push({ prefixes, words });
    if (!separated) return { ok: true, commands };
  }
}

/** The argv of a command as systemd shows it on D-Bus (before `$` expansion, `%` specifiers still as written). */
export function argvOf(command: ExecCommand): readonly string[] {
  const words = command.prefixes.includes('@') ? command.words.slice(1) : command.words;
  return words.map((word) => word.text);
}

/** The decoded characters of one word of an Exec node, with offsets into the node's source. */
export function charactersOf(node: AssignmentNode, word: ExecWord): readonly Character[] {
  const line = commandLine(node);
  const from = line.index(word.start);
  const scan = scanWord(line.text, from, 'unit');
  if (scan.kind !== 'word') return [];
  return resolvePercent(scan.word.characters).map((character) => ({
    ...character,
    start: line.offset(character.start),
    end: line.offset(character.end - 1) + 1,
  }));
}

interface CommandLine {
  readonly text: string;
  /** From an offset in the text to the offset in the node's source, and back. */
  readonly offset: (index: number) => number;
  readonly index: (offset: number) => number;
}

function commandLine(node: AssignmentNode): CommandLine {
  const logical = logicalLine(node.source, node.pieces);
  const value = logical.slice(logical.indexOf('=') + 1);
  const text = strip(value);
  let shift = logical.length - value.length;
  while (blanks.includes(logical.charAt(shift)) && shift < logical.length) shift++;
  const starts: number[] = [];
  let length = 0;
  for (const piece of node.pieces) {
    starts.push(length);
    length += piece.end - piece.start + 1;
  }
  return {
    text,
    offset: (index) => {
      const at = starts.findLastIndex((start) => start <= index + shift);
      return (node.pieces[at]?.start ?? 0) + index + shift - (starts[at] ?? 0);
    },
    index: (offset) => {
      const at = node.pieces.findLastIndex((piece) => piece.start <= offset);
      return offset - (node.pieces[at]?.start ?? 0) + (starts[at] ?? 0) - shift;
    },
  };
}

function wordOf(
  line: CommandLine,
  scanned: { readonly start: number; readonly end: number },
  characters: readonly Character[],
): ExecWord {
  return {
    text: textOf(characters),
    start: line.offset(scanned.start),
    end: line.offset(scanned.end - 1) + 1,
    hasSpecifier: characters.some((character) => isSpecifier(character.text)),
  };
}

function splitPrefixes(characters: readonly Character[]): { prefixes: string; rest: readonly Character[] } {
  let prefixes = '';
  for (const { text } of characters) {
    const privilege = /[+!]/.test(prefixes);
    const fits =
      (/^[-@:]$/.test(text) && !prefixes.includes(text)) ||
      (/^[+!]$/.test(text) && !privilege) ||
      (text === '!' && prefixes.split('!').length === 2 && !prefixes.includes('+'));
    if (!fits) break;
    prefixes += text;
  }
  return { prefixes, rest: characters.slice(prefixes.length) };
}

// specifier_printf() runs on the unquoted word. `%%` becomes one character; `%` and what follows stay together, so
// that an edit never separates them.
function resolvePercent(characters: readonly Character[]): readonly Character[] {
  const resolved: Character[] = [];
  for (let at = 0; at < characters.length; at++) {
    const character = characters[at];
    const next = characters[at + 1];
    if (character === undefined) break;
    if (character.text !== '%' || next === undefined) {
      resolved.push(character);
      continue;
    }
    resolved.push({
      ...character,
      end: next.end,
      text: next.text === '%' ? '%' : `%${next.text}`,
    });
    at++;
  }
  return resolved;
}

function isSpecifier(text: string): boolean {
  return /^%[A-Za-z0-9]/.test(text);
}

function textOf(characters: readonly Character[]): string {
  return characters.map((character) => character.text).join('');
}

// What config_parse_exec() demands of an executable. A specifier may still turn a relative path into an absolute one.
function faultOf(path: string, hasSpecifier: boolean): string | undefined {
  if (path === '') return 'no executable';
  if (!isSafe(path)) return `special characters in the executable ${JSON.stringify(path)}`;
  if (path.endsWith('/')) return `the executable ${path} is a directory`;
  if (hasSpecifier || path.startsWith('/')) return undefined;
  // Since v258 the prefix '|' asks for a shell; no older systemd has it, and neither meaning is a kubelet's.
  return path.includes('/') || path === '.' || path === '..' || path.startsWith('|')
    ? `${path} is neither an absolute path nor the name of an executable`
    : undefined;
}

function isAlone(text: string, at: number, token: string): boolean {
  const end = at + token.length;
  return text.startsWith(token, at) && (end >= text.length || blanks.includes(text.charAt(end)));
}
