import { unreachable } from '../errors.ts';
import { freshNetworkValue } from './fresh-namespace.ts';
import { normaliseName } from './names.ts';

/** The kind of kernel namespace that holds its own copy of a sysctl; `none` is one value for the whole node. */
export type SysctlNamespace = 'net' | 'ipc' | 'uts' | 'pid' | 'user' | 'none';

/** The parts of a kubelet's version that its rules depend on. */
export interface KubeletMinor {
  readonly major: number;
  readonly minor: number;
}

/** Which rules a kubelet follows: up to 1.22 dots alone, up to 1.28 by prefix, from 1.29 by exact name. */
export type AllowlistEra = 'dotsOnly' | 'prefixes' | 'exactNames';

/** The era of a kubelet. 1.22 follows its older neighbours: its own source was not read. */
export function eraOf(version: KubeletMinor): AllowlistEra {
  if (version.major !== 1) return version.major < 1 ? 'dotsOnly' : 'exactNames';
  if (version.minor <= 22) return 'dotsOnly';
  return version.minor <= 28 ? 'prefixes' : 'exactNames';
}

/**
 * The namespace that the kubelet counts a name (or the part of a pattern before its `*`) to; undefined makes it exit
 * at start. Later rules accept less, so an unknown version gets the rules of 1.29.
 */
export function kubeletNamespace(name: string, era: AllowlistEra = 'exactNames'): 'net' | 'ipc' | undefined {
  const key = normaliseName(name);
  if (key.startsWith('net.')) return 'net';
  if (key.startsWith('fs.mqueue.')) return 'ipc';
  switch (era) {
    case 'exactNames':
      return exactIpcNames.has(key) ? 'ipc' : undefined;
    case 'prefixes':
    case 'dotsOnly':
      return key === 'kernel.sem' || /^kernel\.(shm|msg)/.test(key) ? 'ipc' : undefined;
    default:
      return unreachable(era);
  }
}

/** Whether a kubelet of that version lets pods set this sysctl at all; unknown version: whether every one does. */
export function kubeletNamespaced(name: string, version: KubeletMinor | undefined): boolean {
  return kubeletNamespace(name, version === undefined ? 'exactNames' : eraOf(version)) !== undefined;
}

/**
 * The namespace that the kernel keeps a sysctl in, as measured on 6.18. Below `net.` it answers `none` for the names
 * that vanish or turn read-only in a fresh network namespace, because they point at the node's own data.
 */
export function namespaceOf(name: string): SysctlNamespace {
  const key = normaliseName(name);
  if (key.startsWith('net.')) return freshNetworkValue(key) === 'own' ? 'net' : 'none';
  if (key.startsWith('fs.mqueue.') || ipcNames.has(key)) return 'ipc';
  if (key === 'kernel.hostname' || key === 'kernel.domainname') return 'uts';
  // kernel.pid_max is one value for the node before kernel 6.14.
  if (key === 'kernel.pid_max' || key === 'kernel.ns_last_pid') return 'pid';
  return key.startsWith('user.max_') ? 'user' : 'none';
}

/**
 * Whether runc agrees to set a sysctl in a pod that has its own namespaces. Narrower than the kubelet for IPC, and what
 * it refuses fails when the container is created (libcontainer/configs/validate).
 */
export function runcAllows(name: string): boolean {
  const key = normaliseName(name);
  return (
    key.startsWith('net.') ||
    key.startsWith('fs.mqueue.') ||
    runcNames.has(key) ||
    key === 'kernel.domainname'
  );
}

const runcNames: ReadonlySet<string> = new Set([
  'kernel.msgmax',
  'kernel.msgmnb',
  'kernel.msgmni',
  'kernel.sem',
  'kernel.shmall',
  'kernel.shmmax',
  'kernel.shmmni',
  'kernel.shm_rmid_forced',
]);

// `kernel.shm` and `kernel.msg` are no sysctls: the kubelet lists them so that `kernel.shm*` and `kernel.msg*` pass.
const exactIpcNames: ReadonlySet<string> = new Set([...runcNames, 'kernel.shm', 'kernel.msg']);

const ipcNames: ReadonlySet<string> = new Set([
  ...runcNames,
  'kernel.auto_msgmni',
  'kernel.msg_next_id',
  'kernel.sem_next_id',
  'kernel.shm_next_id',
]);
