import { physicalLines, strip } from './lines.ts';

/** A stretch [start, end) of a node's source; where a continuation follows, `source[end]` is its backslash. */
export interface Piece {
  readonly start: number;
  readonly end: number;
}

interface Sourced {
  /** Every byte of the node, end of line and comments inside a continuation included. */
  readonly source: string;
  /** The first line of the node, counted from 1. */
  readonly line: number;
}

export interface AssignmentNode extends Sourced {
  readonly kind: 'assignment';
  /** Undefined before the first section header; systemd ignores such lines. */
  readonly section: string | undefined;
  readonly key: string;
  /** As systemd's parser hands it on: lines joined by one blank, comments between them dropped, trimmed. */
  readonly value: string;
  /** What of the source makes up the logical line `key=value`, joined by one blank. */
  readonly pieces: readonly Piece[];
}

export interface UnknownNode extends Sourced {
  readonly kind: 'unknown';
  /** `badSection` makes systemd give up the rest of the file; the others cost only this line. */
  readonly reason: 'badSection' | 'noEquals' | 'noKey';
}

export type UnitNode =
  | ({ readonly kind: 'blank' | 'comment' } & Sourced)
  | UnknownNode
  | ({ readonly kind: 'section'; readonly name: string } & Sourced)
  | AssignmentNode;

export interface UnitFile {
  readonly nodes: readonly UnitNode[];
}

/**
 * Parse any text as a unit file. Never throws; lines that systemd would complain about become unknown nodes, and
 * `stringify(parse(s)) === s`. Follows config_parse() and parse_line() in systemd's src/shared/conf-parser.c.
 */
export function parse(text: string): UnitFile {
  const nodes: UnitNode[] = [];
  let section: string | undefined;
  let markSeen = false;
  let open: { start: number; line: number; pieces: Piece[] } | undefined;

  const close = (end: number): void => {
    if (open === undefined) return;
    const node = classify(text.slice(open.start, end), open.line, open.pieces, section);
    if (node.kind === 'section') section = node.name;
    nodes.push(node);
    open = undefined;
  };

  for (const [index, { start, contentEnd, end }] of physicalLines(text).entries()) {
    const content = text.slice(start, contentEnd);
    if (/^[#;]/.test(strip(content))) {
      // Inside a continuation a comment is skipped and the continuation goes on; it then belongs to that node.
      if (open === undefined)
        nodes.push({ kind: 'comment', source: text.slice(start, end), line: index + 1 });
      continue;
    }
    // systemd takes the mark off the first line that has one, not only off line 1; a comment line keeps it.
    const mark = !markSeen && content.startsWith('\uFEFF') ? 1 : 0;
    if (mark > 0) markSeen = true;
    open ??= { start, line: index + 1, pieces: [] };
    const continued = endsInBackslash(content);
    open.pieces.push({
      start: start + mark - open.start,
      end: contentEnd - (continued ? 1 : 0) - open.start,
    });
    if (!continued) close(end);
  }
  close(text.length);
  return { nodes };
}

/** The text that was parsed, byte for byte. */
export function stringify(file: UnitFile): string {
  return file.nodes.map((node) => node.source).join('');
}

/** The logical line of a node: its pieces joined by the blank that systemd puts for each backslash. */
export function logicalLine(source: string, pieces: readonly Piece[]): string {
  return pieces.map((piece) => source.slice(piece.start, piece.end)).join(' ');
}

// An even number of backslashes is a row of escaped ones; the joined text before a line never ends inside an escape.
function endsInBackslash(content: string): boolean {
  const run = /\\*$/.exec(content);
  return run !== null && run[0].length % 2 === 1;
}

function classify(
  source: string,
  line: number,
  pieces: readonly Piece[],
  section: string | undefined,
): UnitNode {
  const logical = strip(logicalLine(source, pieces));
  if (logical === '') return { kind: 'blank', source, line };
  if (logical.startsWith('[')) {
    const name = logical.slice(1, -1);
    return logical.length > 1 && logical.endsWith(']') && isSafe(name)
      ? { kind: 'section', name, source, line }
      : { kind: 'unknown', reason: 'badSection', source, line };
  }
  const equals = logical.indexOf('=');
  if (equals === -1) return { kind: 'unknown', reason: 'noEquals', source, line };
  if (equals === 0) return { kind: 'unknown', reason: 'noKey', source, line };
  const key = strip(logical.slice(0, equals));
  return { kind: 'assignment', section, key, value: strip(logical.slice(equals + 1)), pieces, source, line };
}

/** systemd's string_is_safe(): neither control characters nor quotes nor backslashes. */
export function isSafe(text: string): boolean {
  // oxlint-disable-next-line no-control-regex
  return !/[\u0001-\u001F\u007F"'\\]/.test(text);
}
