import { policyJsonSchema } from './json-schema.ts';
import type { SchemaNode } from './json-schema.ts';
import { apiGroup, policyKind } from './vocabulary.ts';

/**
 * The CustomResourceDefinition of the policy, from the one schema: structural, without defaults (a stated setting must
 * stay different from an unstated one), with every list and text bounded so that the cost of the CEL rules is too.
 * The API server checks the same rules as the agent but for label keys, equal sysctls in two spellings, and unknown
 * keys, which it prunes or, with strict field validation, refuses. It must be 1.25 or newer to run the CEL rules.
 */
export function policyCustomResourceDefinition(): object {
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `nodesysctlpolicies.${apiGroup}` },
    spec: {
      group: apiGroup,
      scope: 'Cluster',
      names: {
        kind: policyKind,
        listKind: `${policyKind}List`,
        plural: 'nodesysctlpolicies',
        singular: 'nodesysctlpolicy',
        shortNames: ['nsp'],
      },
      versions: [
        {
          name: 'v1alpha1',
          served: true,
          storage: true,
          additionalPrinterColumns: printerColumns,
          subresources: { status: {} },
          schema: { openAPIV3Schema: rootSchema() },
        },
      ],
    },
  };
}

const printerColumns = [
  {
    name: 'Entries',
    type: 'string',
    jsonPath: '.spec.kubelet.allowedUnsafeSysctls',
    description: 'Entries that the kubelet must allow.',
  },
  {
    name: 'Placement',
    type: 'string',
    jsonPath: '.spec.kubelet.placement',
    description: 'Where the allowlist is written; empty: Auto.',
  },
  {
    name: 'Max Unavailable',
    type: 'integer',
    jsonPath: '.spec.rollout.maxUnavailable',
    description: 'Nodes at risk at the same time; empty: 1.',
  },
  {
    name: 'Probation',
    type: 'string',
    jsonPath: '.spec.rollout.probation',
    description: 'How long a restarted kubelet must prove itself; empty: 30s.',
    priority: 1,
  },
  { name: 'Age', type: 'date', jsonPath: '.metadata.creationTimestamp' },
];

function rootSchema(): object {
  const { properties = {} } = policyJsonSchema();
  const { name } = properties['metadata']?.properties ?? {};
  return {
    description:
      'The unsafe sysctls that kubelets must allow, and the sysctl values expected on their nodes.',
    type: 'object',
    required: ['spec'],
    properties: {
      apiVersion: { description: 'The version of this schema.', type: 'string' },
      kind: { description: policyKind, type: 'string' },
      // Kubernetes lets a schema restrict the name alone; it becomes part of a node label.
      metadata: { type: 'object', properties: { name: structural(name ?? {}) } },
      spec: { description: 'What is wanted.', ...structural(properties['spec'] ?? {}) },
      status: statusSchema,
    },
  };
}

const statusSchema = {
  description: 'What became of it; the nodes report in their own NodeSysctlStatus objects.',
  type: 'object',
  properties: {
    observedGeneration: { type: 'integer', format: 'int64', minimum: 0 },
    conditions: {
      type: 'array',
      maxItems: 16,
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['type'],
      items: {
        type: 'object',
        required: ['type', 'status', 'lastTransitionTime', 'reason', 'message'],
        properties: {
          type: { type: 'string', maxLength: 316 },
          status: { type: 'string', enum: ['True', 'False', 'Unknown'] },
          observedGeneration: { type: 'integer', format: 'int64', minimum: 0 },
          lastTransitionTime: { type: 'string', format: 'date-time' },
          reason: { type: 'string', maxLength: 1024 },
          message: { type: 'string', maxLength: 32768 },
        },
      },
    },
  },
};

// A structural schema: JSON Schema's own marks go, and `additionalProperties` stays only where it types a map's values.
function structural(node: SchemaNode): object {
  const { byDefault, properties, items, additionalProperties, description, type, ...rest } = node;
  const { $schema: _dialect, propertyNames: _keys, ...bounds } = rest as Record<string, unknown>;
  const text = [description, byDefault === undefined ? undefined : `Default: ${byDefault}.`].filter(
    (part) => part !== undefined,
  );
  return {
    ...(text.length === 0 ? {} : { description: text.join(' ') }),
    type,
    ...bounds,
    ...(properties === undefined
      ? {}
      : {
          properties: Object.fromEntries(
            Object.entries(properties).map(([key, property]) => [key, structural(property)]),
          ),
        }),
    ...(additionalProperties === undefined || additionalProperties === false
      ? {}
      : { additionalProperties: structural(additionalProperties) }),
    ...(items === undefined ? {} : { items: structural(items) }),
  };
}
