import type { Problem } from '../errors.ts';
import { classifyCommand } from '../kubelet/command.ts';
import { type FlagOccurrence, readAllowlistFlag } from '../kubelet/flag.ts';
import { type EffectiveCommand, readUnit, type UnitSource } from '../unit-file/effective.ts';
import { readEnv } from '../unit-file/env-file.ts';
import { argvOf } from '../unit-file/exec.ts';
import { expandVariables } from '../unit-file/expand.ts';
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
  readonly literal: readonly FlagOccurrence[];
  /** Entries of the flag after expansion; undefined where the flag is absent. */
  readonly flagEntries: readonly string[] | undefined;
  readonly experimental: boolean;
}

export type CommandReading = { readonly ok: true; readonly command: KubeletCommand } | { readonly ok: false; readonly problem: Problem };

/** Reads the kubelet's command line of a loaded unit. Refuses wrappers, and a unit text that systemd reads otherwise. */
export function readCommand(observed: ObservedNode, sources: readonly UnitSource[] = observed.unitFiles): CommandReading {
  const { unit } = observed;
  const loaded = unit?.execStart[0];
  if (unit === undefined || loaded === undefined || unit.execStart.length > 1) {
    return refuse('UNIT_HAS_NO_COMMAND', `${observed.unitName} has ${unit?.execStart.length ?? 0} ExecStart commands, not one`, 'look at it with `systemctl cat`');
  }
  const kind = classifyCommand(loaded.path, loaded.argv);
  if (kind.kind !== 'kubelet') return { ok: false, problem: kind.problem };

  const written = readUnit(sources).commands('ExecStart').at(-1);
  const holder = observed.unitFiles.find((file) => file.path === written?.origin.path);
  if (written === undefined || holder === undefined) {
    return refuse('UNIT_DISAGREES', `systemd runs ${loaded.path}, but no readable file of ${observed.unitName} says so`, 'run `systemctl cat` and `systemctl daemon-reload`, then try again');
  }
  if (!sameWords(written, loaded)) {
    return refuse(
      'UNIT_DISAGREES',
      `${holder.path} line ${written.origin.line} says ${JSON.stringify(argvOf(written.command))}, systemd holds ${JSON.stringify(loaded.argv)}`,
      'the file was edited since systemd read it: run `systemctl daemon-reload`, look at the difference, then try again',
    );
  }
  return analyse(observed, loaded, holder, written, kind.argsFrom);
}

/** What the kubelet would get of these words under the unit's environment. */
export function expandArgv(observed: ObservedNode, command: LoadedCommand): readonly string[] {
  if (command.flags.includes('no-env-expand')) return command.argv;
  return expandVariables(command.argv, environmentOf(observed)).argv;
}

function analyse(observed: ObservedNode, loaded: LoadedCommand, holder: ObservedFile, written: EffectiveCommand, argsFrom: number): CommandReading {
  const expanded = expandArgv(observed, loaded);
  const flag = readAllowlistFlag(expanded.slice(argsFrom));
  if (!flag.ok) return { ok: false, problem: flag.problem };
  const literal = readAllowlistFlag(loaded.argv.slice(argsFrom));
  return {
    ok: true,
    command: {
      loaded,
      holder,
      written,
      argsFrom,
      expanded,
      literal: literal.ok
        ? literal.occurrences
            .filter((occurrence) => !occurrence.value.includes('$'))
            .map((occurrence) => ({ ...occurrence, index: occurrence.index + argsFrom }))
        : [],
      flagEntries: flag.entries,
      experimental: flag.experimental,
    },
  };
}

function environmentOf(observed: ObservedNode): ReadonlyMap<string, string> {
  // What systemd itself passes on (its own environment, PassEnvironment) shows only in the running process.
  const environment = new Map(Object.entries(observed.process?.variables ?? {}));
  const read = readEnv(observed.environmentFiles, observed.unit?.environment ?? [], { systemdVersion: observed.systemdVersion });
  const known = [...(observed.unit?.environment ?? []).map((line) => line.split('=')[0] ?? ''), ...read.keys()];
  for (const name of known) environment.delete(name);
  for (const [name, { value }] of read) environment.set(name, value);
  return environment;
}

/** Words with a `%` specifier are systemd's to fill in; all others must be the same. */
function sameWords(written: EffectiveCommand, loaded: LoadedCommand): boolean {
  const words = written.command.prefixes.includes('@') ? written.command.words.slice(1) : written.command.words;
  return words.length === loaded.argv.length && words.every((word, index) => word.hasSpecifier || word.text === loaded.argv[index]);
}

function refuse(code: Problem['code'], message: string, next: string): CommandReading {
  return { ok: false, problem: { code, message, next } };
}
