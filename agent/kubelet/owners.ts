/**
 * What an owner of a node's kubelet does with its files. `writtenOnce`: at boot or join, then never again until the
 * next boot. `reconciled`: puts its own text back for ever. `noPlace`: nothing on the node can be written to.
 */
export type OwnerKind = 'writtenOnce' | 'reconciled' | 'noPlace';

export interface Owner {
  readonly name: string;
  readonly kind: OwnerKind;
  /** What on the node says so. */
  readonly evidence: string;
  /** A comment in a file says so, not the platform. */
  readonly byComment: boolean;
  /** writtenOnce: what becomes of a change. The others: the owner's own way, with the entries filled in. */
  readonly advice: string;
}

export interface OwnerFacts {
  /** Path → the first bytes of what was read there; empty for files of which only the presence counts. */
  readonly marks: Readonly<Record<string, string>>;
  /** The unit's fragment and drop-ins. */
  readonly unitFiles: readonly { readonly path: string; readonly realPath: string; readonly text: string }[];
  /** The file that holds the kubelet's command, and the files that would be changed: what a manager may put back. */
  readonly files: readonly { readonly path: string; readonly text: string }[];
  readonly environmentFiles: readonly string[];
  readonly entries: readonly string[];
}

/** Files that tell who owns a kubelet. `content`: its first bytes matter; of all others only whether they are there. */
export const ownerMarks: readonly { readonly path: string; readonly content: boolean }[] = [
  { path: '/etc/os-release', content: true },
  ...[
    '/etc/machine-config-daemon',
    '/var/lib/gardener-node-agent',
    '/etc/systemd/system/gardener-node-agent.service',
    '/etc/systemd/system/cloud-config-downloader.service',
    '/etc/eks/bootstrap.sh',
    '/usr/bin/nodeadm',
    '/home/kubernetes/bin/configure.sh',
    '/home/kubernetes/kube-env',
    '/opt/azure/containers/provision.sh',
    '/opt/azure/containers/kubelet.sh',
    '/opt/kops/bin/nodeup',
    '/usr/lib/systemd/system/kops-configuration.service',
    '/lib/systemd/system/kops-configuration.service',
    '/etc/systemd/system/kops-configuration.service',
    '/dev/nvidiactl',
    '/dev/nvidia0',
    '/proc/driver/nvidia/version',
  ].map((path) => ({ path, content: false })),
];

/** Whether the node has NVIDIA GPUs: a daemon-reload can take them away from running containers. */
export function hasGpus(marks: Readonly<Record<string, string>>): boolean {
  return ['/dev/nvidiactl', '/dev/nvidia0', '/proc/driver/nvidia/version'].some((path) => path in marks);
}

/** Everybody who says on this node that the kubelet is theirs, those that forbid a change first. */
export function ownersOf(facts: OwnerFacts): readonly Owner[] {
  return [...withoutPlace(facts), ...reconcilers(facts), ...writers(facts)];
}

function withoutPlace({ marks, unitFiles, entries }: OwnerFacts): readonly Owner[] {
  const id = osId(marks);
  const list = entries.map((entry) => JSON.stringify(entry)).join(', ');
  if (id === 'bottlerocket') {
    return [
      {
        name: 'Bottlerocket',
        kind: 'noPlace',
        evidence: '/etc/os-release says ID=bottlerocket',
        byComment: false,
        advice: `run, on the host or from its admin container:
apiclient set --json '{"settings": {"kubernetes": {"allowed-unsafe-sysctls": [${list}]}}}'`,
      },
    ];
  }
  if (id === 'talos') {
    return [
      {
        name: 'Talos',
        kind: 'noPlace',
        evidence: '/etc/os-release says ID=talos',
        byComment: false,
        advice: `run, for each node:
talosctl patch machineconfig --patch '{"machine": {"kubelet": {"extraConfig": {"allowedUnsafeSysctls": [${list}]}}}}'`,
      },
    ];
  }
  // k3s and rke2 have a file for the kubelet's arguments outside the store.
  const stored = unitFiles.find(
    ({ realPath, text }) => realPath.startsWith('/nix/store/') && /\/kubelet(\s|$)/.test(text),
  );
  if (id === 'nixos' && stored !== undefined) {
    return [
      {
        name: 'NixOS',
        kind: 'noPlace',
        evidence: `${stored.path} is ${stored.realPath}`,
        byComment: false,
        advice: `add to the system's configuration, then run nixos-rebuild switch:
services.kubernetes.kubelet.extraConfig.allowedUnsafeSysctls = [ ${list.replaceAll(', ', ' ')} ];`,
      },
    ];
  }
  return [];
}

function reconcilers(facts: OwnerFacts): readonly Owner[] {
  const { marks, unitFiles, files, environmentFiles, entries } = facts;
  const list = entries.map((entry) => `    - ${entry}\n`).join('');
  const owners: Owner[] = [];
  const operator =
    '/etc/machine-config-daemon' in marks
      ? '/etc/machine-config-daemon is there'
      : mentioned(unitFiles, 'kubenswrapper');
  if (operator !== undefined) {
    owners.push({
      name: "OpenShift's machine-config-operator",
      kind: 'reconciled',
      evidence: operator,
      byComment: false,
      advice: `apply a KubeletConfig; the operator marks a node Degraded whose files differ:
apiVersion: machineconfiguration.openshift.io/v1
kind: KubeletConfig
metadata:
  name: allowed-unsafe-sysctls
spec:
  machineConfigPoolSelector:
    matchLabels:
      pools.operator.machineconfiguration.openshift.io/worker: ""
  kubeletConfig:
    allowedUnsafeSysctls:
${list}`,
    });
  }
  const gardener = [
    '/var/lib/gardener-node-agent',
    '/etc/systemd/system/gardener-node-agent.service',
    '/etc/systemd/system/cloud-config-downloader.service',
  ].find((path) => path in marks);
  const extraArgs = environmentFiles.find((path) => path === '/var/lib/kubelet/extra_args');
  const evidence =
    gardener !== undefined
      ? `${gardener} is there`
      : extraArgs !== undefined
        ? 'the unit reads /var/lib/kubelet/extra_args'
        : mentioned(unitFiles, '--config=/var/lib/kubelet/config/kubelet');
  if (evidence !== undefined) {
    owners.push({
      name: 'gardener',
      kind: 'reconciled',
      evidence,
      byComment: false,
      advice: `gardener knows no such setting for all nodes of a Shoot: ask its operator for an extension that changes the kubelet's configuration (an OperatingSystemConfig webhook) with
kubeletConfig:
  allowedUnsafeSysctls:
${list.replaceAll('    - ', '  - ')}`,
    });
  }
  for (const file of files) {
    const manager = managerOf(file.text);
    if (manager === undefined || manager.kind !== 'reconciled') continue;
    owners.push({
      name: manager.name,
      kind: 'reconciled',
      evidence: `${file.path} says "${manager.line}"`,
      byComment: true,
      advice: `add --allowed-unsafe-sysctls=${entries.join(',')} where ${manager.name} keeps the kubelet's flags; it would put its own text back`,
    });
  }
  return owners;
}

function writers({ marks, unitFiles, files, environmentFiles }: OwnerFacts): readonly Owner[] {
  const owners: Owner[] = [];
  const once = (name: string, evidence: string, advice: string, byComment = false): number =>
    owners.push({ name, kind: 'writtenOnce', evidence, byComment, advice });
  const mark = (...paths: readonly string[]): string | undefined => paths.find((path) => path in marks);

  const nodeadm =
    mark('/usr/bin/nodeadm') ?? environmentFiles.find((path) => path === '/etc/eks/kubelet/environment');
  const eks = mark('/etc/eks/bootstrap.sh');
  if (nodeadm !== undefined) {
    once(
      'EKS (nodeadm)',
      nodeadm,
      "nodeadm writes the kubelet's environment and configuration anew at every boot; the unit itself comes with the machine image and stays. For new nodes: spec.kubelet.config.allowedUnsafeSysctls in the NodeConfig",
    );
  } else if (eks !== undefined) {
    once(
      'EKS (bootstrap.sh)',
      eks,
      'bootstrap.sh wrote drop-ins and the configuration once, at the first boot; what is written now stays until the instance is replaced, and its successor starts without it',
    );
  }
  const gke =
    osId(marks) === 'cos'
      ? '/etc/os-release says ID=cos'
      : mark('/home/kubernetes/bin/configure.sh', '/home/kubernetes/kube-env');
  if (gke !== undefined) {
    once(
      'GKE',
      gke,
      "the node's start-up script writes the unit and its environment anew at every boot, and /etc itself may be: the change is gone after a reboot until the running agent makes it again. For the whole node pool: kubeletConfig.allowedUnsafeSysctls in its node system configuration",
    );
  }
  const aks =
    mark('/opt/azure/containers/provision.sh', '/opt/azure/containers/kubelet.sh') ??
    mentioned(unitFiles, '/opt/azure/containers/');
  if (aks !== undefined) {
    once(
      'AKS',
      aks,
      'the node was provisioned once; what is written now stays until the node is reimaged or upgraded, and the running agent makes it again on the new node. For new node pools: allowedUnsafeSysctls in the file of --kubelet-config',
    );
  }
  const kops = mark(
    '/opt/kops/bin/nodeup',
    '/usr/lib/systemd/system/kops-configuration.service',
    '/lib/systemd/system/kops-configuration.service',
    '/etc/systemd/system/kops-configuration.service',
  );
  if (kops !== undefined) {
    once(
      'kops',
      kops,
      'nodeup writes the unit under /lib and /etc/sysconfig/kubelet anew at every boot; a drop-in under /etc is none of its files and stays. For new nodes: spec.kubelet.allowedUnsafeSysctls of the cluster',
    );
  }
  for (const file of files) {
    const manager = managerOf(file.text);
    if (manager?.kind === 'writtenOnce') {
      once(
        manager.name,
        `${file.path} says "${manager.line}"`,
        `the next run of ${manager.name} over this node would take the change out of that file: add the flag there as well`,
        true,
      );
    }
  }
  return owners;
}

const managers: readonly { readonly pattern: RegExp; readonly name: string; readonly kind: OwnerKind }[] = [
  { pattern: /puppet/i, name: 'Puppet', kind: 'reconciled' },
  { pattern: /\bchef\b/i, name: 'Chef', kind: 'reconciled' },
  { pattern: /\bsalt(stack)?\b/i, name: 'Salt', kind: 'reconciled' },
  { pattern: /cfengine/i, name: 'CFEngine', kind: 'reconciled' },
  { pattern: /ansible/i, name: 'Ansible', kind: 'writtenOnce' },
  { pattern: /terraform/i, name: 'Terraform', kind: 'writtenOnce' },
  { pattern: /cloud-(init|config)/i, name: 'cloud-init', kind: 'writtenOnce' },
];

/** A comment that says the file is managed, generated, or not to be edited, and by whom. */
function managerOf(text: string): { name: string; kind: OwnerKind; line: string } | undefined {
  for (const line of text.split(/[\r\n]+/)) {
    const comment = /^\s*[#;]+\s*(.*\S)/.exec(line)?.[1];
    if (
      comment === undefined ||
      !/manage|generated|maintained|controlled|do not edit|don't edit|do not modify|written by|overwrit|deployed/i.test(
        comment,
      )
    )
      continue;
    const manager = managers.find(({ pattern }) => pattern.test(comment));
    if (manager !== undefined) return { name: manager.name, kind: manager.kind, line: comment };
  }
  return undefined;
}

function osId(marks: Readonly<Record<string, string>>): string | undefined {
  return /^ID=["']?([a-z0-9._-]+)/m.exec(marks['/etc/os-release'] ?? '')?.[1];
}

function mentioned(files: OwnerFacts['unitFiles'], path: string): string | undefined {
  const file = files.find(({ text }) => text.includes(path));
  return file === undefined ? undefined : `${file.path} names ${path}`;
}
