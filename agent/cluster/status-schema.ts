import { apiGroup } from '../policy/vocabulary.ts';

export const statusKind = 'NodeSysctlStatus';
export const statusPath = `/apis/${apiGroup}/v1alpha1/nodesysctlstatuses`;

/** Most items of a list in a status: an object must stay small, whatever the node looks like. */
export const statusLimits = { entries: 500, drift: 100, forbiddenPods: 100, message: 1024 } as const;

/** What a node's status says of its place in the rollout. */
export const slotStates = ['None', 'Waiting', 'Held', 'Halted'] as const;

/** One node's status, as the API server keeps it. Times are RFC 3339. */
export interface NodeStatus {
  readonly state: string;
  /** The most important sentence for a person. */
  readonly message: string;
  readonly policy: string;
  readonly policyHash: string;
  readonly policies: readonly { readonly name: string; readonly observedGeneration?: number }[];
  readonly observedAt: string;
  readonly agentVersion: string;
  readonly kubeletVersion: string;
  readonly layers: readonly {
    readonly layer: string;
    readonly entries: readonly string[];
    /** Why it is not known; empty where it is. */
    readonly unknown: string;
  }[];
  readonly driftCount: number;
  readonly drift: readonly StatusDrift[];
  readonly slot: {
    readonly state: (typeof slotStates)[number];
    readonly policy: string;
    readonly leases: readonly string[];
    readonly haltedBy: readonly string[];
  };
  readonly lastTransaction?: {
    readonly id: string;
    readonly startedAt: string;
    readonly endedAt: string;
    readonly verdict: string;
    readonly by: string;
    readonly code: string;
    readonly message: string;
  };
  /** Absent unless a change is not tried again by itself. */
  readonly latched?: {
    readonly transaction: string;
    readonly since: string;
    readonly code: string;
    readonly message: string;
  };
  readonly forbiddenPods: readonly {
    readonly namespace: string;
    readonly sysctl: string;
    readonly pods: number;
  }[];
  readonly conditions: readonly StatusCondition[];
}

export interface StatusDrift {
  readonly kind: 'sysctl' | 'entry' | 'reload';
  readonly name: string;
  readonly layer: string;
  readonly expected: string;
  readonly found: string;
  readonly since: string;
  /** For a sysctl: the file and line that set it at boot. */
  readonly source: string;
}

export interface StatusCondition {
  readonly type: string;
  readonly status: 'True' | 'False' | 'Unknown';
  readonly lastTransitionTime: string;
  readonly reason: string;
  readonly message: string;
}

interface Schema {
  readonly type: 'string' | 'integer' | 'object' | 'array';
  readonly [word: string]: unknown;
}

const words = (description: string, maxLength = 253): Schema => ({ type: 'string', description, maxLength });
const moment = (description: string): Schema => ({ type: 'string', format: 'date-time', description });
const count = (description: string): Schema => ({
  type: 'integer',
  format: 'int64',
  minimum: 0,
  description,
});
const record = (
  description: string,
  properties: Readonly<Record<string, Schema>>,
  optional: readonly string[] = [],
): Schema => ({
  type: 'object',
  description,
  required: Object.keys(properties).filter((key) => !optional.includes(key)),
  properties,
});
const many = (items: Schema, maxItems: number, keys?: readonly string[]): Schema => ({
  type: 'array',
  ...(keys === undefined
    ? { 'x-kubernetes-list-type': 'atomic' }
    : { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': keys }),
  maxItems,
  items,
});

/** The one schema of the status; the CRD is made of it, and every status that the tests see is checked with it. */
export const nodeStatusSchema: Schema = record(
  'What this node looks like to its agent.',
  {
    state: words('State of the agent, as in the metric sysctl_agent_state.', 63),
    message: words('What a person should know first.', statusLimits.message),
    policy: words('Names of the policies of this node, with commas.', 1024),
    policyHash: words('Hash of what the policies want together.', 64),
    policies: many(
      record(
        'A policy of this node.',
        { name: words('Its name.'), observedGeneration: count('Its generation that was read last.') },
        ['observedGeneration'],
      ),
      statusLimits.entries,
    ),
    observedAt: moment('When the node was looked at.'),
    agentVersion: words('Version of the agent.', 63),
    kubeletVersion: words('Version of the kubelet; empty: not known.', 63),
    layers: many(
      record('The allowlist as one layer has it.', {
        layer: words('disk, loaded, process or configz.', 63),
        entries: many(words('An entry.'), statusLimits.entries),
        unknown: words('Why it is not known; empty: it is.', statusLimits.message),
      }),
      8,
    ),
    driftCount: count('How many things differ from the policies.'),
    drift: many(
      record('One thing that differs.', {
        kind: { type: 'string', enum: ['sysctl', 'entry', 'reload'], description: 'What it is.' },
        name: words('The sysctl or the entry.'),
        layer: words('For an entry: where it is missing or too much.', 63),
        expected: words('What the policy wants.', statusLimits.message),
        found: words('What was found; empty: nothing.', statusLimits.message),
        since: words('Since when; empty: not known.', 63),
        source: words('For a sysctl: the line that sets it at boot.', statusLimits.message),
      }),
      statusLimits.drift,
    ),
    slot: record("This node's place in the rollout.", {
      state: { type: 'string', enum: [...slotStates], description: 'Whether this node may be at risk.' },
      policy: words('The policy that is waited for or that is halted.'),
      leases: many(words('A Lease that this node holds.'), 64),
      haltedBy: many(words('A failed node that stops the rollout.'), 64),
    }),
    lastTransaction: record('The last change of this node.', {
      id: words('Its name in the state directory.'),
      startedAt: moment('When it began.'),
      endedAt: moment('When it ended.'),
      verdict: words('committed, rolledBack, broken or running.', 63),
      by: words('Who decided: agent, watchdog or person.', 63),
      code: words('Why it was not committed.', 63),
      message: words('The same in words.', statusLimits.message),
    }),
    latched: record('The change that failed and is not tried again by itself.', {
      transaction: words('Its name; the annotation sysctl-agent.dev/retry takes it.'),
      since: moment('When it failed.'),
      code: words('Why.', 63),
      message: words('The same in words.', statusLimits.message),
    }),
    forbiddenPods: many(
      record('Pods that the kubelet rejected (SysctlForbidden) for one sysctl.', {
        namespace: words('Their namespace.', 63),
        sysctl: words('The entry that is missing.'),
        pods: count('How many there are.'),
      }),
      statusLimits.forbiddenPods,
    ),
    conditions: many(
      record('One thing that holds or does not.', {
        type: words('Its name.', 316),
        status: { type: 'string', enum: ['True', 'False', 'Unknown'], description: 'Whether it holds.' },
        lastTransitionTime: moment('Since when.'),
        reason: words('Why, as one word.', 1024),
        message: words('Why, in a sentence.', 32_768),
      }),
      16,
      ['type'],
    ),
  },
  ['lastTransaction', 'latched'],
);

/** The CustomResourceDefinition of the status. It has no subresource: an agent creates and writes it in one request. */
export function statusCustomResourceDefinition(): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `nodesysctlstatuses.${apiGroup}` },
    spec: {
      group: apiGroup,
      scope: 'Cluster',
      names: {
        kind: statusKind,
        listKind: `${statusKind}List`,
        plural: 'nodesysctlstatuses',
        singular: 'nodesysctlstatus',
        shortNames: ['nss'],
      },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          additionalPrinterColumns: [
            column('Policy', 'string', '.status.policy', 'Policies of the node.'),
            column('State', 'string', '.status.state', 'State of the agent.'),
            column('Drift', 'integer', '.status.driftCount', 'How many things differ from the policies.'),
            column('Last', 'string', '.status.lastTransaction.verdict', 'How the last change ended.'),
            column(
              'Reported',
              'date',
              '.status.observedAt',
              'When something changed last, or an hour went by: an idle agent says nothing.',
            ),
            column('Message', 'string', '.status.message', 'What a person should know first.', 1),
            column('Age', 'date', '.metadata.creationTimestamp', 'Since when there is an agent.'),
          ],
          schema: {
            openAPIV3Schema: {
              description:
                "What a node's agent found and did there. Named after the Node, written by its agent alone.",
              type: 'object',
              properties: {
                apiVersion: { description: 'The version of this schema.', type: 'string' },
                kind: { description: statusKind, type: 'string' },
                metadata: { type: 'object' },
                status: nodeStatusSchema,
              },
            },
          },
        },
      ],
    },
  };
}

function column(
  name: string,
  type: string,
  jsonPath: string,
  description: string,
  priority?: number,
): object {
  return { name, type, jsonPath, description, ...(priority === undefined ? {} : { priority }) };
}
