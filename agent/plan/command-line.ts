import type { Problem } from '../errors.ts';
import { classifyCommand } from '../kubelet/command.ts';
import { type FlagOccurrence, readAllowlistFlag } from '../kubelet/flag.ts';
import { type EffectiveCommand, readUnit, type UnitSource } from '../unit-file/effective.ts';
import { readEnv } from '../unit-file/env-file.ts';
import { argvOf } from '../unit-file/exec.ts';
import { expandVariables } from '../unit-file/expand.ts';
import { becameKubelet, provenArgsFrom } from './became-kubelet.ts';
import { type FlagVariable, flagVariables } from './flag-variables.ts';
import type { LoadedCommand, ObservedFile, ObservedNode } from './observed.ts';

/** The kubelet's command line: as systemd holds it, where it is written, and what the kubelet gets of it. */
export interface KubeletCommand {
  readonly loaded: LoadedCommand;
  /** The file whose ExecStart= is in force, and where in it. */
  readonly holder: ObservedFile;
  readonly written: EffectiveCommand;
  /** Index in argv where the kubelet's own flags begin. */
  readonly argsFrom: number;
  /** argv after `$` expansion. */
  readonly expanded: readonly string[];
  /** Occurrences of the allowlist flag that stand in the unit itself; indices count in argv. */
  readonly literal: readonly LiteralFlag[];
  /** Entries of the flag after expansion; undefined where the flag is absent. */
  readonly flagEntries: readonly string[] | undefined;
  /** The variables that bring the flag, or some of its entries. */
  readonly flagVariables: readonly FlagVariable[];
  readonly experimental: boolean;
  /** What stands before the entries in a word that this agent adds; undefined: the kubelet's own flag. */
  readonly wordPrefix?: string;
}

/** The flag in the unit's own text. `prefix`: what stands before the value in its word, nothing in the space form. */
export interface LiteralFlag extends FlagOccurrence {
  readonly prefix: string;
}

export type CommandReading =
  { readonly ok: true; readonly command: KubeletCommand } | { readonly ok: false; readonly problem: Problem };

/** Reads the kubelet's command line of a loaded unit. Refuses wrappers, and a unit text that systemd reads otherwise. */
export function readCommand(
  observed: ObservedNode,
  sources: readonly UnitSource[] = observed.unitFiles,
): CommandReading {
  const loaded = observed.unit?.execStart[0];
  if (loaded === undefined) return readLoaded(observed, sources);
  const kind = classifyCommand(loaded.path, loaded.argv);
  if (kind.kind === 'wrapper') {
    const reading = readLoaded(observed, sources);
    const argsFrom = reading.ok ? provenArgsFrom(observed, loaded, reading.command.expanded) : undefined;
    return reading.ok && argsFrom !== undefined
      ? analyse({ ...reading.command, argsFrom })
      : { ok: false, problem: kind.problem };
  }
  if (kind.kind !== 'kubelet') return { ok: false, problem: kind.problem };
  const reading = readLoaded(observed, sources);
  if (!reading.ok) return reading;
  const command = { ...reading.command, argsFrom: kind.argsFrom };
  if (observed.marks[loaded.path]?.startsWith('#!') === true && !becameKubelet(observed, command)) {
    return refuse(
      'UNIT_WRAPPED',
      `${loaded.path} is a script: whether it hands a new flag on to the kubelet cannot be known`,
      'put the flag where the script reads its flags, or let ExecStart= start the kubelet itself',
    );
  }
  return analyse(command);
}

/** The command as systemd holds it and where it is written, whatever it starts. */
export function readLoaded(
  observed: ObservedNode,
  sources: readonly UnitSource[] = observed.unitFiles,
): CommandReading {
  const { unit } = observed;
  const loaded = unit?.execStart[0];
  if (unit === undefined || loaded === undefined || unit.execStart.length > 1) {
    return refuse(
      'UNIT_HAS_NO_COMMAND',
      `${observed.unitName} has ${unit?.execStart.length ?? 0} ExecStart commands, not one`,
      'look at it with `systemctl cat`',
    );
  }
  const written = readUnit(sources).commands('ExecStart').at(-1);
  const holder = observed.unitFiles.find((file) => file.path === written?.origin.path);
  if (written === undefined || holder === undefined) {
    return refuse(
      'UNIT_DISAGREES',
      `systemd runs ${loaded.path}, but no readable file of ${observed.unitName} says so`,
      'run `systemctl cat` and `systemctl daemon-reload`, then try again',
    );
  }
  if (!sameWords(written, loaded)) {
    return refuse(
      'UNIT_DISAGREES',
      `${holder.path} line ${written.origin.line} says ${JSON.stringify(argvOf(written.command))}, systemd holds ${JSON.stringify(loaded.argv)}`,
      'the file was edited since systemd read it: run `systemctl daemon-reload`, look at the difference, then try again',
    );
  }
  const expanded = expandArgv(observed, loaded);
  return {
    ok: true,
    command: {
      loaded,
      holder,
      written,
      argsFrom: 1,
      expanded,
      literal: [],
      flagEntries: undefined,
      flagVariables: flagVariables(observed, loaded),
      experimental: false,
    },
  };
}

/** What the kubelet would get of these words under the unit's environment. */
export function expandArgv(observed: ObservedNode, command: LoadedCommand): readonly string[] {
  if (command.flags.includes('no-env-expand')) return command.argv;
  return expandVariables(command.argv, environmentOf(observed)).argv;
}

function analyse(command: KubeletCommand): CommandReading {
  const { loaded, expanded, argsFrom } = command;
  const flag = readAllowlistFlag(expanded.slice(argsFrom));
  if (!flag.ok) return { ok: false, problem: flag.problem };
  const literal = readAllowlistFlag(loaded.argv.slice(argsFrom));
  return {
    ok: true,
    command: {
      ...command,
      literal: literal.ok
        ? literal.occurrences
            .filter((occurrence) => !occurrence.value.includes('$'))
            .map((occurrence) => ({
              ...occurrence,
              index: occurrence.index + argsFrom,
              prefix: occurrence.words === 1 ? `${occurrence.name}=` : '',
            }))
        : [],
      flagEntries: flag.entries,
      experimental: flag.experimental,
    },
  };
}

export type EnvironmentFacts = Pick<ObservedNode, 'unit' | 'process' | 'environmentFiles' | 'systemdVersion'>;

/**
 * The variables that the unit's command is expanded with: the manager's, then what systemd sets for the service, then
 * the unit's own (exec_child in systemd's source).
 */
export function environmentOf(observed: EnvironmentFacts): ReadonlyMap<string, string> {
  const environment = new Map([
    ...assignments(observed.unit?.managerEnvironment ?? []),
    ...Object.entries(observed.process?.variables ?? {}).filter(([name]) => comesFromSystemd(observed, name)),
  ]);
  const read = readEnv(observed.environmentFiles, observed.unit?.environment ?? [], {
    systemdVersion: observed.systemdVersion,
  });
  const known = [
    ...(observed.unit?.environment ?? []).map((line) => line.split('=')[0] ?? ''),
    ...read.keys(),
  ];
  for (const name of known) environment.delete(name);
  for (const [name, { value }] of read) environment.set(name, value);
  return environment;
}

function assignments(lines: readonly string[]): readonly (readonly [string, string])[] {
  return lines.map((line) => {
    const [name = '', ...value] = line.split('=');
    return [name, value.join('=')] as const;
  });
}

// A variable of the running process that nothing sets any more is gone at the next start, unless systemd itself sets it.
function comesFromSystemd({ unit }: EnvironmentFacts, name: string): boolean {
  if (unit === undefined || systemdsOwn.has(name)) return true;
  if (unit.managerEnvironment === undefined && unit.environmentFiles.length === 0) return true;
  return (unit.settings['PassEnvironment'] ?? '').includes(`"${name}"`);
}

const systemdsOwn: ReadonlySet<string> = new Set([
  'PATH',
  'LANG',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'RUNTIME_DIRECTORY',
  'STATE_DIRECTORY',
  'CACHE_DIRECTORY',
  'LOGS_DIRECTORY',
  'CONFIGURATION_DIRECTORY',
  'CREDENTIALS_DIRECTORY',
]);

/** Words with a `%` specifier are systemd's to fill in; all others must be the same. */
function sameWords(written: EffectiveCommand, loaded: LoadedCommand): boolean {
  const words = written.command.prefixes.includes('@')
    ? written.command.words.slice(1)
    : written.command.words;
  return (
    words.length === loaded.argv.length &&
    words.every((word, index) => word.hasSpecifier || word.text === loaded.argv[index])
  );
}

function refuse(code: Problem['code'], message: string, next: string): CommandReading {
  return { ok: false, problem: { code, message, next } };
}
