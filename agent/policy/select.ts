import type { NodeSelector, PolicyDocument } from './schema.ts';

/** Whether a policy is meant for a node; `unknown` when that hangs on labels that nobody could read. */
export type Selection = 'matches' | 'differs' | 'unknown';

/**
 * Compares the policy's selector with a node's labels as the API server does: every part must hold, an absent label
 * fits NotIn, and no selector or an empty one means every node. `undefined` labels are unknown, not absent.
 */
export function selects(
  policy: PolicyDocument,
  nodeLabels: Readonly<Record<string, string>> | undefined,
): Selection {
  const { matchLabels = {}, matchExpressions = [] } = policy.spec.nodeSelector ?? {};
  const requirements: readonly Requirement[] = [
    ...Object.entries(matchLabels).map(([key, value]) => ({ key, operator: 'In' as const, values: [value] })),
    ...matchExpressions,
  ];
  if (requirements.length === 0) return 'matches';
  if (nodeLabels === undefined) return 'unknown';
  return requirements.every((requirement) => holds(requirement, nodeLabels)) ? 'matches' : 'differs';
}

type Requirement = NonNullable<NodeSelector['matchExpressions']>[number];

function holds(requirement: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const { key, operator, values = [] } = requirement;
  // A node may well lack the label `constructor`: only its own keys are labels.
  const label = Object.hasOwn(labels, key) ? labels[key] : undefined;
  switch (operator) {
    case 'In':
      return label !== undefined && values.includes(label);
    case 'NotIn':
      return label === undefined || !values.includes(label);
    case 'Exists':
      return label !== undefined;
    case 'DoesNotExist':
      return label === undefined;
    default:
      return operator satisfies never;
  }
}
