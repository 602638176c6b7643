import { unreachable } from '../errors.ts';
import { freshNetworkValue, isCopiedFromNode } from '../sysctl/fresh-namespace.ts';
import { normaliseName } from '../sysctl/names.ts';
import type { SysctlNamespace } from '../sysctl/namespaced.ts';
import { namespaceOf, runcAllows } from '../sysctl/namespaced.ts';
import { covers } from './allowlist.ts';
import { checkEntry } from './entries.ts';
import type { KernelVersion } from './safe-sysctls.ts';
import { knownSafeSysctls, safeSysctls } from './safe-sysctls.ts';
import type { KubeletVersion } from './version.ts';

/** What a fresh pod finds before anybody sets the sysctl in it. */
export type FreshValue = 'kernelDefault' | 'copiedFromNode' | 'nodeValue' | 'nodeValueReadOnly' | 'absent';

/** Everything that is known about a sysctl without looking at a node. Plain JSON. */
export interface SysctlExplanation {
  /** Normalised. */
  readonly name: string;
  readonly namespace: SysctlNamespace;
  /** `safe`: allowed without an entry. `needsEntry`: with `entry`. `never`: no entry makes this kubelet allow it. */
  readonly kubelet: 'safe' | 'needsEntry' | 'never';
  /** The narrowest entry that allows it; undefined unless it needs one. */
  readonly entry: string | undefined;
  /** Since which kubelet and kernel it is safe, such as 1.29 and 4.5; undefined where it never is. */
  readonly safeSince: { readonly kubelet: string; readonly kernel: string | undefined } | undefined;
  /** Whether runc sets it; what it refuses fails after the kubelet has admitted the pod. */
  readonly runcAllows: boolean;
  readonly freshValue: FreshValue;
}

/** Explains a sysctl for a kubelet and kernel; undefined ones are taken as the strictest (see checkEntry, safeSysctls). */
export function explainSysctl(
  sysctl: string,
  version: KubeletVersion | undefined,
  kernel: KernelVersion | undefined,
): SysctlExplanation {
  const name = normaliseName(sysctl);
  const safe = safeSysctls(version, kernel).includes(name);
  const entry = safe ? undefined : narrowestEntry(name, version);
  const known = knownSafeSysctls.find((candidate) => candidate.name === name);
  return {
    name,
    namespace: namespaceOf(name),
    kubelet: safe ? 'safe' : entry === undefined ? 'never' : 'needsEntry',
    entry,
    safeSince:
      known === undefined
        ? undefined
        : {
            kubelet: `1.${known.sinceMinor}`,
            kernel: known.kernel === undefined ? undefined : `${known.kernel.major}.${known.kernel.minor}`,
          },
    runcAllows: runcAllows(name),
    freshValue: freshValueOf(name),
  };
}

// Since 1.29 kernel.shm_next_id and its like are no entries of their own, but the family's pattern covers them.
const families: readonly string[] = ['kernel.shm*', 'kernel.msg*', 'kernel.sem*'];

function narrowestEntry(name: string, version: KubeletVersion | undefined): string | undefined {
  return [name, ...families].find((entry) => covers(entry, name) && checkEntry(entry, version).ok);
}

function freshValueOf(name: string): FreshValue {
  const namespace = namespaceOf(name);
  switch (namespace) {
    case 'net':
      return isCopiedFromNode(name) ? 'copiedFromNode' : 'kernelDefault';
    case 'ipc':
    case 'pid':
      return 'kernelDefault';
    case 'uts':
      return 'copiedFromNode';
    // Pods share the node's user namespace unless they say hostUsers: false.
    case 'user':
      return 'nodeValue';
    case 'none':
      return name.startsWith('net.') ? hiddenNetworkValue(name) : 'nodeValue';
    default:
      return unreachable(namespace);
  }
}

function hiddenNetworkValue(name: string): FreshValue {
  return freshNetworkValue(name) === 'readOnly' ? 'nodeValueReadOnly' : 'absent';
}
