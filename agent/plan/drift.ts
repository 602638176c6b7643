import { unreachable } from '../errors.ts';
import { normaliseEntry, unite } from '../kubelet/allowlist.ts';
import { parseKernelRelease, safeSysctls } from '../kubelet/safe-sysctls.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import type { NodePolicy } from '../policy/merge.ts';
import { type SysctlFile, type SysctlSource, sourceOf } from '../sysctl/sysctl-d.ts';
import { sameValue } from '../sysctl/values.ts';
import { diskView, type LayerView, loadedView, processView } from './layer-views.ts';
import type { ObservedFile, ObservedNode } from './observed.ts';
import type { SysctlFinding } from './plan.ts';
import { planSysctls } from './sysctl-plan.ts';

/**
 * Where the allowlist can be looked at, from what the next boot would take to what is in force now: the files, what
 * systemd has loaded of them, the running process's command line, and what the kubelet itself says (/configz).
 */
export const kubeletLayers = ['disk', 'loaded', 'process', 'configz'] as const;

export type KubeletLayer = (typeof kubeletLayers)[number];

export type { LayerView } from './layer-views.ts';
export { type DriftName, driftedNames, isDrifted } from './drift-names.ts';

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
