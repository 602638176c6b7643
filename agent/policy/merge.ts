import { unite } from '../kubelet/allowlist.ts';
import type { Problem } from '../errors.ts';
import { formatDuration, parseDuration } from './durations.ts';
import { mergeSysctls } from './merge-sysctls.ts';
import type { ExpectedSysctl } from './merge-sysctls.ts';
import type { PolicyDocument } from './schema.ts';
import { policyDefaults } from './vocabulary.ts';
import type { Existing, Narrowing, Placement, Setting } from './vocabulary.ts';

export type { ExpectedSysctl } from './merge-sysctls.ts';

/** What all policies that select a node want of it together. Plain JSON; durations in milliseconds. */
export interface NodePolicy {
  /** Sorted. */
  readonly names: readonly string[];
  readonly unit: string;
  /** Normalised, without duplicates; policies in order of their names, entries in the order of each document. */
  readonly allowedUnsafeSysctls: readonly string[];
  readonly existing: Existing;
  readonly narrowing: Narrowing;
  readonly placement: Placement;
  /** Sorted by name. */
  readonly sysctls: readonly ExpectedSysctl[];
  readonly rollout: {
    readonly maxUnavailable: number;
    readonly maxFailed: number;
    readonly probationMs: number;
  };
}

export type Merged =
  | { readonly ok: true; readonly policy: NodePolicy }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/**
 * Unites the policies of one node; their order does not matter, and none at all gives the defaults. A setting that a
 * policy leaves out gives way to another's; two that state it differently are a POLICY_CONFLICT that names both. What
 * the command line states overrules the settings (not the sysctls) of documents. All conflicts come at once.
 */
export function mergeForNode(policies: readonly PolicyDocument[]): Merged {
  const sorted = inOrder(policies);
  const problems: Problem[] = [];
  const settle = <T extends string | number>(
    setting: Setting,
    byDefault: T,
    read: (spec: PolicyDocument['spec']) => T,
  ): T => settled(sorted, problems, setting, byDefault, read);
  const sysctls = mergeSysctls(sorted);
  const policy: NodePolicy = {
    names: [...new Set(sorted.map(({ metadata }) => metadata.name))],
    unit: settle('unit', policyDefaults.unit, ({ kubelet }) => kubelet.unit),
    allowedUnsafeSysctls: unite(...sorted.map(({ spec }) => spec.kubelet.allowedUnsafeSysctls)),
    existing: settle('existing', policyDefaults.existing, ({ kubelet }) => kubelet.existing),
    narrowing: settle('narrowing', policyDefaults.narrowing, ({ kubelet }) => kubelet.narrowing),
    placement: settle('placement', policyDefaults.placement, ({ kubelet }) => kubelet.placement),
    sysctls: sysctls.sysctls,
    rollout: {
      maxUnavailable: settle(
        'maxUnavailable',
        policyDefaults.maxUnavailable,
        ({ rollout }) => rollout.maxUnavailable,
      ),
      maxFailed: settle('maxFailed', policyDefaults.maxFailed, ({ rollout }) => rollout.maxFailed),
      probationMs: settle('probation', defaultProbationMs, ({ rollout }) => rollout.probationMs),
    },
  };
  problems.push(...sysctls.problems);
  return problems.length === 0 ? { ok: true, policy } : { ok: false, problems };
}

/** Which policies ask for each entry, sorted by entry; entries normalised. */
export function entrySources(
  policies: readonly PolicyDocument[],
): readonly { readonly entry: string; readonly policies: readonly string[] }[] {
  const sources = new Map<string, string[]>();
  for (const { metadata, spec } of inOrder(policies)) {
    for (const entry of unite(spec.kubelet.allowedUnsafeSysctls)) {
      sources.set(entry, [...(sources.get(entry) ?? []), metadata.name]);
    }
  }
  return [...sources]
    .map(([entry, names]) => ({ entry, policies: names }))
    .sort((a, b) => (a.entry < b.entry ? -1 : 1));
}

const defaultProbationMs = parseDuration(policyDefaults.probation) ?? 0;

// Policies of one name differ in their origin: a document may be called like the command line's policy.
function inOrder(policies: readonly PolicyDocument[]): readonly PolicyDocument[] {
  const key = ({ metadata, origin }: PolicyDocument): string => `${metadata.name}\n${origin}`;
  return [...policies].sort((a, b) => (key(a) < key(b) ? -1 : key(a) > key(b) ? 1 : 0));
}

function settled<T extends string | number>(
  policies: readonly PolicyDocument[],
  problems: Problem[],
  setting: Setting,
  byDefault: T,
  read: (spec: PolicyDocument['spec']) => T,
): T {
  const stating = policies.filter(({ stated }) => stated.includes(setting));
  const byFlag = stating.filter(({ origin }) => origin === 'flags');
  const [first, ...others] = byFlag.length > 0 ? byFlag : stating;
  if (first === undefined) return byDefault;
  const other = others.find(({ spec }) => read(spec) !== read(first.spec));
  if (other !== undefined) {
    const shown = ({ spec }: PolicyDocument): string =>
      setting === 'probation' ? formatDuration(spec.rollout.probationMs) : String(read(spec));
    problems.push({
      code: 'POLICY_CONFLICT',
      message: `policies ${first.metadata.name} and ${other.metadata.name} select one node and differ in ${settingPaths[setting]}: ${shown(first)} and ${shown(other)}`,
      ...(other.where === undefined ? {} : { where: other.where }),
      next: 'State it in one of them, state the same in both, or let their node selectors not overlap',
    });
  }
  return read(first.spec);
}

const settingPaths: Readonly<Record<Setting, string>> = {
  unit: 'spec.kubelet.unit',
  existing: 'spec.kubelet.existing',
  narrowing: 'spec.kubelet.narrowing',
  placement: 'spec.kubelet.placement',
  maxUnavailable: 'spec.rollout.maxUnavailable',
  maxFailed: 'spec.rollout.maxFailed',
  probation: 'spec.rollout.probation',
};
