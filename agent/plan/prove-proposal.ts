import { unite } from '../kubelet/allowlist.ts';
import { sameWords } from '../kubelet/argv.ts';
import type { Problem } from '../errors.ts';
import { otherWords } from './became-kubelet.ts';
import { expandArgv } from './command-line.ts';
import { readFacts, type KubeletFacts } from './facts.ts';
import type { EnvironmentFileRef, ObservedFile, ObservedNode } from './observed.ts';
import {
  impossible,
  type PossibleProposal,
  type ProposedFile,
  type Proven,
  type Wanted,
} from './proposal.ts';

/**
 * Whether the next start would get exactly the wanted list and nothing else would differ: read again from the new
 * texts by the same rules as before.
 */
export function proveProposal(
  observed: ObservedNode,
  facts: KubeletFacts,
  proposal: PossibleProposal,
  wanted: Wanted,
): Proven {
  const failed = (message: string, next?: string): Proven =>
    impossible(
      `${proposal.path} cannot be changed without a side effect: ${message}`,
      next ?? 'choose another placement, or write the command in a plainer way',
    );
  const long = longWord(observed, proposal);
  if (long !== undefined) return { ok: false, problem: long };
  const reading = readFacts(afterwards(observed, proposal));
  if (!reading.ok)
    return failed(reading.problems.map(({ message }) => message).join('; '), reading.problems[0]?.next);
  const after = reading.facts;
  const [before, got, meant] = [
    new Set(facts.written),
    new Set(after.written),
    new Set(unite(wanted.entries)),
  ];
  const missing = [...meant].filter((entry) => !got.has(entry));
  const extra = [...got].filter((entry) => !meant.has(entry) && (wanted.exact || !before.has(entry)));
  if (missing.length > 0) return failed(`${missing.join(', ')} would not be in force`);
  if (extra.length > 0) return failed(`${extra.join(', ')} would be in force as well`);
  if (facts.distribution !== undefined) return { ...proposal, after };
  const { argsFrom } = after.command;
  const base =
    proposal.commandBelow === undefined
      ? facts.command.expanded
      : expandArgv(observed, proposal.commandBelow);
  const was = otherWords(base.slice(argsFrom));
  const now = otherWords(after.command.expanded.slice(argsFrom));
  if (!sameWords(was, now)) return failed('another word of the command line would change');
  return { ...proposal, after };
}

/** Linux takes no argument of 128 KiB or more (MAX_ARG_STRLEN): execve fails with E2BIG, and the kubelet does not start. */
export const longestArgumentBytes = 131_071;

function longWord(observed: ObservedNode, proposal: PossibleProposal): Problem | undefined {
  if (proposal.kind === 'KubeletConfig') return undefined;
  const texts =
    proposal.kind === 'Unit' || proposal.kind === 'DropIn'
      ? proposal.commandAfter.argv
      : proposal.files.flatMap(({ after }) => (after ?? '').split(/[\r\n]+/));
  const longest = Math.max(0, ...texts.map((text) => new TextEncoder().encode(text).length));
  if (longest < longestArgumentBytes) return undefined;
  return {
    code: 'PLACEMENT_IMPOSSIBLE',
    message: `the flag would have ${longest} bytes, and Linux starts no program with an argument of 128 KiB or more`,
    next: `use patterns such as net.ipv4.* in place of single names${observed.kubeletConfig === undefined ? '' : ', or placement: KubeletConfig, which has no such limit'}`,
  };
}

/** The node as it would be read at the kubelet's next start if the proposal were carried out. */
function afterwards(observed: ObservedNode, proposal: PossibleProposal): ObservedNode {
  const { unit } = observed;
  const changed = (files: readonly ObservedFile[]): readonly ObservedFile[] =>
    files.flatMap((file) => withText(file, proposal.files));
  const created = proposal.files.filter(({ before, after }) => before === null && after !== null).map(fresh);
  return {
    ...observed,
    unit: unit === undefined ? undefined : { ...unit, execStart: [proposal.commandAfter] },
    unitFiles: [
      ...changed(observed.unitFiles),
      ...created.filter((file) => proposal.dropIns.includes(file.path)),
    ],
    environmentFiles:
      proposal.kind === 'EnvironmentFile'
        ? inOrder([...changed(observed.environmentFiles), ...created], unit?.environmentFiles ?? [])
        : changed(observed.environmentFiles),
    kubeletConfig:
      observed.kubeletConfig === undefined ? undefined : withText(observed.kubeletConfig, proposal.files)[0],
    kubeletConfigDropIns:
      proposal.kind === 'KubeletConfig'
        ? [...changed(observed.kubeletConfigDropIns), ...created]
        : changed(observed.kubeletConfigDropIns),
    ...(observed.distributionFiles === undefined
      ? {}
      : {
          distributionFiles:
            proposal.kind === 'DistributionConfig'
              ? [...changed(observed.distributionFiles), ...created]
              : changed(observed.distributionFiles),
        }),
  };
}

function withText(file: ObservedFile, files: readonly ProposedFile[]): readonly ObservedFile[] {
  const change = files.find(({ before }) => before?.realPath === file.realPath);
  if (change === undefined) return [file];
  return change.after === null ? [] : [{ ...file, text: change.after }];
}

function fresh({ path, after }: ProposedFile): ObservedFile {
  return {
    path,
    realPath: path,
    text: after ?? '',
    sha256: '',
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtimeMs: 0,
    writable: true,
  };
}

function inOrder(
  files: readonly ObservedFile[],
  references: readonly EnvironmentFileRef[],
): readonly ObservedFile[] {
  const rank = ({ path }: ObservedFile): number => {
    const index = references.findIndex((reference) => reference.path === path);
    // Files of a glob pattern keep the place of their pattern.
    return index === -1
      ? references.findIndex(
          (reference) =>
            /[*?[]/.test(reference.path) &&
            path.startsWith(reference.path.slice(0, reference.path.lastIndexOf('/') + 1)),
        )
      : index;
  };
  return [...files].sort((a, b) => rank(a) - rank(b));
}
