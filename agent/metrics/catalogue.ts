/** One metric as users meet it: the source of the registry, of the exposition and of docs/metrics.md. */
export interface MetricDefinition {
  readonly name: string;
  readonly type: 'gauge' | 'counter' | 'histogram';
  readonly help: string;
  /** Each with the closed set that its values come from, or `policy`, `pods`. */
  readonly labels: Readonly<Record<string, string>>;
}

const prefix = 'sysctl_agent_';

/**
 * Every metric of the agent. A series is absent where the agent cannot tell: absence is never "fine", and the rules in
 * manifests/prometheus alert on it.
 */
export const catalogue = {
  buildInfo: gauge('build_info', 'Always 1; the labels say what is running.', {
    version: "the agent's version",
  }),
  state: gauge('state', 'Where the loop stands: 1 for the state it is in, 0 for all others.', {
    state:
      'starting, converged, drifted, waitingForSlot, applying, refused, latched, fighting, halted, broken, blind',
  }),
  nodeSysctlDrift: gauge(
    'node_sysctl_drift',
    'Whether a node sysctl differs from the policy (1) or not (0), read at this very scrape. Absent when unknown.',
    { sysctl: 'policy' },
  ),
  nodeSysctlValue: gauge(
    'node_sysctl_value',
    'The fields of a node sysctl that are numbers, read at this very scrape; index counts fields from 0.',
    { sysctl: 'policy', index: '0, 1, …' },
  ),
  nodeSysctlUnreadable: gauge('node_sysctl_unreadable', '1 for a node sysctl that cannot be read, and why.', {
    sysctl: 'policy',
    reason: 'absent, writeOnly, denied, ioError, wrongNamespace, tooLong, incomparable',
  }),
  nodeSysctlsVia: gauge(
    'node_sysctls_via',
    "How node sysctls are read: 1 for the way in use. direct: in the host's namespaces; nsenter: by entering them; none: not at all.",
    { via: 'direct, nsenter, none' },
  ),
  driftStart: gauge(
    'drift_start_timestamp_seconds',
    'Since when something drifts; kept over restarts of the agent. Absent without drift.',
    { kind: 'sysctl, allowlist, reload', name: 'policy, or a layer' },
  ),
  allowlistEntry: gauge(
    'kubelet_allowlist_entry',
    'Whether an entry that the policy wants is allowed in a layer (1) or not (0). Absent when the layer is unknown.',
    { entry: 'policy', layer: 'disk, loaded, process, configz' },
  ),
  allowlistDrift: gauge(
    'kubelet_allowlist_drift',
    'How many entries a layer misses or has too many. Absent when the layer is unknown.',
    { layer: 'disk, loaded, process, configz' },
  ),
  needsReload: gauge(
    'kubelet_needs_reload',
    "Whether files of the kubelet's unit were edited and systemd has not read them (1) or not (0). Absent when unknown.",
  ),
  applies: counter('applies_total', 'Plans that were carried out or tried, by how that ended.', {
    result: 'committed, refused, rolledBack, broken',
  }),
  applyDuration: {
    name: `${prefix}apply_duration_seconds`,
    type: 'histogram',
    help: 'How long carrying out a plan took, probation included.',
    labels: {},
  },
  restarts: counter('kubelet_restarts_total', 'Restarts of the kubelet that were seen, by who wanted them.', {
    reason: 'apply, rollback, other',
  }),
  rollbacks: counter('rollbacks_total', 'Changes that were rolled back, by why and by whom.', {
    code: 'error codes',
    by: 'agent, watchdog, person',
  }),
  lastTransactionEnd: gauge(
    'last_transaction_end_timestamp_seconds',
    'When the last transaction on this node ended, and how; kept over restarts of the agent. Absent before the first.',
    { verdict: 'committed, rolledBack, broken', by: 'agent, watchdog, person' },
  ),
  atRiskSince: gauge(
    'at_risk_start_timestamp_seconds',
    'Since when a transaction is under way on this node. Absent when none is.',
  ),
  refusal: gauge('refusal', '1 for each reason why the policy is not carried out on this node at present.', {
    code: 'error codes',
  }),
  slotHeld: gauge('slot_held', 'Whether this node holds a slot: the right to be at risk (1) or not (0).'),
  slotWait: gauge(
    'slot_wait_seconds',
    'How long this node has been waiting for a slot, or waited for the one it holds; 0 otherwise.',
  ),
  forbiddenPods: gauge(
    'forbidden_pods',
    'Pods that this kubelet rejected with SysctlForbidden, by the sysctl that was not allowed. Absent without an API server.',
    { namespace: 'pods', sysctl: 'pods' },
  ),
  podSysctlDrift: gauge(
    'pod_sysctl_drift',
    "Whether a sysctl inside a pod differs from the pod's spec (1) or not (0). Absent when unknown.",
    { namespace: 'pods', pod: 'pods', sysctl: 'pods' },
  ),
  policyValid: gauge(
    'policy_valid',
    'Whether the policy that was read last is valid (1); 0 means that the last good one is still in force.',
  ),
  lastObservation: gauge(
    'last_observation_timestamp_seconds',
    'When the agent last looked at the node with success.',
  ),
  watchUp: gauge('watch_up', 'Whether changes are told at once (1), or found only by the next cycle (0).', {
    watch: 'files, systemd',
  }),
  errors: counter('errors_total', 'Looks at the node that failed, by why.', { code: 'error codes' }),
} as const satisfies Readonly<Record<string, MetricDefinition>>;

export type MetricKey = keyof typeof catalogue;

/** The table of docs/metrics.md. */
export function metricTable(): string {
  const rows = Object.values(catalogue).map(({ name, type, labels, help }) => {
    const shown = Object.entries(labels).map(([label, values]) => `\`${label}\` (${values})`);
    return `| \`${name}\` | ${type} | ${shown.join('; ')} | ${help} |`;
  });
  return ['| Metric | Type | Labels (values) | Meaning |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function gauge<Label extends string = never>(
  name: string,
  help: string,
  labels?: Readonly<Record<Label, string>>,
): { name: string; type: 'gauge'; help: string; labels: Readonly<Record<Label, string>> } {
  return { name: `${prefix}${name}`, type: 'gauge', help, labels: labels ?? noLabels<Label>() };
}

function counter<Label extends string>(
  name: string,
  help: string,
  labels: Readonly<Record<Label, string>>,
): { name: string; type: 'counter'; help: string; labels: Readonly<Record<Label, string>> } {
  return { name: `${prefix}${name}`, type: 'counter', help, labels };
}

function noLabels<Label extends string>(): Readonly<Record<Label, string>> {
  return {} as Readonly<Record<Label, string>>;
}
