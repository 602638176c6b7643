import type { WatchTarget } from '../host/file-watch.ts';
import { readFlag } from '../kubelet/flag.ts';
import type { ObservedNode } from '../plan/observed.ts';
import { sysctlConf } from '../sysctl/sysctl-d.ts';

/**
 * The files and directories of the node whose change may be drift: those that an observation has read, and those that
 * would join them if somebody made them.
 */
export function watchTargets(observed: ObservedNode, hasSysctls: boolean): readonly WatchTarget[] {
  const { root, unitName, unit } = observed;
  const file = (path: string): WatchTarget => ({ path, kind: 'file', root });
  const directory = (path: string): WatchTarget => ({ path, kind: 'directory', root });
  const names = [...new Set([unitName, ...(unit?.names ?? [])])];
  const args = observed.process?.argv ?? unit?.execStart[0]?.argv ?? [];
  const configDirectory = readFlag(args, 'config-dir');
  const targets = [
    ...unitDirectories.flatMap((parent) => [
      ...names.flatMap((name) => [file(`${parent}/${name}`), directory(`${parent}/${name}.d`)]),
      directory(`${parent}/service.d`),
    ]),
    ...observed.unitFiles.map(({ path }) => file(path)),
    ...(unit?.environmentFiles ?? []).map(({ path }) =>
      /[*?[]/.test(path) ? directory(path.slice(0, path.lastIndexOf('/'))) : file(path),
    ),
    ...[readFlag(args, 'config')].filter(isAbsolute).map(file),
    ...[configDirectory].filter(isAbsolute).map(directory),
    ...(hasSysctls ? [...sysctlDirectories.map(directory), file(sysctlConf)] : []),
  ];
  return [...new Map(targets.map((target) => [`${target.kind} ${target.path}`, target])).values()];
}

// Where people and packages put units; generators and the transient directory are systemd's own, which tells itself.
const unitDirectories = [
  '/etc/systemd/system',
  '/run/systemd/system',
  '/usr/local/lib/systemd/system',
  '/usr/lib/systemd/system',
  '/lib/systemd/system',
];

const sysctlDirectories = ['/etc/sysctl.d', '/run/sysctl.d', '/usr/lib/sysctl.d'];

function isAbsolute(path: string | undefined): path is string {
  return path?.startsWith('/') === true;
}
