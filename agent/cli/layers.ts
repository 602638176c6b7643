import { type Problem, problemOf } from '../errors.ts';
import { isCovered } from '../kubelet/allowlist.ts';
import { classifyCommand } from '../kubelet/command.ts';
import { readKubeletConfig } from '../kubelet/config.ts';
import { readAllowlistFlag } from '../kubelet/flag.ts';
import { inForce } from '../kubelet/in-force.ts';
import { parseKernelRelease, safeSysctls } from '../kubelet/safe-sysctls.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import { expandArgv } from '../plan/command-line.ts';
import type { ObservedNode } from '../plan/observed.ts';
import type { SysctlFinding } from '../plan/plan.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { readUnit } from '../unit-file/effective.ts';
import { argvOf } from '../unit-file/exec.ts';

export type LayerName = 'disk' | 'loaded' | 'process';

/** The allowlist as one layer has it: the files, systemd's memory, the running kubelet. */
export type Layer =
  | {
      readonly layer: LayerName;
      readonly kind: 'known';
      readonly entries: readonly string[];
      readonly from: 'flag' | 'config' | 'nowhere';
    }
  | { readonly layer: LayerName; readonly kind: 'unknown'; readonly reason: string };

export type Drift =
  | { readonly kind: 'entryMissing'; readonly entry: string; readonly layer: LayerName }
  | { readonly kind: 'entryExtra'; readonly entry: string; readonly layer: LayerName }
  | { readonly kind: 'layersDiffer'; readonly entry: string; readonly layer: LayerName }
  | { readonly kind: 'needsReload' }
  | {
      readonly kind: 'sysctl';
      readonly name: string;
      readonly expected: string;
      readonly found: string | null;
    };

/** All layers that there are: an image has files alone. */
export function allowlistLayers(observed: ObservedNode): readonly Layer[] {
  const { unit } = observed;
  const written = readUnit(observed.unitFiles).commands('ExecStart').at(-1);
  const disk: Layer =
    unit === undefined || written === undefined
      ? { layer: 'disk', kind: 'unknown', reason: `no file gives ${observed.unitName} a command` }
      : layerOf(
          'disk',
          observed,
          expandArgv(observed, {
            path: written.command.words[0]?.text ?? '',
            argv: argvOf(written.command),
            flags: [],
          }),
        );
  if (observed.mode === 'image') return [disk];
  const command = unit?.execStart[0];
  return [
    disk,
    command === undefined
      ? { layer: 'loaded', kind: 'unknown', reason: `systemd has no command for ${observed.unitName}` }
      : layerOf('loaded', observed, expandArgv(observed, command)),
    observed.process === undefined
      ? {
          layer: 'process',
          kind: 'unknown',
          reason: 'no kubelet process is running, or it may not be looked at',
        }
      : layerOf('process', observed, observed.process.argv),
  ];
}

/** Everything in which the node is not what the policy wants; without a policy, in which its layers disagree. */
export function driftOf(
  observed: ObservedNode,
  layers: readonly Layer[],
  policy: NodePolicy | undefined,
  findings: readonly SysctlFinding[],
): readonly Drift[] {
  const safe = safeSysctls(
    parseKubeletVersion(observed.kubeletVersion ?? ''),
    parseKernelRelease(observed.kernelRelease ?? ''),
  );
  const known = layers.filter((layer) => layer.kind === 'known');
  const all = [...new Set(known.flatMap(({ entries }) => entries))];
  const allowlist = known.flatMap(({ layer, entries }): readonly Drift[] => {
    const wanted = policy?.allowedUnsafeSysctls ?? [];
    const missing = wanted.filter((entry) => !isCovered([...entries, ...safe], entry));
    const extra =
      policy?.existing === 'Remove' ? entries.filter((entry) => !isCovered([...wanted, ...safe], entry)) : [];
    const elsewhere = all.filter((entry) => !entries.includes(entry) && !missing.includes(entry));
    return [
      ...missing.map((entry) => ({ kind: 'entryMissing', entry, layer }) as const),
      ...extra.map((entry) => ({ kind: 'entryExtra', entry, layer }) as const),
      ...elsewhere.map((entry) => ({ kind: 'layersDiffer', entry, layer }) as const),
    ];
  });
  return [
    ...allowlist,
    ...(observed.unit?.needDaemonReload === true ? [{ kind: 'needsReload' } as const] : []),
    ...findings
      .filter(({ state }) => state === 'drifted')
      .map(
        ({ name, expected, found }) => ({ kind: 'sysctl', name, expected, found: found ?? null }) as const,
      ),
  ];
}

/** Why it cannot be said that there is no drift; empty when everything that matters was seen. */
export function blindSpots(
  layers: readonly Layer[],
  policy: NodePolicy | undefined,
  findings: readonly SysctlFinding[],
): readonly string[] {
  const asksForEntries =
    policy === undefined || policy.allowedUnsafeSysctls.length > 0 || policy.existing === 'Remove';
  return [
    ...layers.flatMap((layer) =>
      asksForEntries && layer.kind === 'unknown' ? [`${layer.layer}: ${layer.reason}`] : [],
    ),
    ...findings
      .filter(({ state }) => state === 'unknown')
      .map(({ name, reason }) => `${name}: ${reason ?? 'not read'}`),
  ];
}

function layerOf(layer: LayerName, observed: ObservedNode, argv: readonly string[]): Layer {
  const unknown = (problem: Problem): Layer => ({ layer, kind: 'unknown', reason: problem.message });
  try {
    const command = classifyCommand(argv[0] ?? '', argv);
    if (command.kind !== 'kubelet') return unknown(command.problem);
    const flag = readAllowlistFlag(argv.slice(command.argsFrom));
    if (!flag.ok) return unknown(flag.problem);
    const config = readKubeletConfig(
      observed.kubeletConfig,
      observed.kubeletConfigDropIns,
      parseKubeletVersion(observed.kubeletVersion ?? ''),
    );
    if (!config.ok) return unknown(config.problem);
    const fromFile = config.facts.allowedUnsafeSysctls;
    return {
      layer,
      kind: 'known',
      entries: inForce(flag.entries, fromFile),
      from: flag.entries !== undefined ? 'flag' : fromFile !== undefined ? 'config' : 'nowhere',
    };
  } catch (error) {
    return unknown(problemOf(error));
  }
}
