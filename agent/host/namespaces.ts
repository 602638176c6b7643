import { readFileSync, readlinkSync, statSync } from 'node:fs';
import path from 'node:path';

/** Whether one of our namespaces is the host's; `unknown` where that cannot be proven. */
export type Membership = 'host' | 'other' | 'unknown';

export type NamespaceKind = 'net' | 'ipc' | 'pid' | 'uts' | 'mnt' | 'user';

export interface NamespaceFacts extends Readonly<Record<NamespaceKind, Membership>> {
  /** Whether the PID 1 that we see is the host's: only then there is something to enter. */
  readonly hostInit: 'seen' | 'notSeen';
}

/** How the port looks to those who do not care where /proc is. */
export type ReadNamespaces = () => NamespaceFacts;

/**
 * Which of our namespaces are the host's. The host is whatever its PID 1 lives in, and a PID 1 is the host's when it
 * is the one of the kernel's first pid namespace (whatever its name), or when it is systemd: nodes may be containers
 * themselves (kind, systemd-nspawn), and then their systemd is the host. A pod without hostPID sees its own PID 1,
 * which is neither. A container that boots a systemd of its own and runs the agent inside passes for a node.
 *
 * Links below /proc/1/ns may be denied (they need ptrace access). Then the network is compared by the inode of a
 * file below /proc/PID/net, which every network namespace has its own of and which asks for no such right; and a
 * namespace that is the kernel's first one of its kind is the host's without any comparison. Never throws.
 */
export function readNamespaces(procDir = '/proc'): NamespaceFacts {
  const hostInit = isHostInit(procDir) ? 'seen' : 'notSeen';
  const membership = (kind: NamespaceKind): Membership => membershipOf(procDir, kind, hostInit === 'seen');
  return {
    net: membership('net'),
    ipc: membership('ipc'),
    pid: membership('pid'),
    uts: membership('uts'),
    mnt: membership('mnt'),
    user: membership('user'),
    hostInit,
  };
}

/** The link of one namespace, e.g. `net:[4026531833]`; `process` is a pid or `self`. Undefined where it is denied. */
export function namespaceLink(procDir: string, process: string, kind: NamespaceKind): string | undefined {
  try {
    return readlinkSync(path.join(procDir, process, 'ns', kind));
  } catch {
    return undefined;
  }
}

// enum init_ns_ino in the kernel's include/uapi/linux/nsfs.h. The numbers are below the range that the kernel gives
// to later namespaces, so that they mean the first one or nothing; net and mnt have theirs since 6.18.
const firstInodes: Readonly<Record<NamespaceKind, number>> = {
  ipc: 0xefff_ffff,
  uts: 0xefff_fffe,
  user: 0xefff_fffd,
  pid: 0xefff_fffc,
  net: 0xefff_fff9,
  mnt: 0xefff_fff8,
};

function isHostInit(procDir: string): boolean {
  if (isFirst('pid', initPidNamespace(procDir))) return true;
  // systemd renames itself to this whatever link it was started by; other inits do not have a name of their own.
  return readText(path.join(procDir, '1', 'comm')) === 'systemd\n';
}

function initPidNamespace(procDir: string): string | undefined {
  const link = namespaceLink(procDir, '1', 'pid');
  if (link !== undefined) return link;
  // Denied. If this /proc is one of our own pid namespace, its PID 1 is in that one too: NSpid then has one number.
  const ids = /^NSpid:((?:\s+\d+)+)$/m.exec(readText(path.join(procDir, 'self', 'status')) ?? '')?.[1];
  return ids?.trim().split(/\s+/).length === 1 ? namespaceLink(procDir, 'self', 'pid') : undefined;
}

function membershipOf(procDir: string, kind: NamespaceKind, hostInitSeen: boolean): Membership {
  const own = namespaceLink(procDir, 'self', kind);
  if (own === undefined) return 'unknown';
  if (hostInitSeen) {
    const hosts = namespaceLink(procDir, '1', kind);
    if (hosts !== undefined) return own === hosts ? 'host' : 'other';
    const told = kind === 'net' ? membershipByNetFile(procDir) : 'unknown';
    if (told !== 'unknown') return told;
  }
  return isFirst(kind, own) ? 'host' : 'unknown';
}

function isFirst(kind: NamespaceKind, link: string | undefined): boolean {
  return link === `${kind}:[${firstInodes[kind]}]`;
}

function membershipByNetFile(procDir: string): Membership {
  const own = inode(path.join(procDir, 'self', 'net', 'dev'));
  const hosts = inode(path.join(procDir, '1', 'net', 'dev'));
  if (own === undefined || hosts === undefined) return 'unknown';
  return own === hosts ? 'host' : 'other';
}

function inode(file: string): bigint | undefined {
  try {
    return statSync(file, { bigint: true }).ino;
  } catch {
    return undefined;
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
