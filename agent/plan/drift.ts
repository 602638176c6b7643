import { unreachable } from '../errors.ts';
import { normaliseEntry, unite } from '../kubelet/allowlist.ts';
import { classifyCommand } from '../kubelet/command.ts';
import { readKubeletConfig } from '../kubelet/config.ts';
import { readAllowlistFlag } from '../kubelet/flag.ts';
import { inForce } from '../kubelet/in-force.ts';
import { parseKernelRelease, safeSysctls } from '../kubelet/safe-sysctls.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { type SysctlFile, type SysctlSource, sourceOf } from '../sysctl/sysctl-d.ts';
import { sameValue } from '../sysctl/values.ts';
import { readUnit } from '../unit-file/effective.ts';
import { argvOf } from '../unit-file/exec.ts';
import { expandArgv } from './command-line.ts';
import type { ObservedFile, ObservedNode } from './observed.ts';
import type { SysctlFinding } from './plan.ts';
import { planSysctls } from './sysctl-plan.ts';

/**
 * Where the allowlist can be looked at, from what the next boot would take to what is in force now: the files, what
 * systemd has loaded of them, the running process's command line, and what the kubelet itself says (/configz).
 */
export const kubeletLayers = ['disk', 'loaded', 'process', 'configz'] as const;

export type KubeletLayer = (typeof kubeletLayers)[number];

/** The allowlist as one layer has it. `holder` is the file that the command or the list comes from, where one does. */
export type LayerView =
  | { readonly kind: 'known'; readonly entries: readonly string[]; readonly holder: string | undefined }
  | { readonly kind: 'unknown'; readonly reason: string };

export type LayerDrift = LayerView & {
  readonly layer: KubeletLayer;
  /** Wanted by the policy and not allowed here. */
  readonly missing: readonly string[];
  /** Allowed here although the policy is the whole list (`existing: Remove`). */
  readonly extra: readonly string[];
};

/** A node sysctl beside what the policy expects of it. */
export interface SysctlDrift extends SysctlFinding {
  /** The line that gives it its value at boot; undefined where no file does. */
  readonly source: SysctlSource | undefined;
  /** `file`: it has the value of that line. `runtime`: somebody set it since. */
  readonly setBy: 'file' | 'runtime' | 'unknown';
}

export interface NodeDrift {
  readonly layers: readonly LayerDrift[];
  /** Files of the unit were edited and systemd has not read them; undefined where no systemd says. */
  readonly needsReload: boolean | undefined;
  readonly sysctls: readonly SysctlDrift[];
}

export interface DriftQuestion {
  readonly observed: ObservedNode;
  readonly policy: NodePolicy;
  /** Fragment and drop-ins as a systemd that booted now would read them; undefined where that was not looked at. */
  readonly unitOnDisk: readonly ObservedFile[] | undefined;
  readonly configz: LayerView;
  readonly sysctlFiles: readonly SysctlFile[];
}

/** What differs from the policy, layer by layer. A layer that could not be read is unknown, never without drift. */
export function driftOf(question: DriftQuestion): NodeDrift {
  const { observed, policy } = question;
  const safe = safeSysctls(
    parseKubeletVersion(observed.kubeletVersion ?? ''),
    parseKernelRelease(observed.kernelRelease ?? ''),
  );
  return {
    layers: kubeletLayers.map((layer) => layerDrift(layer, viewOf(layer, question), policy, safe)),
    needsReload: observed.unit?.needDaemonReload,
    sysctls: planSysctls(observed, policy.sysctls).findings.map((finding) =>
      sysctlDrift(finding, question.sysctlFiles),
    ),
  };
}

/** Whether anything is known to differ. Unknown layers and readings are no drift here: they have their own metrics. */
export function isDrifted(drift: NodeDrift): boolean {
  return driftedNames(drift).length > 0;
}

/** What a drift is called in metrics and in the state directory. */
export interface DriftName {
  readonly kind: 'sysctl' | 'allowlist' | 'reload';
  /** The sysctl, the layer, or `kubelet`. */
  readonly name: string;
}

/** Everything that differs now, each once, in a stable order. */
export function driftedNames(drift: NodeDrift): readonly DriftName[] {
  return [
    ...drift.layers
      .filter(({ missing, extra }) => missing.length + extra.length > 0)
      .map(({ layer }) => ({ kind: 'allowlist', name: layer }) as const),
    ...(drift.needsReload === true ? [{ kind: 'reload', name: 'kubelet' } as const] : []),
    ...drift.sysctls
      .filter(({ state }) => state === 'drifted')
      .map(({ name }) => ({ kind: 'sysctl', name }) as const),
  ];
}

function viewOf(layer: KubeletLayer, { observed, unitOnDisk, configz }: DriftQuestion): LayerView {
  switch (layer) {
    case 'disk':
      return diskView(observed, unitOnDisk);
    case 'loaded':
      return loadedView(observed);
    case 'process':
      return processView(observed);
    case 'configz':
      return configz;
    default:
      return unreachable(layer);
  }
}

function diskView(observed: ObservedNode, files: readonly ObservedFile[] | undefined): LayerView {
  if (files === undefined) return unknown('the unit directories were not read');
  const written = readUnit(files).commands('ExecStart');
  const [command] = written;
  if (command === undefined || written.length > 1) {
    return unknown(`the files of ${observed.unitName} hold ${written.length} ExecStart commands, not one`);
  }
  const { prefixes } = command.command;
  const argv = argvOf(command.command);
  const flags = prefixes.includes(':') ? ['no-env-expand'] : [];
  const path = command.command.words[0]?.text ?? '';
  return listOf(observed, path, expandArgv(observed, { path, argv, flags }), command.origin.path);
}

function loadedView(observed: ObservedNode): LayerView {
  const { unit } = observed;
  if (unit === undefined || unit.loadState !== 'loaded') {
    return unknown(`systemd has not loaded ${observed.unitName}: ${unit?.loadState ?? 'not-found'}`);
  }
  const [command] = unit.execStart;
  if (command === undefined || unit.execStart.length > 1) {
    return unknown(`${observed.unitName} has ${unit.execStart.length} ExecStart commands, not one`);
  }
  const holder = readUnit(observed.unitFiles).commands('ExecStart').at(-1)?.origin.path;
  return listOf(observed, command.path, expandArgv(observed, command), holder);
}

function processView(observed: ObservedNode): LayerView {
  const { process, unit } = observed;
  if (process === undefined) {
    return unknown(unit?.mainPid === 0 ? 'no kubelet is running' : 'the kubelet process cannot be looked at');
  }
  const view = listOf(observed, process.argv[0] ?? '', process.argv, undefined);
  if (view.kind === 'unknown' || view.holder === undefined) return view;
  // Without the flag the list is the one that stood in the files when the kubelet started.
  const edited = [observed.kubeletConfig, ...observed.kubeletConfigDropIns].find(
    (file) => file !== undefined && file.mtimeMs > (unit?.mainStartedAtMs ?? 0) + 1_000,
  );
  return edited === undefined ? view : unknown(`${edited.path} was changed after the kubelet started`);
}

/** The allowlist of one command line, with the files that its `--config` names. */
function listOf(
  observed: ObservedNode,
  path: string,
  argv: readonly string[],
  commandHolder: string | undefined,
): LayerView {
  const command = classifyCommand(path, argv);
  if (command.kind !== 'kubelet') return unknown(command.problem.message);
  const flag = readAllowlistFlag(argv.slice(command.argsFrom));
  if (!flag.ok) return unknown(flag.problem.message);
  const version = parseKubeletVersion(observed.kubeletVersion ?? '');
  const config = readKubeletConfig(observed.kubeletConfig, observed.kubeletConfigDropIns, version);
  if (flag.entries !== undefined)
    return { kind: 'known', entries: unite(flag.entries), holder: commandHolder };
  if (!config.ok) return unknown(config.problem.message);
  const entries = inForce(undefined, config.facts.allowedUnsafeSysctls);
  return { kind: 'known', entries, holder: config.listFrom ?? commandHolder };
}

function layerDrift(
  layer: KubeletLayer,
  view: LayerView,
  policy: NodePolicy,
  safe: readonly string[],
): LayerDrift {
  if (view.kind === 'unknown') return { layer, ...view, missing: [], extra: [] };
  const wanted = policy.allowedUnsafeSysctls;
  const allowed = coverage([...view.entries, ...safe]);
  const asked = coverage([...wanted, ...safe]);
  const missing = wanted.filter((entry) => !allowed(entry));
  const extra = policy.existing === 'Remove' ? view.entries.filter((entry) => !asked(entry)) : [];
  return { layer, ...view, missing, extra };
}

/** isCovered for many questions: ten thousand entries against ten thousand must not take a minute. */
function coverage(list: readonly string[]): (entry: string) => boolean {
  const entries = unite(list);
  const exact = new Set(entries);
  const prefixes = entries.filter((entry) => entry.endsWith('*')).map((entry) => entry.slice(0, -1));
  return (entry) => {
    const normal = normaliseEntry(entry);
    return exact.has(normal) || prefixes.some((prefix) => normal.startsWith(prefix));
  };
}

function sysctlDrift(finding: SysctlFinding, files: readonly SysctlFile[]): SysctlDrift {
  const source = sourceOf(finding.name, files);
  if (finding.found === undefined) return { ...finding, source, setBy: 'unknown' };
  return {
    ...finding,
    source,
    setBy: source !== undefined && sameValue(source.value, finding.found) ? 'file' : 'runtime',
  };
}

function unknown(reason: string): LayerView {
  return { kind: 'unknown', reason };
}
