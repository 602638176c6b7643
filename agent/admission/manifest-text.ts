import { stringify } from 'yaml';
import { unreachable } from '../errors.ts';
import type { Grant } from './grant.ts';
import type { AdmissionKind } from './kinds.ts';
import { kyvernoPolicy } from './kyverno.ts';
import type { KubernetesObject } from './objects.ts';
import { podSecurityPolicy } from './pod-security-policy.ts';
import { scopeText } from './scope.ts';
import { validatingAdmissionPolicy } from './validating-admission-policy.ts';

/** The objects that make a cluster's admission say what the grant says. */
export function admissionObjects(grant: Grant, kind: AdmissionKind): readonly KubernetesObject[] {
  switch (kind) {
    case 'vap':
      return validatingAdmissionPolicy(grant);
    case 'kyverno':
      return kyvernoPolicy(grant);
    case 'psp':
      return podSecurityPolicy(grant);
    default:
      return unreachable(kind);
  }
}

/** The objects as one YAML stream for `kubectl apply -f -`, led by what they do and what they leave to do. */
export function admissionText(grant: Grant, kind: AdmissionKind): string {
  const documents = admissionObjects(grant, kind).map((object) =>
    stringify(object, { lineWidth: 110, singleQuote: true }),
  );
  const comment = notes(grant, kind).map((line) => `# ${line}\n`);
  return comment.join('') + documents.join('---\n');
}

function notes(grant: Grant, kind: AdmissionKind): readonly string[] {
  const entries = [...grant.names, ...grant.prefixes.map((prefix) => `${prefix}*`)].join(', ');
  return [
    `Written by kubelet-sysctl-agent render from ${plural(grant.policies, 'policy', 'policies')}.`,
    `Pods of ${scopeText(grant.scope)} may set ${entries}; all pods may set safe sysctls.`,
    ...(kind === 'psp' ? pspNotes : podSecurityNotes(grant)),
    ...grant.partial.map(
      (name) =>
        `Only some nodes follow policy ${name}: its pods must select the label sysctl-agent.dev/${name}.`,
    ),
  ];
}

const pspNotes: readonly string[] = [
  'For clusters before 1.25 with the PodSecurityPolicy admission controller.',
];

function podSecurityNotes({ scope }: Grant): readonly string[] {
  const namespaces =
    scope.kind === 'everybody'
      ? []
      : [
          ...new Set([...scope.namespaces, ...scope.serviceAccounts.map(({ namespace }) => namespace)]),
        ].sort();
  return [
    'Pod Security Admission forbids every unsafe sysctl at `baseline` and `restricted`; where it is enforced, say',
    ...(namespaces.length === 0 ? ['<namespace>'] : namespaces).map(
      (name) => `  kubectl label namespace ${name} pod-security.kubernetes.io/enforce=privileged --overwrite`,
    ),
    'and note that this lets those namespaces run privileged pods, too.',
  ];
}

function plural(names: readonly string[], one: string, many: string): string {
  return `${names.length === 1 ? one : many} ${names.join(', ')}`;
}
