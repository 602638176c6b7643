import { unreachable } from '../errors.ts';
import { editRancherList, isAllowlistArgument } from '../kubelet/rancher-args.ts';
import { editSnapArgs } from '../kubelet/snap-args.ts';
import { argumentsIn, type DistributionArguments } from './distribution.ts';
import { impossible, type Proposal, type Wanted } from './proposal.ts';

/** Writes the kubelet argument into the distribution's own file; its own unit is then restarted. */
export function placeInDistribution(distribution: DistributionArguments, wanted: Wanted): Proposal {
  switch (distribution.file.kind) {
    case 'rancher':
      return inRancher(distribution, wanted);
    case 'snap':
      return inSnap(distribution, wanted);
    default:
      return unreachable(distribution.file);
  }
}

function inRancher(distribution: DistributionArguments, wanted: Wanted): Proposal {
  const { rancher, file, files, name } = distribution;
  if (rancher === undefined || file.kind !== 'rancher')
    return impossible(`${name} has no arguments file`, 'use placement: Unit');
  if (distribution.inUnit) {
    return impossible(
      `kubelet-arg stands on the command line of ${name}'s unit, which may hide the one of ${file.path}`,
      'use placement: Auto',
    );
  }
  const have = new Set(distribution.entries);
  const own = rancher.args.filter(({ text }) => isAllowlistArgument(text));
  const last = own.at(-1);
  const target = last ?? rancher.last ?? { path: file.path, key: 'kubelet-arg' };
  const before = files.find((candidate) => candidate.path === target.path);
  if (wanted.exact && own.some((argument) => argument.path !== target.path || argument.key !== target.key)) {
    return impossible(
      'the list stands in several files',
      `leave it in one of ${[...new Set(own.map(({ path }) => path))].join(', ')}`,
    );
  }

  const replace = new Map<number, string | undefined>();
  const append: string[] = [];
  if (last === undefined) {
    if (wanted.entries.length > 0) append.push(`allowed-unsafe-sysctls=${wanted.entries.join(',')}`);
  } else {
    const equals = last.text.indexOf('=') + 1;
    const value = last.text.slice(equals);
    const missing = wanted.entries.filter((entry) => !have.has(entry));
    const list = wanted.exact
      ? wanted.entries.join(',')
      : [...(value === '' ? [] : [value]), ...missing].join(',');
    if (wanted.exact) for (const { index } of own) replace.set(index, undefined);
    if (!wanted.exact || wanted.entries.length > 0)
      replace.set(last.index, `${last.text.slice(0, equals)}${list}`);
  }
  const edit = editRancherList(
    { path: target.path, text: before?.text ?? '' },
    target.key,
    argumentsIn(rancher, target.path, target.key),
    { replace, append },
  );
  if (!edit.ok)
    return impossible(
      `${target.path} cannot be edited: ${edit.reason}`,
      'write kubelet-arg there as a plain list',
    );
  return proposal(distribution, before?.realPath ?? target.path, before ?? null, edit.text);
}

function inSnap(distribution: DistributionArguments, wanted: Wanted): Proposal {
  const file = distribution.files.find(({ path }) => path === distribution.file.path);
  if (file === undefined)
    return impossible(`${distribution.file.path} is not there`, 'install the distribution first');
  const text = editSnapArgs(file.text, wanted.entries, wanted.exact);
  if (text === undefined)
    return impossible(
      `${file.path} spells its allowlist so that it cannot be edited in place`,
      'write it as --allowed-unsafe-sysctls=NAME,NAME on a line of its own',
    );
  return proposal(distribution, file.realPath, file, text);
}

function proposal(
  distribution: DistributionArguments,
  path: string,
  before: (Proposal & { ok: true })['files'][number]['before'],
  after: string,
): Proposal {
  return {
    ok: true,
    kind: 'DistributionConfig',
    path,
    files: [{ path, before, after }],
    reload: false,
    commandAfter: distribution.command.loaded,
    dropIns: [],
  };
}
