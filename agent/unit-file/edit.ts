import { AgentError } from '../errors.ts';
import { charactersOf, parseExec } from './exec.ts';
import type { ExecCommand, ExecWord } from './exec.ts';
import type { Origin } from './effective.ts';
import { lineEndAt, physicalLines } from './lines.ts';
import { parse } from './parse.ts';
import type { AssignmentNode, UnitNode } from './parse.ts';
import { encodeWord, needsQuotes, quoteArgument } from './quote.ts';
import { smallestSplice } from './rewrite.ts';

/*
 * Every edit here is proven before it is returned: the new text is parsed again, every setting but the edited one is
 * byte for byte what it was, and the edited command's words differ by exactly the meant ones. Otherwise, or where
 * the assignment is not one readable command, the edit throws UNIT_UNREADABLE.
 * Words are given as `ExecWord.text` has them: unquoted, with `%` for itself and `$` still to be expanded.
 */

/** Add one word at the end of a command, in the command's own style: on a line of its own where words stand so. */
export function appendWord(text: string, origin: Origin, word: string): string {
  const { node, nodeStart, command } = locate(text, origin);
  const first = wordAt(command, 0);
  const last = wordAt(command, command.words.length - 1);
  refuseBrokenLine(node, last, origin);
  const own = pieceAt(node, last.start);
  const separator = own === pieceAt(node, first.start) ? ' ' : lineBreakBefore(node, own);
  const edited = splice(text, nodeStart + last.end, nodeStart + last.end, separator + quoteArgument(word));
  prove(text, edited, origin, [...command.words, { text: word, hasSpecifier: false }]);
  return edited;
}

/** Replace one word (not the executable), keeping the bytes and quotes of what the old and new text share. */
export function replaceWord(text: string, origin: Origin, wordIndex: number, newText: string): string {
  const { node, nodeStart, command } = locate(text, origin);
  if (wordIndex < 1) throw new AgentError('INTERNAL', 'the executable of a command is not ours to replace');
  const old = wordAt(command, wordIndex);
  const wanted = command.words.map((word, index) =>
    index === wordIndex ? { ...word, text: newText } : word,
  );
  for (const { start, end, raw } of spellings(node, old, newText)) {
    const edited = splice(text, nodeStart + start, nodeStart + end, raw);
    if (faultOf(text, edited, origin, wanted) === undefined) return edited;
  }
  throw unreadable(origin, `its word ${old.text} cannot be replaced without touching others`);
}

/** Remove the words [from, to) of a command; a word that has a line for itself takes the line with it. */
export function removeWords(text: string, origin: Origin, from: number, to: number): string {
  const { command } = locate(text, origin);
  if (from < 1 || to < from || to > command.words.length) {
    throw new AgentError('INTERNAL', `the command has no words ${from} to ${to}`);
  }
  let edited = text;
  for (let index = to - 1; index >= from; index--) edited = removeWord(edited, origin, index);
  prove(text, edited, origin, command.words.toSpliced(from, to - from));
  return edited;
}

interface Located {
  readonly node: AssignmentNode;
  readonly nodeStart: number;
  readonly command: ExecCommand;
}

type WordMeaning = Pick<ExecWord, 'text' | 'hasSpecifier'>;

function locate(text: string, origin: Origin): Located {
  const nodes = parse(text).nodes;
  const node = nodes[origin.nodeIndex];
  if (node?.kind !== 'assignment') throw unreadable(origin, 'there is no assignment');
  const parsed = parseExec(node);
  if (!parsed.ok) throw unreadable(origin, parsed.reason);
  const command = parsed.commands[0];
  if (command === undefined || parsed.commands.length > 1) {
    throw unreadable(origin, `it holds ${parsed.commands.length} commands`);
  }
  return { node, nodeStart: lengthOf(nodes.slice(0, origin.nodeIndex)), command };
}

// A word put behind such a backslash would be escaped by it.
function refuseBrokenLine(node: AssignmentNode, last: ExecWord, origin: Origin): void {
  if (!/(^|[^\\])(\\\\)*\\$/.test(node.source.slice(last.start, last.end))) return;
  const line = origin.line + physicalLines(node.source.slice(0, last.end)).length - 1;
  throw new AgentError(
    'UNIT_UNREADABLE',
    `line ${line} of ${origin.path} ends in a backslash with blanks behind it: the command ends there, with that backslash as an argument, and systemd ignores the flags on the lines below`,
    { next: 'take the blanks behind that backslash away, and look at the lines below it as well' },
  );
}

// The gap before the backslash, the marker of the line's end and the indentation are those of the neighbours.
function lineBreakBefore(node: AssignmentNode, index: number): string {
  const above = pieceOf(node, index - 1);
  const own = pieceOf(node, index);
  const gap = /[ \t]*$/.exec(node.source.slice(above.start, above.end))?.[0] ?? ' ';
  const indent = /^[ \t]*/.exec(node.source.slice(own.start, own.end))?.[0] ?? '';
  return `${gap}\\${lineEndAt(node.source, above.end + 1)}${indent}`;
}

function* spellings(
  node: AssignmentNode,
  old: ExecWord,
  newText: string,
): Generator<{ start: number; end: number; raw: string }> {
  const change = smallestSplice(charactersOf(node, old), newText);
  if (
    change !== undefined &&
    (change.beside.quote !== '' || change.text === '' || !needsQuotes(change.text))
  ) {
    yield { start: change.start, end: change.end, raw: encodeWord(change.text, change.beside.quote) };
  }
  const mark = node.source.charAt(old.start);
  if (mark === "'") yield { start: old.start, end: old.end, raw: `'${encodeWord(newText, "'")}'` };
  if (mark === '"') yield { start: old.start, end: old.end, raw: `"${encodeWord(newText, '"')}"` };
  yield { start: old.start, end: old.end, raw: quoteArgument(newText) };
}

function removeWord(text: string, origin: Origin, index: number): string {
  const { node, nodeStart, command } = locate(text, origin);
  const word = wordAt(command, index);
  const previous = wordAt(command, index - 1);
  const next = command.words[index + 1];
  const top = pieceAt(node, word.start);
  const bottom = pieceAt(node, word.end - 1);
  const cut = (start: number, end: number): string => splice(text, nodeStart + start, nodeStart + end, '');

  if (pieceAt(node, previous.end - 1) === top) return cut(previous.end, word.end);
  if (next !== undefined && pieceAt(node, next.start) === bottom) return cut(word.start, next.start);

  const start = pieceOf(node, top).start;
  const lastLine = pieceOf(node, bottom);
  const continued = node.source.charAt(lastLine.end) === '\\' ? 1 : 0;
  const end = lastLine.end + continued + lineEndAt(node.source, lastLine.end + continued).length;
  if (next !== undefined) return cut(start, end);

  // Without the last line the backslash above it must go, or it would swallow the setting that follows.
  const above = pieceOf(node, top - 1);
  const gap = /[ \t]*$/.exec(node.source.slice(above.start, above.end))?.[0] ?? '';
  const comments = above.end + 1 + lineEndAt(node.source, above.end + 1).length < start;
  if (!comments) return cut(above.end - gap.length, word.end);
  const shortened = cut(start, end);
  return continued === 1
    ? shortened
    : splice(shortened, nodeStart + above.end - gap.length, nodeStart + above.end + 1, '');
}

function prove(before: string, after: string, origin: Origin, wanted: readonly WordMeaning[]): void {
  const fault = faultOf(before, after, origin, wanted);
  if (fault !== undefined) throw unreadable(origin, `an edit of it would also change ${fault}`);
}

function faultOf(
  before: string,
  after: string,
  origin: Origin,
  wanted: readonly WordMeaning[],
): string | undefined {
  const old = parse(before).nodes;
  const now = parse(after).nodes;
  const head = origin.nodeIndex;
  const tail = old.length - head - 1;
  const added = now.slice(head + 1, now.length - tail);
  const edited = now[head];
  const original = old[head];
  if (now.length < old.length) return 'how many settings there are';
  if (!sameNodes(old.slice(0, head), now.slice(0, head))) return 'what stands before it';
  if (!sameNodes(old.slice(head + 1), now.slice(now.length - tail))) return 'what stands behind it';
  // Comments between continued lines come free when the last of these lines goes.
  if (added.some((node) => node.kind !== 'comment' || original?.source.includes(node.source) !== true)) {
    return 'what stands behind it';
  }
  if (edited?.kind !== 'assignment' || original?.kind !== 'assignment') return 'its kind';
  if (edited.section !== original.section || edited.key !== original.key) return 'its name';
  const [was, is] = [parseExec(original), parseExec(edited)];
  const [only, ...more] = is.commands;
  if (!is.ok || only === undefined || more.length > 0) return 'the number of commands';
  if (only.prefixes !== was.commands[0]?.prefixes) return 'its prefixes';
  return sameWords(only.words, wanted) ? undefined : 'other words';
}

function sameNodes(a: readonly UnitNode[], b: readonly UnitNode[]): boolean {
  return (
    a.length === b.length &&
    a.every((node, index) => {
      const other = b[index];
      return (
        node.kind === other?.kind && node.source === other.source && sectionOf(node) === sectionOf(other)
      );
    })
  );
}

function sectionOf(node: UnitNode): string | undefined {
  return node.kind === 'assignment' ? node.section : undefined;
}

function sameWords(a: readonly WordMeaning[], b: readonly WordMeaning[]): boolean {
  return (
    a.length === b.length &&
    a.every((word, index) => word.text === b[index]?.text && word.hasSpecifier === b[index].hasSpecifier)
  );
}

function wordAt(command: ExecCommand, index: number): ExecWord {
  const word = command.words[index];
  if (word === undefined) throw new AgentError('INTERNAL', `the command has no word ${index}`);
  return word;
}

function pieceAt(node: AssignmentNode, offset: number): number {
  return node.pieces.findLastIndex((piece) => piece.start <= offset);
}

function pieceOf(node: AssignmentNode, index: number): { start: number; end: number } {
  const piece = node.pieces[index];
  if (piece === undefined) throw new AgentError('INTERNAL', `the assignment has no line ${index}`);
  return piece;
}

function lengthOf(nodes: readonly UnitNode[]): number {
  return nodes.reduce((length, node) => length + node.source.length, 0);
}

function splice(text: string, start: number, end: number, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

function unreadable(origin: Origin, why: string): AgentError {
  return new AgentError('UNIT_UNREADABLE', `cannot edit ${origin.path}, line ${origin.line}: ${why}`, {
    next: 'write the command in a plainer way, or choose another placement',
  });
}
