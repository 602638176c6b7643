import { celRules } from './cel.ts';
import type { Grant } from './grant.ts';
import { type KubernetesObject, metadataOf } from './objects.ts';

/**
 * The grant as ValidatingAdmissionPolicy and its binding: Kubernetes 1.30 and newer, nothing to install. It judges new
 * pods only; changed ones keep their sysctls, and a tightened policy must not stand in the way of their deletion.
 */
export function validatingAdmissionPolicy(grant: Grant): readonly KubernetesObject[] {
  const { condition, variables, validation } = celRules(grant);
  return [
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicy',
      metadata: metadataOf(grant),
      spec: {
        failurePolicy: 'Fail',
        matchConstraints: {
          resourceRules: [
            { apiGroups: [''], apiVersions: ['v1'], operations: ['CREATE'], resources: ['pods'] },
          ],
        },
        matchConditions: [condition],
        variables,
        validations: [{ ...validation, reason: 'Forbidden' }],
      },
    },
    {
      apiVersion: 'admissionregistration.k8s.io/v1',
      kind: 'ValidatingAdmissionPolicyBinding',
      metadata: metadataOf(grant),
      // Every namespace: who is granted nothing must be denied, too.
      spec: { policyName: grant.name, validationActions: ['Deny'] },
    },
  ];
}
