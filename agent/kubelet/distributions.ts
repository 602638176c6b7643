import type { Problem } from '../errors.ts';

/** Distributions that run a kubelet inside a program of their own, so that no unit holds a kubelet's command. */
export type DistributionName =
  'k3s' | 'rke2' | 'microk8s' | 'k0s' | 'microshift' | 'openshift3' | 'charmed-kubernetes';

/** A distribution, with the way in which it takes kubelet flags. */
export interface Distribution {
  readonly name: DistributionName;
  readonly problem: Problem;
}

/** The distribution that a program and its arguments belong to. */
export function distributionOf(program: string, args: readonly string[]): Distribution | undefined {
  const name = nameOf(program, args);
  return name === undefined ? undefined : { name, problem: problemOf(name, program) };
}

function nameOf(program: string, args: readonly string[]): DistributionName | undefined {
  switch (program) {
    case 'k3s':
    case 'rke2':
    case 'k0s':
    case 'microshift':
      return program;
    case 'openshift':
    case 'openshift-node':
      return 'openshift3';
    case 'kubelite':
      return 'microk8s';
    case 'snap':
      return snapOf(args);
    default:
      // Snap services started through their own wrapper: /snap/microk8s/current/run-kubelite-with-args.
      return program === 'run-kubelite-with-args' ? 'microk8s' : undefined;
  }
}

function snapOf(args: readonly string[]): DistributionName | undefined {
  if (args.some((arg) => arg.startsWith('microk8s.'))) return 'microk8s';
  return args.some((arg) => /^kubelet(\.|$)/.test(arg)) ? 'charmed-kubernetes' : undefined;
}

function problemOf(name: DistributionName, program: string): Problem {
  return {
    code: 'PLACEMENT_IMPOSSIBLE',
    message: `the unit starts ${program} (${name}), which holds the kubelet inside: there is no kubelet command to add a flag to`,
    next: ownWay[name],
  };
}

const ownWay: Readonly<Record<DistributionName, string>> = {
  k3s: 'Add "allowed-unsafe-sysctls=NAME,NAME" to kubelet-arg in /etc/rancher/k3s/config.yaml and restart the k3s unit.',
  rke2: 'Add "allowed-unsafe-sysctls=NAME,NAME" to kubelet-arg in /etc/rancher/rke2/config.yaml and restart the rke2 unit.',
  microk8s:
    'Add --allowed-unsafe-sysctls=NAME,NAME to /var/snap/microk8s/current/args/kubelet and restart snap.microk8s.daemon-kubelite.',
  k0s: 'Add --kubelet-extra-args="--allowed-unsafe-sysctls=NAME,NAME" to the k0s worker command, or a workerProfile with allowedUnsafeSysctls.',
  microshift:
    'Add allowedUnsafeSysctls under kubelet: in /etc/microshift/config.yaml and restart microshift.',
  openshift3:
    'Add allowed-unsafe-sysctls (experimental-allowed-unsafe-sysctls before 3.11) under kubeletArguments in the node configuration.',
  'charmed-kubernetes': 'Set kubelet-extra-args with juju config on the kubernetes-worker application.',
};
