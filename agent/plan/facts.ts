import type { Problem } from '../errors.ts';
import { unite } from '../kubelet/allowlist.ts';
import { classifyProcess } from '../kubelet/command.ts';
import { type KubeletConfigFacts, readKubeletConfig } from '../kubelet/config.ts';
import { dynamicConfigMark } from '../kubelet/layouts.ts';
import { readAllowlistFlag, readFlag } from '../kubelet/flag.ts';
import { inForce } from '../kubelet/in-force.ts';
import { parseKernelRelease, safeSysctls } from '../kubelet/safe-sysctls.ts';
import { type KubeletVersion, parseKubeletVersion } from '../kubelet/version.ts';
import { type KubeletCommand, readCommand } from './command-line.ts';
import { type DistributionArguments, readDistribution } from './distribution.ts';
import type { LoadedUnit, ObservedNode } from './observed.ts';
import { reloadProblems, unitProblems } from './unit-problems.ts';

/** Everything the planner learns about the kubelet before it decides anything. */
export interface KubeletFacts {
  readonly unit: LoadedUnit;
  readonly command: KubeletCommand;
  /** Where the unit starts k3s, rke2 or microk8s, whose kubelet gets its arguments from a file. */
  readonly distribution: DistributionArguments | undefined;
  readonly config: KubeletConfigFacts;
  /** The configuration file that the list comes from. */
  readonly listFrom: string | undefined;
  /** What the next start would allow, as everything is written now. */
  readonly written: readonly string[];
  /** That, and what the running kubelet allows still. */
  readonly inForce: readonly string[];
  readonly safe: readonly string[];
  readonly version: KubeletVersion | undefined;
  readonly warnings: readonly Problem[];
}

export type FactsReading =
  | { readonly ok: true; readonly facts: KubeletFacts }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** Reads the kubelet's unit, arguments and configuration; refuses what it cannot read for certain. */
export function readFacts(observed: ObservedNode): FactsReading {
  const { unit } = observed;
  const problems = unitProblems(observed);
  if (unit === undefined || problems.length > 0) return { ok: false, problems };
  const version = parseKubeletVersion(observed.kubeletVersion ?? '');
  const safe = safeSysctls(version, parseKernelRelease(observed.kernelRelease ?? ''));

  const distribution = readDistribution(observed);
  if (distribution !== undefined) {
    if (!distribution.ok) return { ok: false, problems: [...reloadProblems(unit), distribution.problem] };
    const { entries, command } = distribution.arguments;
    const config = readKubeletConfig(undefined, []);
    if (!config.ok) return { ok: false, problems: [config.problem] };
    const list = unite(entries ?? []);
    return {
      ok: true,
      facts: {
        unit,
        command,
        distribution: distribution.arguments,
        config: config.facts,
        listFrom: undefined,
        written: list,
        inForce: list,
        safe,
        version,
        warnings: [],
      },
    };
  }

  const reading = readCommand(observed);
  if (!reading.ok) return { ok: false, problems: [...reloadProblems(unit), reading.problem] };
  const { command } = reading;
  const unknown = unknownList(observed, command);
  if (unknown !== undefined) return { ok: false, problems: [unknown] };
  const missing = missingConfig(observed, command);
  if (missing !== undefined && observed.mode === 'running') return { ok: false, problems: [missing] };
  const config = readKubeletConfig(observed.kubeletConfig, observed.kubeletConfigDropIns, version);
  if (!config.ok) return { ok: false, problems: [config.problem] };
  const written = inForce(command.flagEntries, config.facts.allowedUnsafeSysctls);
  return {
    ok: true,
    facts: {
      unit,
      command,
      distribution: undefined,
      config: config.facts,
      listFrom: config.listFrom,
      written,
      inForce: unite(written, runningEntries(observed, config.facts) ?? []),
      safe,
      version,
      warnings: [...(missing === undefined ? [] : [missing]), ...imageWarnings(observed)],
    },
  };
}

/** What the running process was started with, where its command line can be read. */
function runningEntries(observed: ObservedNode, config: KubeletConfigFacts): readonly string[] | undefined {
  const { process } = observed;
  const kind = process === undefined ? undefined : classifyProcess(process);
  if (process === undefined || kind?.kind !== 'kubelet') return undefined;
  const flag = readAllowlistFlag(process.argv.slice(kind.argsFrom));
  return flag.ok ? (flag.entries ?? config.allowedUnsafeSysctls) : undefined;
}

/** The command names a configuration file that was not read: its list would be hidden, and nobody could tell. */
function missingConfig(observed: ObservedNode, command: KubeletCommand): Problem | undefined {
  const path = readFlag(command.expanded.slice(command.argsFrom), 'config');
  // Up to 1.7, --config named the directory of static pods.
  if (
    path === undefined ||
    observed.kubeletConfig !== undefined ||
    (observed.marks[path] ?? '') === 'directory'
  )
    return undefined;
  const reason =
    observed.unreadable.find((file) => file.path === path)?.reason ??
    (path.startsWith('/')
      ? 'it is not there'
      : 'its path is relative to the working directory of the kubelet');
  return {
    code: 'KUBELET_CONFIG_UNREADABLE',
    message: `cannot read the kubelet's configuration ${path}: ${reason}`,
    where: { file: path },
    next:
      observed.mode === 'image'
        ? 'if it is to hold allowedUnsafeSysctls one day, add them to the policy: the flag hides that list'
        : 'put that file right: a kubelet without it would not start again',
  };
}

/** Another place that may hold a list, which a flag would hide without anybody noticing. */
function unknownList(observed: ObservedNode, command: KubeletCommand): Problem | undefined {
  const args = command.expanded.slice(command.argsFrom);
  const refuse = (message: string, file: string, next: string): Problem => ({
    code: 'KUBELET_CONFIG_UNREADABLE',
    message,
    where: { file },
    next,
  });
  const directory = readFlag(args, 'config-dir');
  const dropIn = observed.unreadable.find(
    ({ path }) => directory !== undefined && path.startsWith(`${directory.replace(/\/+$/, '')}/`),
  );
  if (dropIn !== undefined) {
    return refuse(
      `cannot read the kubelet's configuration ${dropIn.path}: ${dropIn.reason}`,
      dropIn.path,
      'put that file right, then try again',
    );
  }
  const dynamic = dynamicConfigMark(args);
  if (dynamic !== undefined && (observed.marks[dynamic] ?? '').trim() !== '') {
    return refuse(
      `${dynamic} says that the kubelet takes its configuration from the API server, so the list in force cannot be told`,
      dynamic,
      "put allowedUnsafeSysctls into the ConfigMap of the Node's spec.configSource, or take that source away first",
    );
  }
  return undefined;
}

function imageWarnings(observed: ObservedNode): readonly Problem[] {
  if (observed.mode !== 'image') return [];
  const environment = new Set(observed.unit?.environmentFiles.map(({ path }) => path));
  return observed.unreadable
    .filter(({ path }) => environment.has(path))
    .map(({ path, reason }) => ({
      code: 'UNIT_UNREADABLE',
      message: `${path}: ${reason}; an image gets it later, so what it will say of the kubelet is unknown`,
    }));
}
