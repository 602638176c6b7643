import { unreachable } from '../errors.ts';
import type { DistributionName } from './distributions.ts';
import { readFlag } from './flag.ts';
import { k3sDefaults } from './rancher-args.ts';

/** Units that start a kubelet under another name, in the order in which they are looked for when kubelet.service is not there. */
export const otherUnits: readonly string[] = [
  'k3s.service',
  'k3s-agent.service',
  'rke2-server.service',
  'rke2-agent.service',
  'snap.microk8s.daemon-kubelite.service',
  'snap.microk8s.daemon-kubelet.service',
  'snap.k8s.kubelet.service',
  'snap.kubelet.daemon.service',
  'k0sworker.service',
  'k0scontroller.service',
  'microshift.service',
  'origin-node.service',
  'atomic-openshift-node.service',
];

/** How a distribution takes kubelet arguments from a file. */
export type ArgumentsFile =
  | {
      readonly kind: 'rancher';
      readonly path: string;
      readonly variable: string;
      readonly defaults: readonly string[];
    }
  | { readonly kind: 'snap'; readonly path: string };

/** Undefined for a distribution whose kubelet arguments live where only its own tools may write. */
export function argumentsFileOf(name: DistributionName): ArgumentsFile | undefined {
  switch (name) {
    case 'k3s':
      return {
        kind: 'rancher',
        path: '/etc/rancher/k3s/config.yaml',
        variable: 'K3S_CONFIG_FILE',
        defaults: k3sDefaults,
      };
    case 'rke2':
      // rke2 switches ServiceLB off unless enable-servicelb is set, and with it the defaults.
      return {
        kind: 'rancher',
        path: '/etc/rancher/rke2/config.yaml',
        variable: 'RKE2_CONFIG_FILE',
        defaults: [],
      };
    case 'microk8s':
      return { kind: 'snap', path: '/var/snap/microk8s/current/args/kubelet' };
    case 'k0s':
    case 'microshift':
    case 'openshift3':
    case 'charmed-kubernetes':
      return undefined;
    default:
      return unreachable(name);
  }
}

/** The configuration file that a k3s or rke2 command line or environment names; its own default otherwise. */
export function rancherConfigPath(
  file: ArgumentsFile & { readonly kind: 'rancher' },
  argv: readonly string[],
  environment: ReadonlyMap<string, string>,
): string {
  const named = environment.get(file.variable);
  if (named !== undefined && named !== '') return named;
  const at = argv.findIndex((word) => /^(--config|-c)(=|$)/.test(word));
  const word = argv[at];
  if (word === undefined) return file.path;
  return word.includes('=') ? word.slice(word.indexOf('=') + 1) : (argv[at + 1] ?? file.path);
}

/** Words of a k3s or rke2 command line that hand an argument on to the kubelet. */
export function rancherWords(
  argv: readonly string[],
): readonly { readonly index: number; readonly prefix: string; readonly text: string }[] {
  const found: { index: number; prefix: string; text: string }[] = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index] ?? '';
    const joined = /^(--?kubelet-arg=)(.*)$/s.exec(word);
    if (joined !== null) found.push({ index, prefix: joined[1] ?? '', text: joined[2] ?? '' });
    else if (/^--?kubelet-arg$/.test(word) && argv[index + 1] !== undefined) {
      found.push({ index: index + 1, prefix: '', text: argv[index + 1] ?? '' });
      index++;
    }
  }
  return found;
}

/** The file that is not empty while a kubelet (1.8 to 1.23) uses a configuration from the API server. */
export function dynamicConfigMark(args: readonly string[]): string | undefined {
  const directory = readFlag(args, 'dynamic-config-dir');
  return directory?.startsWith('/') === true
    ? `${directory.replace(/\/+$/, '')}/store/meta/assigned`
    : undefined;
}
