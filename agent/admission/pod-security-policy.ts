import { AgentError, type Problem } from '../errors.ts';
import { checkEntries } from '../kubelet/entries.ts';
import { parseKubeletVersion } from '../kubelet/version.ts';
import type { Grant } from './grant.ts';
import { type KubernetesObject, metadataOf } from './objects.ts';
import type { Scope } from './scope.ts';

/** Entries that a PodSecurityPolicy cannot carry: its API servers know dots alone. Empty: all is well. */
export function podSecurityPolicyProblems(grant: Grant): readonly Problem[] {
  return checkEntries(allEntries(grant), oldKubelet).problems;
}

/**
 * The grant for clusters before 1.25: a PodSecurityPolicy, a ClusterRole that lets one use it, and its binding. Besides
 * the sysctls it forbids nothing but privileged containers and the host's namespaces: a pod needs one policy only, and
 * this one shall not be why a pod of these service accounts is refused. The safe sysctls are built in.
 */
export function podSecurityPolicy(grant: Grant): readonly KubernetesObject[] {
  const [problem] = podSecurityPolicyProblems(grant);
  if (problem !== undefined) throw new AgentError(problem.code, problem.message);
  const anything = { rule: 'RunAsAny' };
  return [
    {
      apiVersion: 'policy/v1beta1',
      kind: 'PodSecurityPolicy',
      metadata: metadataOf(grant),
      spec: {
        privileged: false,
        allowPrivilegeEscalation: true,
        runAsUser: anything,
        seLinux: anything,
        fsGroup: anything,
        supplementalGroups: anything,
        volumes: ['configMap', 'downwardAPI', 'emptyDir', 'persistentVolumeClaim', 'projected', 'secret'],
        allowedUnsafeSysctls: allEntries(grant),
      },
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: metadataOf(grant),
      rules: [
        // `extensions` is where clusters before 1.16 look.
        {
          apiGroups: ['policy', 'extensions'],
          resources: ['podsecuritypolicies'],
          resourceNames: [grant.name],
          verbs: ['use'],
        },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: metadataOf(grant),
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: grant.name },
      subjects: subjectsOf(grant.scope),
    },
  ];
}

function allEntries({ names, prefixes }: Grant): readonly string[] {
  return [...names, ...prefixes.map((prefix) => `${prefix}*`)];
}

function subjectsOf(scope: Scope): readonly object[] {
  const group = (name: string): object => ({ kind: 'Group', apiGroup: 'rbac.authorization.k8s.io', name });
  if (scope.kind === 'everybody') return [group('system:serviceaccounts')];
  return [
    ...scope.namespaces.map((namespace) => group(`system:serviceaccounts:${namespace}`)),
    ...scope.serviceAccounts.map(({ namespace, name }) => ({ kind: 'ServiceAccount', name, namespace })),
  ];
}

const oldKubelet = parseKubeletVersion('Kubernetes v1.22.0');
