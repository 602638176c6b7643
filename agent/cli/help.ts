import { exitCodeHelp, type ExitCode } from './exit-codes.ts';

/** What stands below the options in a command's help: its example, and what its exit codes mean. */
export function helpTail(example: string, codes: readonly ExitCode[]): string {
  const lines = codes.map((code) => `  ${String(code).padStart(2)}  ${exitCodeHelp[code]}`);
  return `\nExample:\n${example.trimEnd()}\n\nExit codes:\n${lines.join('\n')}`;
}

export const planExample = `
  kubelet-sysctl-agent plan --allow net.core.somaxconn
  kubelet-sysctl-agent plan --policy policy.yaml --output json`.slice(1);

export const validateExample = `
  kubelet-sysctl-agent validate policies/
  kubelet-sysctl-agent validate --kubelet-version 1.28 web.yaml db.yaml`.slice(1);

export const explainExample = `
  kubelet-sysctl-agent explain net.core.somaxconn vm.max_map_count
  kubelet-sysctl-agent explain --output json kernel.shmmax`.slice(1);

export const renderExample = `
  kubelet-sysctl-agent render --policy policy.yaml --service-account web:web |
    kubectl apply -f -
  kubelet-sysctl-agent render --kind psp --allow 'net.*' --namespace web`.slice(1);

export const auditExample = `
  kubectl get pods -A -o json |
    kubelet-sysctl-agent audit --policy policy.yaml -
  kubelet-sysctl-agent audit --allow 'net.*' --output json pods.json`.slice(1);

export const rollbackExample = `
  kubelet-sysctl-agent rollback
  kubelet-sysctl-agent rollback --root /host --output json`.slice(1);

export const statusExample = `
  kubelet-sysctl-agent status
  kubelet-sysctl-agent status --policy policy.yaml --node-labels pool=web
  kubelet-sysctl-agent status --cluster --watch`.slice(1);

export const runExample = `
  kubelet-sysctl-agent run --policy /etc/kubelet-sysctl-agent --root /host
  kubelet-sysctl-agent run --allow net.core.somaxconn --dry-run --listen :9878`.slice(1);

export const applyExample = `
  kubelet-sysctl-agent apply --allow 'net.core.somaxconn,net.ipv4.tcp_*'
  kubelet-sysctl-agent apply --policy /etc/kubelet-sysctl-agent --root /host`.slice(1);
