import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Placement } from '../../../../agent/policy/vocabulary.ts';
import { placements } from '../../../../agent/policy/vocabulary.ts';
import type { MemoryEntry } from './memory-files.ts';

/** What the planner must do with a layout: write one file, or refuse with these codes. */
export type Expected =
  | { readonly kind: 'written'; readonly placement: string; readonly path: string; readonly text: string }
  | { readonly kind: 'refused'; readonly codes: readonly string[] };

export interface CorpusLayout {
  readonly name: string;
  readonly description: string;
  readonly placement: Placement;
  readonly files: Readonly<Record<string, MemoryEntry>>;
  readonly expected: Expected | undefined;
}

export const corpusDirectory = join(fileURLToPath(import.meta.url), '../../../../fixtures/corpus');

/**
 * All layouts of test/fixtures/corpus. One text file a layout: a line of description, `placement: X` where it is not
 * Auto, then `-- file PATH --` blocks, `-- link PATH TARGET --` lines, and at the end `-- written PLACEMENT PATH --`
 * with the whole text that must be written, or `-- refused CODE … --`. `(crlf)` and `(no last newline)` behind a path
 * say what a text file cannot show.
 */
export function readCorpus(): readonly CorpusLayout[] {
  return readdirSync(corpusDirectory)
    .filter((file) => file.endsWith('.txt'))
    .sort()
    .map((file) =>
      parseLayout(file.replace(/\.txt$/, ''), readFileSync(join(corpusDirectory, file), 'utf8')),
    );
}

function parseLayout(name: string, text: string): CorpusLayout {
  const [head = '', ...blocks] = text.split(/^(?=-- (?:file|link|written|refused) .* --$)/m);
  const [description = '', ...settings] = head.split('\n');
  const placement = placements.find((one) => settings.includes(`placement: ${one}`)) ?? 'Auto';
  const files: Record<string, MemoryEntry> = {};
  let expected: Expected | undefined;
  for (const block of blocks) {
    const newline = block.indexOf('\n');
    const [kind = '', first = '', second = ''] = block.slice(3, newline).split(' ');
    const marks = block.slice(0, newline);
    const body = withMarks(block.slice(newline + 1), marks);
    if (kind === 'file') files[first] = body;
    else if (kind === 'link') files[first] = { link: second };
    else if (kind === 'written') expected = { kind: 'written', placement: first, path: second, text: body };
    else expected = { kind: 'refused', codes: block.slice(0, newline).split(' ').slice(2, -1) };
  }
  return { name, description, placement, files, expected };
}

function withMarks(body: string, marks: string): string {
  const lines = marks.includes('(crlf)') ? body.replaceAll('\n', '\r\n') : body;
  return marks.includes('(no last newline)') ? lines.replace(/\r?\n$/, '') : lines;
}
