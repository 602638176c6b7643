export const apiGroup = 'sysctl-agent.dev';
export const apiVersion = 'sysctl-agent.dev/v1alpha1';
export const policyKind = 'NodeSysctlPolicy';

export const placements = ['Auto', 'Unit', 'DropIn', 'EnvironmentFile', 'KubeletConfig'] as const;
export const existingRules = ['Keep', 'Remove'] as const;
export const narrowingRules = ['Refuse', 'Allow'] as const;
export const remediations = ['Report', 'Write'] as const;
export const expectationKinds = ['value', 'atLeast', 'atMost'] as const;
export const selectorOperators = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const;

export type Placement = (typeof placements)[number];
export type Existing = (typeof existingRules)[number];
export type Narrowing = (typeof narrowingRules)[number];
export type Remediation = (typeof remediations)[number];
export type ExpectationKind = (typeof expectationKinds)[number];

/** What an unstated setting means. Durations as the document writes them. */
export const policyDefaults = {
  unit: 'kubelet.service',
  existing: 'Keep',
  narrowing: 'Refuse',
  placement: 'Auto',
  remediation: 'Report',
  maxUnavailable: 1,
  maxFailed: 0,
  probation: '30s',
} as const;

/** A setting of which a node can follow only one; two policies that state it differently conflict. */
export type Setting =
  'unit' | 'existing' | 'narrowing' | 'placement' | 'maxUnavailable' | 'maxFailed' | 'probation';

/** Grammar of an entry since kubelet 1.23; older kubelets take a subset (facts: kubelet validation.go, SysctlContainSlashPatternFmt). */
export const entryPattern = /^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*([a-z0-9][-_a-z0-9]*)?[a-z0-9*]$/;

/**
 * A name under /proc/sys in dot or slash spelling. No part is empty: `a..b` would leave the tree once it is a path.
 * Narrower than isValidSysctlName by that alone; RE2 and JavaScript read it alike.
 */
export const sysctlNamePattern = /^[A-Za-z0-9_][A-Za-z0-9_-]*([./][\p{L}\p{N}!$%&()+,\-@^_|~]+)*$/u;

/** Most entries of one policy, most expected sysctls of one policy. */
export const policyLimits = { entries: 10_000, sysctls: 1000 } as const;

/** A label key: an optional DNS prefix and "/", then a name of 63 characters at most. */
export const labelKeyPattern =
  /^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;

export const labelValuePattern = /^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$/;
