import { isAlias, isMap, isPair, isScalar, isSeq, LineCounter, parseAllDocuments } from 'yaml';
import type { Document, Node, Pair } from 'yaml';
import type { Place, Problem } from '../errors.ts';
import type { PathKey } from './explain-issue.ts';

/** One document of a stream as plain values without prototypes, and the way back to the text. */
export interface YamlDocument {
  readonly value: unknown;
  /** Where a value, or the key that holds it, begins; the nearest mapping or list around it when it is absent. */
  readonly locate: (path: readonly PathKey[], what: 'key' | 'value') => Place;
  /** A scalar as it was written, without quotes; undefined for anything else. */
  readonly sourceOf: (path: readonly PathKey[]) => string | undefined;
}

export interface YamlStream {
  readonly documents: readonly YamlDocument[];
  readonly problems: readonly Problem[];
}

/**
 * The bounds that keep a hostile text cheap: characters of one file (a ConfigMap holds no more), nested levels, and
 * values after aliases are followed.
 */
export const yamlLimits = { characters: 1_048_576, depth: 32, values: 200_000 } as const;

/** Reads a YAML stream. Empty documents are left out. Never throws: everything wrong is a problem with its place. */
export function readYaml(file: string, text: string): YamlStream {
  if (text.length > yamlLimits.characters) {
    const message = `${file} has ${text.length} characters; a policy file has at most ${yamlLimits.characters}`;
    return { documents: [], problems: [{ code: 'POLICY_UNREADABLE', message, where: { file } }] };
  }
  const lines = new LineCounter();
  const place = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  // Duplicate keys are found below: the library's own check takes quadratic time.
  const parsed = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const documents: YamlDocument[] = [];
  const problems: Problem[] = [];
  for (const document of Array.isArray(parsed) ? parsed : []) {
    const complaints = [...document.errors, ...document.warnings];
    if (complaints.length > 0) {
      problems.push(
        ...complaints.slice(0, mostSyntaxProblems).map((complaint) => unreadable(complaint, place)),
      );
      continue;
    }
    if (isEmpty(document)) continue;
    const reading = new Reading(place);
    const value = reading.valueOf(document.contents);
    problems.push(...reading.problems);
    if (reading.problems.length > 0) continue;
    const root = document.contents;
    documents.push({
      value,
      locate: (path, what) => reading.locate(root, path, what),
      sourceOf: (path) => reading.sourceOf(root, path),
    });
  }
  return { documents, problems };
}

// One slip of the indentation can make every later line an error.
const mostSyntaxProblems = 20;

function unreadable(complaint: Document['errors'][number], place: (offset: number) => Place): Problem {
  const [message = ''] = complaint.message.split('\n');
  return { code: 'POLICY_UNREADABLE', message: `not YAML: ${message}`, where: place(complaint.pos[0]) };
}

function isEmpty(document: Document): boolean {
  const { contents } = document;
  return contents === null || (isScalar(contents) && contents.value === null && contents.source === '');
}

/** The walk through one document: aliases followed, every key once, sizes bounded. */
class Reading {
  readonly problems: Problem[] = [];
  readonly #place: (offset: number) => Place;
  readonly #anchors = new Map<string, Node>();
  readonly #targets = new Map<Node, Node>();
  readonly #values = new Map<Node, unknown>();
  readonly #sizes = new Map<Node, number>();
  readonly #open = new Set<Node>();
  readonly #keys = new Map<Node, Map<string, Pair>>();
  #size = 0;
  #depth = 0;

  constructor(place: (offset: number) => Place) {
    this.#place = place;
  }

  valueOf(node: unknown): unknown {
    if (this.#size > yamlLimits.values) return undefined;
    if (isAlias(node)) return this.#followed(node);
    this.#size += 1;
    if (this.#size > yamlLimits.values) {
      this.#refuse(node, `more than ${yamlLimits.values} values once aliases are followed`);
      return undefined;
    }
    if (isScalar(node)) {
      if (node.anchor !== undefined) this.#keep(node, node, 1, node.value);
      return node.value;
    }
    if (!isMap(node) && !isSeq(node)) return null;
    if (this.#depth >= yamlLimits.depth) {
      this.#refuse(node, `more than ${yamlLimits.depth} levels deep`);
      return undefined;
    }
    const before = this.#size - 1;
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, node);
    this.#open.add(node);
    this.#depth += 1;
    const value = isMap(node) ? this.#mapping(node) : node.items.map((item) => this.valueOf(item));
    this.#depth -= 1;
    this.#open.delete(node);
    if (node.anchor !== undefined) this.#keep(node, node, this.#size - before, value);
    return value;
  }

  locate(root: unknown, path: readonly PathKey[], what: 'key' | 'value'): Place {
    let holder = root;
    for (const [index, key] of path.entries()) {
      const last = index === path.length - 1;
      const inside = this.#target(holder);
      const pair = isMap(inside) ? this.#keys.get(inside)?.get(String(key)) : undefined;
      const item = isSeq(inside) && typeof key === 'number' ? inside.items[key] : pair?.value;
      if (last && what === 'key' && pair !== undefined) return this.#start(pair.key);
      if (item === undefined || item === null) return this.#start(pair?.key ?? inside);
      holder = item;
    }
    return this.#start(holder);
  }

  sourceOf(root: unknown, path: readonly PathKey[]): string | undefined {
    let holder = this.#target(root);
    for (const key of path) {
      const item: unknown =
        isSeq(holder) && typeof key === 'number'
          ? holder.items[key]
          : isMap(holder)
            ? this.#keys.get(holder)?.get(String(key))?.value
            : undefined;
      holder = this.#target(item);
    }
    return isScalar(holder) ? holder.source : undefined;
  }

  #mapping(node: { items: readonly unknown[] } & Node): unknown {
    const value: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    const pairs = new Map<string, Pair>();
    this.#keys.set(node, pairs);
    for (const pair of node.items) {
      if (!isPair(pair)) continue;
      const key = this.#target(pair.key);
      if (!isScalar(key) || typeof key.value !== 'string') {
        this.#refuse(pair.key ?? node, 'a key that is not text');
        continue;
      }
      const first = pairs.get(key.value);
      if (first === undefined) {
        pairs.set(key.value, pair);
        value[key.value] = this.valueOf(pair.value);
      } else {
        const { line } = this.#start(first.key);
        this.#refuse(
          pair.key,
          `the key ${JSON.stringify(key.value)} a second time; it stands in line ${line} already`,
        );
      }
    }
    return value;
  }

  #followed(alias: Node & { source: string }): unknown {
    const target = this.#anchors.get(alias.source);
    if (target === undefined) {
      this.#refuse(alias, `an alias *${alias.source} without an anchor &${alias.source} before it`);
      return undefined;
    }
    if (this.#open.has(target)) {
      this.#refuse(alias, `an alias *${alias.source} inside its own anchor`);
      return undefined;
    }
    this.#targets.set(alias, target);
    this.#size += this.#sizes.get(target) ?? 1;
    if (this.#size > yamlLimits.values) {
      this.#refuse(alias, `more than ${yamlLimits.values} values once aliases are followed`);
      return undefined;
    }
    return this.#values.get(target);
  }

  #keep(node: Node & { anchor?: string }, target: Node, size: number, value: unknown): void {
    if (node.anchor !== undefined) this.#anchors.set(node.anchor, target);
    this.#sizes.set(target, size);
    this.#values.set(target, value);
  }

  #target(node: unknown): unknown {
    return isAlias(node) ? this.#targets.get(node) : node;
  }

  #start(node: unknown): Place {
    const range = isScalar(node) || isMap(node) || isSeq(node) || isAlias(node) ? node.range : undefined;
    return this.#place(range?.[0] ?? 0);
  }

  #refuse(node: unknown, what: string): void {
    this.problems.push({
      code: 'POLICY_UNREADABLE',
      message: `the document has ${what}`,
      where: this.#start(node),
    });
  }
}
