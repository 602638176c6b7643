import type { Problem } from '../errors.ts';
import type { LoadedUnit, ObservedNode } from './observed.ts';

/** Why this unit cannot be worked with at all: read before its command line. */
export function unitProblems(observed: ObservedNode): readonly Problem[] {
  const { unit, unitName } = observed;
  if (unit === undefined || unit.loadState === 'not-found') {
    return [
      {
        code: 'UNIT_NOT_FOUND',
        message: `there is no unit ${unitName} on this node`,
        next: 'name the unit that starts the kubelet with --unit or spec.kubelet.unit',
      },
    ];
  }
  if (unit.loadState === 'masked') {
    return [
      {
        code: 'UNIT_MASKED',
        message: `${unitName} is masked: somebody does not want it to start`,
        next: `if that is wrong, run \`systemctl unmask ${unitName}\``,
      },
    ];
  }
  if (unit.loadState !== 'loaded') {
    return [
      {
        code: 'UNIT_NOT_LOADED',
        message: `systemd could not load ${unitName}: ${unit.loadState}${unit.loadError === '' ? '' : `, ${unit.loadError}`}`,
        next: `put the unit right; \`systemctl status ${unitName}\` says what is wrong with it`,
      },
    ];
  }
  return observed.unreadable
    .filter(({ path }) => matters(observed, unit, path))
    .map(({ path, reason }) => ({
      code: 'UNIT_UNREADABLE',
      message: `${path} cannot be read: ${reason}`,
      where: { file: path },
      next: 'put that file right, then try again',
    }));
}

/** Somebody else's edits that only our reload would bring into force. */
export function reloadProblems(unit: LoadedUnit): readonly Problem[] {
  if (!unit.needDaemonReload) return [];
  return [
    {
      code: 'UNIT_NEEDS_RELOAD',
      message: `files of ${unit.id} were edited and systemd has not read them yet: our reload would bring that edit into force as well`,
      next: 'look at the edit, run `systemctl daemon-reload`, then try again',
    },
  ];
}

/** The unit's own files always; an environment file where the command can name its variables, or cannot start without it. */
function matters(observed: ObservedNode, unit: LoadedUnit, path: string): boolean {
  if (path === unit.fragmentPath || unit.dropInPaths.includes(path)) return true;
  const reference = unit.environmentFiles.find((candidate) => candidate.path === path);
  // What an image lacks may be there when it boots; the plan warns.
  if (
    observed.mode === 'image' ||
    !unit.environmentFiles.some((candidate) => isNamedBy(candidate.path, path))
  )
    return false;
  return (
    reference?.optional === false ||
    unit.execStart.some(
      ({ argv, flags }) => !flags.includes('no-env-expand') && argv.some((word) => word.includes('$')),
    )
  );
}

function isNamedBy(pattern: string, path: string): boolean {
  if (!/[*?[]/.test(pattern)) return pattern === path;
  const directory = pattern.slice(0, pattern.lastIndexOf('/') + 1);
  return path === pattern || path.startsWith(directory);
}
