import type { Problem } from '../errors.ts';
import { classifyCommand } from '../kubelet/command.ts';
import type { DistributionName } from '../kubelet/distributions.ts';
import { argumentsFileOf, type ArgumentsFile, rancherConfigPath, rancherWords } from '../kubelet/layouts.ts';
import {
  isAllowlistArgument,
  rancherAllowlist,
  type RancherArgument,
  type RancherReading,
  readRancherArgs,
} from '../kubelet/rancher-args.ts';
import { snapAllowlist } from '../kubelet/snap-args.ts';
import { environmentOf, type KubeletCommand, readLoaded } from './command-line.ts';
import type { ObservedFile, ObservedNode } from './observed.ts';

/** The kubelet arguments of a distribution that runs the kubelet inside a program of its own. */
export interface DistributionArguments {
  readonly name: DistributionName;
  /** Its path is the one that the command line or the environment names. */
  readonly file: ArgumentsFile;
  readonly files: readonly ObservedFile[];
  /** The unit's command, with the kubelet arguments that stand in it. */
  readonly command: KubeletCommand;
  /** The allowlist that the kubelet gets; undefined where nothing sets one. */
  readonly entries: readonly string[] | undefined;
  /** k3s and rke2: what their files say. */
  readonly rancher: (RancherReading & { readonly ok: true }) | undefined;
  /** k3s and rke2: arguments for the kubelet on the unit's own command line, which may hide those of the files. */
  readonly inUnit: boolean;
}

export type DistributionReading =
  | { readonly ok: true; readonly arguments: DistributionArguments }
  | { readonly ok: false; readonly problem: Problem };

/** Undefined where the unit starts no such distribution. Refuses the ones that take arguments only through their own tools. */
export function readDistribution(observed: ObservedNode): DistributionReading | undefined {
  const loaded = observed.unit?.execStart[0];
  if (loaded === undefined) return undefined;
  const kind = classifyCommand(loaded.path, loaded.argv);
  if (kind.kind !== 'distribution') return undefined;
  const file = argumentsFileOf(kind.name);
  if (file === undefined) return { ok: false, problem: kind.problem };
  const reading = readLoaded(observed);
  if (!reading.ok) return reading;
  const files = observed.distributionFiles ?? [];
  const place =
    file.kind === 'rancher'
      ? rancherConfigPath(file, reading.command.expanded, environmentOf(observed))
      : file.path;
  const hidden = hiddenBelow(observed, place);
  if (hidden !== undefined) return { ok: false, problem: hidden };
  return file.kind === 'rancher'
    ? readRancher(kind.name, { ...file, path: place }, files, reading.command)
    : readSnap(kind.name, file, files, reading.command);
}

/** The allowlist that the kubelet of such a distribution gets, and the file that it comes from, where one does. */
export type DistributionList =
  | { readonly ok: true; readonly entries: readonly string[]; readonly holder: string | undefined }
  | { readonly ok: false; readonly problem: Problem };

/**
 * What a command line of the distribution (after `$` expansion) gives together with the files that were read;
 * `commandHolder` is the file that the command line stands in.
 */
export function distributionList(
  observed: ObservedNode,
  distribution: { readonly name: DistributionName; readonly problem: Problem },
  argv: readonly string[],
  commandHolder: string | undefined,
): DistributionList {
  const file = argumentsFileOf(distribution.name);
  if (file === undefined) return { ok: false, problem: distribution.problem };
  const path = file.kind === 'rancher' ? rancherConfigPath(file, argv, environmentOf(observed)) : file.path;
  const hidden = hiddenBelow(observed, path);
  if (hidden !== undefined) return { ok: false, problem: hidden };
  const files = observed.distributionFiles ?? [];
  if (file.kind === 'snap') {
    const args = files.find((candidate) => candidate.path === path);
    if (args === undefined) return { ok: false, problem: unreadable(path, 'it is not there') };
    const flag = snapAllowlist(args.text);
    return flag.ok ? { ok: true, entries: flag.entries ?? [], holder: path } : flag;
  }
  const own = files.filter((candidate) => candidate.path === path || candidate.path.startsWith(`${path}.d/`));
  if (own.length < files.length) return { ok: false, problem: unreadable(path, 'another file was read') };
  const rancher = readRancherArgs(own);
  if (!rancher.ok) return { ok: false, problem: unreadable(rancher.path, rancher.reason) };
  const words = rancherWords(argv).map(({ text }) => text);
  const flag = rancherAllowlist([...rancher.args.map(({ text }) => text), ...words], file.defaults);
  if (!flag.ok) return flag;
  const last = rancher.args.findLast(({ text }) => isAllowlistArgument(text));
  const inUnit = words.some((word) => isAllowlistArgument(word));
  return { ok: true, entries: flag.entries ?? [], holder: inUnit ? commandHolder : last?.path };
}

/** A file of the distribution that is there and could not be read. */
function hiddenBelow(observed: ObservedNode, place: string): Problem | undefined {
  const hidden = observed.unreadable.find(({ path }) => path === place || path.startsWith(`${place}.d/`));
  return hidden && unreadable(hidden.path, hidden.reason);
}

function readRancher(
  name: DistributionName,
  file: ArgumentsFile & { kind: 'rancher' },
  files: readonly ObservedFile[],
  base: KubeletCommand,
): DistributionReading {
  const rancher = readRancherArgs(files);
  if (!rancher.ok) return { ok: false, problem: unreadable(rancher.path, rancher.reason) };
  const words = rancherWords(base.expanded);
  const flag = rancherAllowlist(
    [...rancher.args.map(({ text }) => text), ...words.map(({ text }) => text)],
    file.defaults,
  );
  if (!flag.ok) return flag;
  const inUnit = rancherAllowlist(
    words.map(({ text }) => text),
    [],
  );
  const command: KubeletCommand = {
    ...base,
    literal: rancherWords(base.loaded.argv)
      .filter(({ text }) => isAllowlistArgument(text) && text.includes('=') && !text.includes('$'))
      .map(({ index, prefix, text }) => literalOf(index, prefix, text)),
    // Of the command line alone: whether it adds to the files or hides them differs between k3s's text and its code.
    flagEntries: inUnit.ok ? inUnit.entries : undefined,
    experimental: flag.experimental,
    // Two words in one: k3s hands the second half on to the kubelet.
    wordPrefix: '--kubelet-arg=allowed-unsafe-sysctls=',
  };
  return {
    ok: true,
    arguments: { name, file, files, command, entries: flag.entries, rancher, inUnit: words.length > 0 },
  };
}

function literalOf(index: number, prefix: string, text: string): KubeletCommand['literal'][number] {
  const equals = text.indexOf('=') + 1;
  const value = text.slice(equals);
  return {
    index,
    words: 1,
    name: text.slice(0, equals - 1),
    value,
    entries: value === '' ? [] : value.split(','),
    prefix: prefix + text.slice(0, equals),
  };
}

function readSnap(
  name: DistributionName,
  file: ArgumentsFile,
  files: readonly ObservedFile[],
  command: KubeletCommand,
): DistributionReading {
  const args = files.find(({ path }) => path === file.path);
  if (args === undefined) return { ok: false, problem: unreadable(file.path, 'it is not there') };
  const flag = snapAllowlist(args.text);
  if (!flag.ok) return flag;
  return {
    ok: true,
    arguments: {
      name,
      file,
      files,
      command: { ...command, flagEntries: flag.entries, experimental: flag.experimental },
      entries: flag.entries,
      rancher: undefined,
      inUnit: false,
    },
  };
}

/** The arguments that stand in one list of one file. */
export function argumentsIn(
  rancher: { readonly args: readonly RancherArgument[] },
  path: string,
  key: string,
): readonly RancherArgument[] {
  return rancher.args.filter((argument) => argument.path === path && argument.key === key);
}

function unreadable(path: string, reason: string): Problem {
  return {
    code: 'KUBELET_CONFIG_UNREADABLE',
    message: `cannot read the kubelet's arguments in ${path}: ${reason}`,
    where: { file: path },
    next: 'put that file right, then try again',
  };
}
