import { celRules } from './cel.ts';
import type { Grant } from './grant.ts';
import { type KubernetesObject, metadataOf } from './objects.ts';

/** The grant as a Kyverno ClusterPolicy with the same CEL: Kyverno 1.12 and newer, on any Kubernetes that it runs on. */
export function kyvernoPolicy(grant: Grant): readonly KubernetesObject[] {
  const { condition, variables, validation } = celRules(grant);
  return [
    {
      apiVersion: 'kyverno.io/v1',
      kind: 'ClusterPolicy',
      // Rules for Deployments and the like cannot be derived from these: the namespace is the request's.
      metadata: metadataOf(grant, { 'pod-policies.kyverno.io/autogen-controllers': 'none' }),
      spec: {
        validationFailureAction: 'Enforce',
        // A scan of what is there already has no request to look at.
        background: false,
        rules: [
          {
            name: 'unsafe-sysctls',
            match: { any: [{ resources: { kinds: ['Pod'], operations: ['CREATE'] } }] },
            celPreconditions: [condition],
            validate: { cel: { variables, expressions: [validation] } },
          },
        ],
      },
    },
  ];
}
