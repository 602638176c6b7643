import { type FlagReading, readAllowlistFlag } from './flag.ts';

/** One argument of a snap's args file. */
export interface SnapArgument {
  readonly line: number;
  readonly text: string;
}

/**
 * The arguments of microk8s' args/kubelet as kubelite reads it: one argument a line, blanks around it cut off, lines
 * with # and empty ones skipped, quotes taken away wherever they stand.
 */
export function readSnapArgs(text: string): readonly SnapArgument[] {
  return text.split('\n').flatMap((raw, line) => {
    const trimmed = raw.trim();
    return trimmed === '' || trimmed.startsWith('#') ? [] : [{ line, text: trimmed.replaceAll(/["']/g, '') }];
  });
}

/** The allowlist in those arguments. */
export function snapAllowlist(text: string): FlagReading {
  return readAllowlistFlag(
    readSnapArgs(text)
      .map((argument) => argument.text)
      .filter((word) => isFlag(word)),
  );
}

/**
 * Adds entries to the last allowlist line, or a line at the end; `exact` makes the flag hold just these entries.
 * Every other byte stays. Undefined where a line is written so that adding to it cannot be told apart from its quotes.
 */
export function editSnapArgs(text: string, entries: readonly string[], exact: boolean): string | undefined {
  const lines = text.split('\n');
  const eol = text.includes('\r\n') ? '\r' : '';
  const own = readSnapArgs(text).filter((argument) => isFlag(argument.text));
  const last = own.at(-1);
  if (last === undefined) {
    if (entries.length === 0) return text;
    const added = `--allowed-unsafe-sysctls=${entries.join(',')}${eol}`;
    return lines.at(-1) === '' ? [...lines.slice(0, -1), added, ''].join('\n') : `${text}${eol}\n${added}\n`;
  }
  const reading = snapAllowlist(text);
  if (!reading.ok) return undefined;
  const raw = lines[last.line] ?? '';
  const parts = /^(\s*["']?--[a-z_-]+=["']?)([^"']*)(["']*\s*)$/.exec(raw);
  if (parts === null) return undefined;
  const have = new Set(reading.entries);
  const missing = entries.filter((entry) => !have.has(entry));
  const value = exact
    ? entries.join(',')
    : [...(parts[2] === '' ? [] : [parts[2] ?? '']), ...missing].join(',');
  const changed = lines.with(last.line, `${parts[1] ?? ''}${value}${parts[3] ?? ''}`);
  if (!exact) return changed.join('\n');
  const gone = new Set(own.slice(0, -1).map(({ line }) => line));
  if (entries.length === 0) gone.add(last.line);
  return changed.filter((_, index) => !gone.has(index)).join('\n');
}

function isFlag(word: string): boolean {
  return /^--(experimental[-_])?allowed[-_]unsafe[-_]sysctls(=|$)/.test(word);
}
