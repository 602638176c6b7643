import { parse } from '../unit-file/parse.ts';
import type { KubeletCommand } from './command-line.ts';

/**
 * What a reader of the unit may take for something else than systemd does: a setting that a backslash above it made an
 * argument, and flags below a line that lacks its backslash. systemd loads both without an error.
 */
export function commandHints({ holder, written }: KubeletCommand): readonly string[] {
  const swallowed = written.command.words
    .slice(1)
    .filter(({ text }) => /^[A-Z][A-Za-z]+=/.test(text))
    .map(
      ({ text }) =>
        `"${text}" in ${holder.path} is an argument of the kubelet, no setting of the unit: the line above it ends with a backslash`,
    );
  const nodes = parse(holder.text).nodes.slice(written.origin.nodeIndex + 1);
  const end = nodes.findIndex(({ source }) => !source.trimStart().startsWith('-'));
  const lost = nodes.slice(0, end === -1 ? nodes.length : end).map(({ source }) => source.trim());
  if (lost.length === 0) return swallowed;
  return [
    ...swallowed,
    `the kubelet does not get "${/^\S*/.exec(lost[0] ?? '')?.[0] ?? ''}" and what follows it in ${holder.path}: the line above it does not end with a single backslash as its very last character`,
  ];
}
