// The policy documents that several tests start from.
import type { PolicyDocument } from '../../../agent/policy/schema.ts';
import { readPolicies } from '../../../agent/policy/read.ts';

/** Every field stated, in the order of the manual. */
export const whole = `apiVersion: sysctl-agent.dev/v1alpha1
kind: NodeSysctlPolicy
metadata:
  name: web
spec:
  nodeSelector:                      # absent = every node
    matchLabels: { pool: web }
    matchExpressions:
      - { key: arch, operator: NotIn, values: [arm64] }
      - { key: gpu, operator: DoesNotExist }
  kubelet:
    unit: kubelet.service
    allowedUnsafeSysctls: [net.core.somaxconn, "net.ipv4.tcp_*"]
    existing: Keep
    narrowing: Refuse
    placement: Auto
  sysctls:
    - { name: vm.max_map_count, value: "262144", remediation: Write }
    - { name: net.core.somaxconn, atLeast: "1024" }
    - { name: net.ipv4.ip_local_port_range, value: "32768 60999" }
  rollout:
    maxUnavailable: 1
    maxFailed: 0
    probation: 30s
`;

export const smallest = `apiVersion: sysctl-agent.dev/v1alpha1
kind: NodeSysctlPolicy
metadata: { name: web }
spec: {}
`;

/** A document whose spec is the given YAML in flow style; line 4, column 7 is where that begins. */
export function withSpec(spec: string, name = 'web'): string {
  return `apiVersion: sysctl-agent.dev/v1alpha1\nkind: NodeSysctlPolicy\nmetadata: { name: ${name} }\nspec: ${spec}\n`;
}

/** The one policy of a text that must be sound. */
export function policyOf(text: string, path = 'policy.yaml'): PolicyDocument {
  const { policies, problems } = readPolicies([{ path, text }]);
  const [policy] = policies;
  if (policy === undefined || problems.length > 0) throw new Error(JSON.stringify(problems));
  return policy;
}

/** The problems of a text, one line each: LINE:COLUMN CODE MESSAGE → NEXT. */
export function complaints(text: string): readonly string[] {
  return readPolicies([{ path: 'policy.yaml', text }]).problems.map(
    ({ code, message, where, next }) =>
      `${where?.line}:${where?.column} ${code} ${message}${next === undefined ? '' : ` → ${next}`}`,
  );
}
