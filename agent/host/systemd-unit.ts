import type { EnvironmentFileRef, LoadedCommand, LoadedUnit } from '../plan/observed.ts';
import { asArray, asHex, asMilliseconds, asNumber, asString, asStrings, canonical } from './bus-values.ts';
import { manager, serviceInterface, type SystemdCalls, unitInterface } from './systemd-calls.ts';

/** Everything the planner wants to know of a unit, as systemd holds it. @throws BusError. */
export async function observeUnit({ unitPath, optional }: SystemdCalls, unit: string): Promise<LoadedUnit> {
  const path = await unitPath(unit);
  const u = async (name: string): Promise<unknown> => optional(path, unitInterface, name);
  const s = async (name: string): Promise<unknown> => optional(path, serviceInterface, name);
  const execStart = await commands(s, 'ExecStart');
  const managers = asStrings(await optional(manager.path, manager.interface, 'Environment'));
  return {
    id: asString(await u('Id')),
    names: asStrings(await u('Names')),
    loadState: asString(await u('LoadState')),
    loadError: asStrings(await u('LoadError'))
      .filter((part) => part !== '')
      .join(': '),
    activeState: asString(await u('ActiveState')),
    subState: asString(await u('SubState')),
    fragmentPath: asString(await u('FragmentPath')),
    dropInPaths: asStrings(await u('DropInPaths')),
    needDaemonReload: (await u('NeedDaemonReload')) === true,
    unitFileState: asString(await u('UnitFileState')),
    invocationId: asHex(await u('InvocationID')),
    jobQueued: asNumber(asArray(await u('Job'))[0]) !== 0,
    mayRestart: (await u('CanStart')) !== false && (await u('CanStop')) !== false,
    startLimitBurst: asNumber(await u('StartLimitBurst')),
    startLimitIntervalMs: asMilliseconds(await u('StartLimitIntervalUSec')),
    type: asString(await s('Type')),
    restart: asString(await s('Restart')),
    restartMs: asMilliseconds(await s('RestartUSec')),
    startTimeoutMs: asMilliseconds(await s('TimeoutStartUSec')),
    killMode: asString(await s('KillMode')),
    mainPid: asNumber(await s('MainPID')),
    nRestarts: asNumber(await s('NRestarts')),
    mainStartedAtMs: asMilliseconds(await s('ExecMainStartTimestamp')),
    execStart,
    execStartPre: await commands(s, 'ExecStartPre'),
    execStop: await commands(s, 'ExecStop'),
    execStopPost: await commands(s, 'ExecStopPost'),
    environment: asStrings(await s('Environment')),
    // Only what the command names: the rest may hold secrets.
    managerEnvironment: managers.filter((line) => isNamed(execStart, line.split('=')[0] ?? '')),
    environmentFiles: asArray(await s('EnvironmentFiles')).map(environmentFile),
    settings: await settings(u, s),
  };
}

function isNamed(commands: readonly LoadedCommand[], variable: string): boolean {
  return commands.some(({ argv }) =>
    argv.some((word) => [...word.matchAll(/\$\{?(\w+)/g)].some((match) => match[1] === variable)),
  );
}

/** One property by name; undefined where this systemd has none of that name. */
type Question = (name: string) => Promise<unknown>;

/**
 * Settings that an edit of ExecStart must leave alone, compared before and after (design: promise 2).
 * A closed list: a property that systemd adds one day must not make a good edit look bad.
 */
const guarded = {
  unit: [
    // Not the dependencies: a reload also takes in other units' edits, which may add to ours from their side.
    'Names',
    'OnFailure',
    'Description',
    'FragmentPath',
    'StartLimitBurst',
    'StartLimitIntervalUSec',
    'StartLimitAction',
    'DefaultDependencies',
  ],
  service: [
    'Type',
    'Restart',
    'RestartUSec',
    'TimeoutStartUSec',
    'TimeoutStopUSec',
    'WatchdogUSec',
    'PIDFile',
    'NotifyAccess',
    'RemainAfterExit',
    'GuessMainPID',
    'KillMode',
    'KillSignal',
    'SendSIGKILL',
    'User',
    'Group',
    'WorkingDirectory',
    'RootDirectory',
    'Environment',
    'EnvironmentFiles',
    'PassEnvironment',
    'UMask',
    'Slice',
    'Delegate',
    'OOMScoreAdjust',
    'CPUAccounting',
    'MemoryAccounting',
    'LimitNOFILE',
    'LimitNPROC',
    'LimitCORE',
    'StandardOutput',
    'StandardError',
    'CapabilityBoundingSet',
    'MountFlags',
    'ProtectSystem',
    'PrivateTmp',
    'SuccessExitStatus',
    'RestartPreventExitStatus',
  ],
} as const;
const guardedCommands = [
  'ExecStartPre',
  'ExecStartPost',
  'ExecReload',
  'ExecStop',
  'ExecStopPost',
  'ExecCondition',
] as const;

async function settings(unit: Question, service: Question): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [ask, names] of [
    [unit, guarded.unit],
    [service, guarded.service],
  ] as const) {
    for (const name of names) {
      const value = await ask(name);
      if (value !== undefined) found[name] = canonical(value);
    }
  }
  for (const name of guardedCommands) found[name] = canonical(await commands(service, name));
  return found;
}

async function commands(service: Question, name: string): Promise<readonly LoadedCommand[]> {
  const extended = await service(`${name}Ex`);
  if (extended !== undefined) {
    return asArray(extended).map((row) => {
      const [path, argv, flags] = asArray(row);
      return { path: asString(path), argv: asStrings(argv), flags: asStrings(flags) };
    });
  }
  return asArray(await service(name)).map((row) => {
    const [path, argv, ignore] = asArray(row);
    return { path: asString(path), argv: asStrings(argv), flags: ignore === true ? ['ignore-failure'] : [] };
  });
}

function environmentFile(row: unknown): EnvironmentFileRef {
  const [path, isOptional] = asArray(row);
  return { path: asString(path), optional: isOptional === true };
}
