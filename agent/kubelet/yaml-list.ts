import { isMap, isScalar, isSeq, parseAllDocuments, Scalar } from 'yaml';
import type { Document, Pair, YAMLMap, YAMLSeq } from 'yaml';

/** What becomes of a list of texts: one answer for each old item (undefined: it goes), and what is added behind them. */
export interface ListEdit {
  readonly items: readonly (string | undefined)[];
  readonly append: readonly string[];
}

export type ListEditing =
  { readonly ok: true; readonly text: string } | { readonly ok: false; readonly reason: string };

/**
 * Edits one list of texts at the top of a YAML or JSON document, in the list's own style: comments, order, quotes and
 * anchors stay, because only the bytes of the list change. A key that is missing is added at the end; a single text
 * becomes a list. The new text is parsed again: everything but the list must be what it was, else it is refused.
 */
export function editYamlList(text: string, key: string, edit: ListEdit): ListEditing {
  const before = readFirst(text);
  if (!before.ok) return before;
  const value = edited(text, before.root, key, edit);
  if (value === undefined)
    return { ok: false, reason: `the list ${key} is written in a way that cannot be edited in place` };
  const after = readFirst(value);
  if (!after.ok) return after;
  const wanted = [...edit.items.filter((item) => item !== undefined), ...edit.append];
  const expected = { ...(isRecord(before.content) ? before.content : {}), [key]: wanted };
  if (JSON.stringify(after.content) !== JSON.stringify(expected) || after.others !== before.others) {
    return {
      ok: false,
      reason: `an edit of ${key} would also change something else, such as what an anchor stands for`,
    };
  }
  return { ok: true, text: value };
}

type First =
  | {
      readonly ok: true;
      readonly root: YAMLMap | undefined;
      readonly content: unknown;
      readonly others: string;
    }
  | { readonly ok: false; readonly reason: string };

function readFirst(text: string): First {
  const documents = parseAllDocuments(text, { version: '1.1', merge: true });
  const list: readonly Document.Parsed[] = [...documents];
  const [first, ...rest] = list;
  const error = first?.errors[0];
  if (error !== undefined) return { ok: false, reason: error.message.replace(/ at line[^]*$/, '') };
  const contents = first?.contents ?? null;
  if (contents !== null && !isMap(contents) && !(isScalar(contents) && contents.value === null))
    return { ok: false, reason: 'it is no mapping' };
  try {
    return {
      ok: true,
      root: isMap(contents) ? contents : undefined,
      content: first?.toJS() ?? null,
      others: JSON.stringify(rest.map((document) => document.toString())),
    };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

function edited(text: string, root: YAMLMap | undefined, key: string, edit: ListEdit): string | undefined {
  if (root === undefined) return withNewKey(text, text.length, '', key, edit.append);
  const pair = root.items.find((item) => isScalar(item.key) && item.key.value === key);
  if (pair === undefined)
    return root.flow === true
      ? inFlowMap(text, root, key, edit.append)
      : inBlockMap(text, root, key, edit.append);
  const { value } = pair;
  if (isSeq(value))
    return value.flow === true ? inFlowList(text, value, edit) : inBlockList(text, value, edit);
  // A single text, or nothing: what stands there becomes a list on one line.
  if (!isScalar(value) || value.anchor !== undefined || value.tag !== undefined) return undefined;
  const [start, end] = spanOf(value);
  const items = [...edit.items.filter((item) => item !== undefined), ...edit.append];
  const blank = /[\s[{,]/.test(text.charAt(start - 1)) ? '' : ' ';
  return splice(text, start, end, `${blank}${flowList(items, root.flow === true)}`);
}

function inBlockMap(text: string, root: YAMLMap, key: string, append: readonly string[]): string {
  const [start, end] = spanOf(root);
  const lineStart = text.lastIndexOf('\n', start - 1) + 1;
  const indent = /^[ \t]*$/.test(text.slice(lineStart, start)) ? text.slice(lineStart, start) : '';
  return withNewKey(
    text,
    end > 0 && text[end - 1] === '\n' ? end : endOfLine(text, end),
    indent,
    key,
    append,
    listIndent(text, root),
  );
}

/** How far other lists of this file stand in from their key; none: as kubeadm writes them, right below it. */
function listIndent(text: string, root: YAMLMap): string {
  for (const pair of root.items) {
    if (!isSeq(pair.value) || pair.value.flow === true || !isScalar(pair.key)) continue;
    const inset = columnOf(text, spanOf(pair.value)[0]) - columnOf(text, spanOf(pair.key)[0]);
    return ' '.repeat(Math.max(0, inset));
  }
  return '';
}

function withNewKey(
  text: string,
  at: number,
  indent: string,
  key: string,
  append: readonly string[],
  inset = '',
): string {
  const eol = eolOf(text);
  const open = at > 0 && text[at - 1] !== '\n' ? eol : '';
  const lines = [`${indent}${key}:`, ...append.map((item) => `${indent}${inset}- ${item}`)];
  return splice(text, at, at, open + lines.map((line) => line + eol).join(''));
}

function inFlowMap(text: string, root: YAMLMap, key: string, append: readonly string[]): string | undefined {
  const last: Pair | undefined = root.items.at(-1);
  const [start] = spanOf(root);
  const compact = !/[\s]/.test(text.slice(...spanOf(root)).replaceAll(/"(\\.|[^"\\])*"/g, ''));
  const list = compact ? `[${append.map(quoted).join(',')}]` : flowList(append, true);
  const member = `${quoted(key)}:${compact ? '' : ' '}${list}`;
  if (last === undefined) return splice(text, start + 1, start + 1, member);
  const anchor = last.value ?? last.key;
  if (!hasRange(anchor) || !hasRange(last.key)) return undefined;
  const at = anchor.range[1];
  const lineStart = text.lastIndexOf('\n', last.key.range[0] - 1) + 1;
  const indent = text.slice(lineStart, last.key.range[0]);
  const gap = lineStart > start && /^[ \t]*$/.test(indent) ? eolOf(text) + indent : compact ? '' : ' ';
  return splice(text, at, at, `,${gap}${member}`);
}

function inFlowList(text: string, list: YAMLSeq, edit: ListEdit): string | undefined {
  const [start, end] = spanOf(list);
  const source = text.slice(start, end);
  const kept = edit.items.filter((item) => item !== undefined);
  if (kept.length < edit.items.length || list.items.length === 0) {
    if (source.includes('#') || (source.includes('\n') && list.items.length > 0)) return undefined;
    return splice(
      text,
      start,
      end,
      flowList([...kept, ...edit.append], source.includes('"') || list.items.length === 0),
    );
  }
  const last = list.items.at(-1);
  const first = list.items[0];
  if (!hasRange(last) || !hasRange(first)) return undefined;
  const lineStart = text.lastIndexOf('\n', last.range[0] - 1) + 1;
  const ownLine = lineStart > start && /^[ \t]*$/.test(text.slice(lineStart, last.range[0]));
  const spaced = list.items.length > 1 ? source.includes(', ') : !/":["[{\d]/.test(text);
  const gap = ownLine ? eolOf(text) + text.slice(lineStart, last.range[0]) : spaced ? ' ' : '';
  const added = edit.append.map((item) => `,${gap}${likeScalar(last, item, true)}`).join('');
  const withNew = splice(text, last.range[1], last.range[1], added);
  return replaceItems(withNew, list, edit, true);
}

function inBlockList(text: string, list: YAMLSeq, edit: ListEdit): string | undefined {
  const last = list.items.at(-1);
  if (!hasRange(last)) return undefined;
  if (edit.items.every((item) => item === undefined) && edit.append.length === 0) {
    const [start, end] = spanOf(list);
    const before = /\s*$/.exec(text.slice(0, start))?.[0].length ?? 0;
    if (text.slice(start, end).includes('#')) return undefined;
    return splice(text, start - before, end, ` []${text[end - 1] === '\n' ? eolOf(text) : ''}`);
  }
  const lineStart = text.lastIndexOf('\n', last.range[0] - 1) + 1;
  const lead = text.slice(lineStart, last.range[0]);
  if (!/^\s*-\s+$/.test(lead)) return undefined;
  const at = endOfLine(text, last.range[1]);
  const eol = eolOf(text);
  const open = text[at - 1] === '\n' ? '' : eol;
  const added = edit.append.map((item) => `${lead}${likeScalar(last, item, false)}${eol}`).join('');
  const withNew = added === '' ? text : splice(text, at, at, open + added);
  const replaced = replaceItems(withNew, list, edit, false);
  return replaced === undefined ? undefined : dropLines(replaced, text, list, edit);
}

/** From the back, so that offsets of earlier items stay true; what was added stands behind them all. */
function replaceItems(text: string, list: YAMLSeq, edit: ListEdit, flow: boolean): string | undefined {
  let result = text;
  for (const [index, item] of [...list.items.entries()].reverse()) {
    const wanted = edit.items[index];
    if (wanted === undefined || (isScalar(item) && item.value === wanted)) continue;
    if (!isScalar(item) || !hasRange(item) || item.anchor !== undefined) return undefined;
    result = splice(result, item.range[0], item.range[1], likeScalar(item, wanted, flow));
  }
  return result;
}

function dropLines(text: string, original: string, list: YAMLSeq, edit: ListEdit): string | undefined {
  let result = text;
  if (
    edit.items.some(
      (item, index) => item !== undefined && isScalar(list.items[index]) && list.items[index].value !== item,
    ) &&
    edit.items.includes(undefined)
  )
    return undefined;
  for (const [index, item] of [...list.items.entries()].reverse()) {
    if (edit.items[index] !== undefined) continue;
    if (!hasRange(item)) return undefined;
    const start = original.lastIndexOf('\n', item.range[0] - 1) + 1;
    if (!/^\s*-\s+$/.test(original.slice(start, item.range[0]))) return undefined;
    result = splice(result, start, endOfLine(original, item.range[1]), '');
  }
  return result;
}

function likeScalar(neighbour: unknown, item: string, flow: boolean): string {
  const type = isScalar(neighbour) ? neighbour.type : undefined;
  if (type === Scalar.QUOTE_SINGLE) return `'${item}'`;
  if (type === Scalar.QUOTE_DOUBLE || (flow && /[,[\]{}]/.test(item))) return quoted(item);
  return item;
}

function flowList(items: readonly string[], json: boolean): string {
  return `[${items.map((item) => (json || /[,[\]{}]/.test(item) ? quoted(item) : item)).join(', ')}]`;
}

function quoted(item: string): string {
  return JSON.stringify(item);
}

function hasRange(node: unknown): node is { readonly range: readonly [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}

function spanOf(node: unknown): [number, number] {
  return hasRange(node) ? [node.range[0], node.range[1]] : [0, 0];
}

function endOfLine(text: string, from: number): number {
  const newline = text.indexOf('\n', from);
  return newline === -1 ? text.length : newline + 1;
}

function columnOf(text: string, offset: number): number {
  return offset - (text.lastIndexOf('\n', offset - 1) + 1);
}

function eolOf(text: string): string {
  return text.includes('\r\n') ? '\r\n' : '\n';
}

function splice(text: string, start: number, end: number, replacement: string): string {
  return text.slice(0, start) + replacement + text.slice(end);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
