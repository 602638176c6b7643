import { AgentError } from '../errors.ts';
import { parse } from './parse.ts';
import { argvOf, parseExec } from './exec.ts';
import type { Quote } from './words.ts';

/**
 * One literal argument as text for an Exec line: `$` becomes `$$` and `%` becomes `%%`, quotes only where needed.
 * Not for commands with the prefix `:`, which know no `$$`. Throws INTERNAL for a newline, NUL or half a character.
 */
export function quoteWord(text: string): string {
  return quoteArgument(text.replaceAll('$', '$$$$'));
}

/** As quoteWord, for a word that systemd shall still expand (`ExecWord.text`, argv from D-Bus): `$` stays. */
export function quoteArgument(text: string): string {
  return needsQuotes(text) ? `"${encodeWord(text, '"')}"` : encodeWord(text, '');
}

/** The words of an argv from D-Bus, each as text for an Exec line. */
export function quoteArgv(argv: readonly string[]): readonly string[] {
  return argv.map(quoteArgument);
}

/**
 * The value of an Exec assignment for a path and argv from D-Bus (after unquoting and `%`, before `$` expansion).
 * Adds the prefix `@` where argv[0] is not the path. `oneWordALine` puts a backslash and a newline between words.
 * Throws INTERNAL unless the text parses back to the same command.
 */
export function renderExec(
  prefixes: string,
  path: string,
  argv: readonly string[],
  layout: 'oneLine' | 'oneWordALine' = 'oneLine',
): string {
  const named = prefixes.includes('@') || argv[0] !== path;
  const marks = named && !prefixes.includes('@') ? `@${prefixes}` : prefixes;
  const words = [quoteArgument(marks + path), ...quoteArgv(named ? argv : argv.slice(1))];
  const value = words.join(layout === 'oneLine' ? ' ' : ' \\\n  ');
  if (!readsBack(value, marks, path, argv)) {
    throw new AgentError('INTERNAL', `cannot write the command ${JSON.stringify(argv)} as unit text`);
  }
  return value;
}

/** Spell text inside the given quotes; without quotes the text must not need any. */
export function encodeWord(text: string, quote: Quote): string {
  // oxlint-disable-next-line no-control-regex
  if (/[\0\n]/.test(text) || !text.isWellFormed()) {
    throw new AgentError('INTERNAL', `cannot write ${JSON.stringify(text)} as one word of a unit file`);
  }
  const plain = text
    .replaceAll('\\', '\\\\')
    .replaceAll('%', '%%')
    // A carriage return ends a line, and a byte order mark at the start of a line is taken off.
    .replaceAll('\uFEFF', String.raw`\ufeff`)
    .replaceAll(controls, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return quote === '' ? plain : plain.replaceAll(quote, `\\${quote}`);
}

// oxlint-disable-next-line no-control-regex
const controls = /[\u0001-\u0008\u000A-\u001F\u007F]/g;

/** A blank or quote inside; or, on a line of its own, the word would be a comment; or a command separator. */
export function needsQuotes(text: string): boolean {
  return text === '' || /[ \t"']/.test(text) || /^[#;]/.test(text);
}

function readsBack(value: string, prefixes: string, path: string, argv: readonly string[]): boolean {
  const nodes = parse(`[Service]\nExecStart=${value}\n`).nodes;
  const node = nodes[1];
  if (nodes.length !== 2 || node?.kind !== 'assignment') return false;
  const parsed = parseExec(node);
  const command = parsed.ok ? parsed.commands[0] : undefined;
  if (!parsed.ok || command === undefined || parsed.commands.length !== 1) return false;
  return (
    command.prefixes === prefixes &&
    command.words[0]?.text === path &&
    command.words.every((word) => !word.hasSpecifier) &&
    JSON.stringify(argvOf(command)) === JSON.stringify(argv)
  );
}
