import type { Grant } from './grant.ts';
import { scopeText } from './scope.ts';

/** An object to be applied to a cluster. */
export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMetadata;
  readonly [field: string]: unknown;
}

export interface ObjectMetadata {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

/** The metadata of everything that is rendered: it says where it came from. */
export function metadataOf(grant: Grant, annotations: Readonly<Record<string, string>> = {}): ObjectMetadata {
  return {
    name: grant.name,
    labels: { 'app.kubernetes.io/managed-by': 'kubelet-sysctl-agent' },
    annotations: {
      'sysctl-agent.dev/policies': grant.policies.join(','),
      'sysctl-agent.dev/granted-to': scopeText(grant.scope),
      ...annotations,
    },
  };
}
